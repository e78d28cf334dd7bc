"""Checkpoint: a folder with a model's config, safetensors weights and tokenizer, read without running its code."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medeval_assets.catalog.model_spec import EngineNeeds
from medeval_assets.catalog.quoted import quoted
from medeval_assets.errors import BadInput, Problem

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from medeval_assets.engines.engine_setup import EngineSetup

_MISSING_SHOWN = 3

_PACKAGES = {"awq": "gptqmodel", "gptq": "gptqmodel", "quanto": "optimum-quanto"}
"""What reads weights that are quantized by a method, where it is not named like the method."""


def load_config(folder: Path, needs: EngineNeeds) -> Any:
    """The checkpoint's config. BadInput where there is none, or it cannot be read."""
    _require(folder, "config.json")
    try:
        return _library().AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=needs.remote_code)
    except Exception as error:
        raise _unusable(folder, "its config cannot be read", error) from error


def load_tokenizer(folder: Path, needs: EngineNeeds) -> PreTrainedTokenizerBase:
    """The checkpoint's tokenizer. BadInput where there is none, or it cannot be read."""
    _require(folder, "config.json")
    try:
        tokenizer: PreTrainedTokenizerBase = _library().AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=needs.remote_code
        )
    except Exception as error:
        raise _unusable(folder, "its tokenizer cannot be read", error) from error
    return tokenizer


def load_generation_config(folder: Path, needs: EngineNeeds) -> Any:
    """The checkpoint's generation config, or what its config says of it where it has none."""
    library = _library()
    if not (folder / "generation_config.json").is_file():
        return library.GenerationConfig.from_model_config(load_config(folder, needs))
    try:
        return library.GenerationConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise _unusable(folder, "its generation config cannot be read", error) from error


def load_model(setup: EngineSetup, auto_class: str) -> Any:
    """The checkpoint's model, ready to answer.

    auto_class: the class of `transformers` that picks the model's own, e.g. `AutoModelForCausalLM`.
    It goes to the GPU where there is one and the model needs one; where it needs several, it is spread over all.
    BadInput where files are missing or do not fit together. Pickled weights are never read.
    """
    folder = setup.folder
    require_weights(folder)
    library = _library()
    from medeval_assets.engines.adapter import with_adapter
    from medeval_assets.engines.cpu_linear import use_onednn

    library.utils.logging.disable_progress_bar()
    place = "cpu" if not setup.on_gpu else "auto" if setup.needs.gpus > 1 else "cuda"
    try:
        model, report = getattr(library, auto_class).from_pretrained(
            folder,
            dtype=setup.dtype,
            device_map=place,
            attn_implementation="sdpa",
            use_safetensors=True,
            trust_remote_code=setup.needs.remote_code,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception as error:
        raise _quantized_without_package(setup, error) or _unusable(
            folder, "its model cannot be loaded", error
        ) from error
    _require_filled(folder, report)
    if setup.adapter is not None:
        model = with_adapter(model, setup.adapter, f"adapter of {setup.key}")
    use_onednn(model)
    return model.eval()


def require_whole(setup: EngineSetup, auto_class: str) -> None:
    """BadInput where files are missing, or the weights lack tensors that the config asks for. Nothing is loaded.

    For engines that do not look themselves. Where `transformers` cannot build the model, or it is quantized, the
    tensors are not compared.
    """
    require_weights(setup.folder)
    if getattr(load_config(setup.folder, setup.needs), "quantization_config", None) is not None:
        return
    library = _library()
    library.utils.logging.disable_progress_bar()
    try:
        _, report = getattr(library, auto_class).from_pretrained(
            setup.folder,
            device_map="meta",
            use_safetensors=True,
            trust_remote_code=setup.needs.remote_code,
            local_files_only=True,
            output_loading_info=True,
        )
    except Exception:
        return
    _require_filled(setup.folder, report)


def _require_filled(folder: Path, report: Mapping[str, Iterable[Any]]) -> None:
    """BadInput where a loading report names tensors that no file had: the library fills them with random numbers."""
    unfilled = sorted({str(name) for kind in ("missing_keys", "mismatched_keys") for name in report[kind]})
    if not unfilled:
        return
    shown = ", ".join(unfilled[:_MISSING_SHOWN]) + (" …" if len(unfilled) > _MISSING_SHOWN else "")
    what = f"the weights lack {len(unfilled)} tensors that the config asks for: {shown}"
    raise BadInput([Problem(str(folder), what, "Get config and weights from the same release.")])


def require_weights(folder: Path) -> None:
    """BadInput where the folder has no config or no safetensors."""
    _require(folder, "config.json", "*.safetensors")


def let_threads_sleep() -> None:
    """Let torch's threads on a CPU soon sleep where they wait for each other. Called before torch is first imported.

    By default they spin: where another process wanted the same two cores, a decoding step took up to forty times as
    long. With this many turns it takes twice as long there, and alone no longer than before. GNU OpenMP, which torch
    brings on Linux, reads the setting when torch is first imported.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _library() -> Any:
    let_threads_sleep()
    import transformers

    return transformers


def _require(folder: Path, *patterns: str) -> None:
    for pattern in patterns:
        if not any(folder.glob(pattern)):
            raise BadInput(
                [
                    Problem(
                        str(folder),
                        f"there is no {pattern}",
                        "A checkpoint folder holds config.json, *.safetensors and the tokenizer's files; "
                        "convert pickled weights (*.bin, *.pt) to safetensors first.",
                    )
                ]
            )


def _quantized_without_package(setup: EngineSetup, error: Exception) -> BadInput | None:
    """The error where the weights are quantized and what reads them is missing; None where it is something else."""
    stated = getattr(load_config(setup.folder, setup.needs), "quantization_config", None) or {}
    method = stated.get("quant_method") if isinstance(stated, dict) else None
    if not isinstance(error, ImportError) or not isinstance(method, str):
        return None
    package = _PACKAGES.get(method, method)
    what = f"its weights are quantized ({quoted(method)}), and what reads them is not installed"
    remedy = f"Install {quoted(package)} into this environment, or use weights that are not."
    return BadInput([Problem(str(setup.folder), what, remedy)])


def _unusable(folder: Path, what: str, error: Exception) -> BadInput:
    reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    remedy = "Check that the folder is a whole checkpoint that this version of transformers knows."
    return BadInput([Problem(str(folder), f"{what} ({reason.rstrip('.')})", remedy)])
