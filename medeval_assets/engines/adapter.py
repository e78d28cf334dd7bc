"""LoRA adapters, read without pickle and merged into the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medeval_assets.catalog.json_object import read_json_object
from medeval_assets.catalog.quoted import quoted
from medeval_assets.errors import BadInput, Problem

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

_SHOWN = 3


def with_adapter(model: Any, folder: Path, name: str) -> Any:
    """The model with the adapter's changes added to its weights, or beside them where the weights are quantized.

    name: what messages call the adapter.
    BadInput where files are missing, it is no LoRA adapter, or it does not fit the model.
    """
    _check_config(folder, name)
    import peft
    from safetensors import safe_open

    library: Any = peft
    try:
        adapted = library.PeftModel.from_pretrained(model, folder, local_files_only=True)
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            given = set(file.keys())
        wanted = set(library.get_peft_model_state_dict(adapted, save_embedding_layers=False))
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise _unfit(name, f"it cannot be put on the model ({quoted(reason, 200)})") from error
    if not wanted or not wanted <= given:
        lacking = sorted(wanted - given)
        shown = ", ".join(quoted(one) for one in lacking[:_SHOWN]) + (" …" if len(lacking) > _SHOWN else "")
        raise _unfit(name, f"its weights lack {len(lacking)} tensors that its config asks for: {shown}")
    surplus = sorted(one for one in given - wanted if "lora_" in one)
    if surplus:
        raise _unfit(name, f"{len(surplus)} of its tensors have no place in the model, such as {quoted(surplus[0])}")
    if getattr(model, "is_quantized", False):
        return adapted.get_base_model()
    try:
        return adapted.merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise _unfit(name, "merged into the model, it makes weights that are no numbers") from error


def refuse_adapter(key: str) -> BadInput:
    """The error of an engine that cannot use one."""
    remedy = "Merge it into the checkpoint, or write `adapter: null`."
    return BadInput([Problem(f"models.{key}.adapter", "an encoder takes no LoRA adapter here", remedy)])


def _check_config(folder: Path, name: str) -> None:
    missing = [file for file in (CONFIG, WEIGHTS) if not (folder / file).is_file()]
    if missing:
        raise _unfit(name, f"there is no {' and no '.join(missing)}")
    config = read_json_object(folder / CONFIG, f"{name}/{CONFIG}")
    if config.get("peft_type") != "LORA":
        raise _unfit(name, f"it is no LoRA adapter but {quoted(config.get('peft_type'))}")
    # peft would import the module that such a config names.
    if config.get("megatron_config"):
        raise _unfit(name, "it was made for Megatron")


def _unfit(name: str, what: str) -> BadInput:
    remedy = f"A LoRA adapter's folder holds {CONFIG} and {WEIGHTS}, made for this very base model."
    return BadInput([Problem(name, what, remedy)])
