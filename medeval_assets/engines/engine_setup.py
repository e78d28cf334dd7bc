"""EngineSetup: which engine runs a checkpoint, and with what; known before anything is loaded."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from medeval_assets.catalog.checkpoint_folder import weight_files
from medeval_assets.catalog.model_spec import EngineNeeds
from medeval_assets.engines.checkpoint import let_threads_sleep, load_config
from medeval_assets.errors import BadInput, Problem

CONTEXT_WHERE_NOTHING_LIMITS_IT = 2048

EngineName = Literal["transformers", "transformers-encoder", "vllm", "openai"]

_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


@dataclass(frozen=True)
class EngineSetup:
    """What an engine is loaded from.

    key: the model's, for messages.
    engine: which one; never `auto`.
    dtype: number format of weights and activations; never `auto`, "" where a server decides.
    context: the most tokens that prompt and answer may have together, on every engine the same.
    adapter: folder of a LoRA adapter, if any.
    """

    key: str
    folder: Path
    engine: EngineName
    dtype: str
    context: int
    needs: EngineNeeds
    adapter: Path | None = None

    @property
    def on_gpu(self) -> bool:
        """Whether it is loaded to a GPU: the model asks for one, and one is there."""
        return self.needs.gpus > 0 and gpu_is_present()


def engine_setup(
    key: str, folder: Path, kind: Literal["causal", "encoder"], needs: EngineNeeds, adapter: Path | None = None
) -> EngineSetup:
    """The setup of a checkpoint folder. `auto` is vLLM where it is installed and a GPU is there, else transformers.

    dtype `auto` is the one of the files on a GPU and float32 on a CPU: there bfloat16 is slower for some batch shapes.
    BadInput where the config cannot be read, or the engine that the model asks for is not installed.
    """
    on_gpu = needs.gpus > 0 and gpu_is_present()
    engine = _engine(key, kind, needs, on_gpu)
    dtype: str = needs.dtype
    config = load_config(folder, needs)
    if engine == "openai":
        dtype = "" if dtype == "auto" else dtype
    elif dtype == "auto":
        dtype = _own_dtype(folder, config) if on_gpu else "float32"
    return EngineSetup(key, folder, engine, dtype, most_tokens(config, needs.context), needs, adapter)


def gpu_is_present() -> bool:
    let_threads_sleep()
    import torch

    return bool(torch.cuda.is_available())


def most_tokens(config: Any, wanted: int | None) -> int:
    """The context: what the config allows, and no more than wanted."""
    allowed = getattr(config.get_text_config(), "max_position_embeddings", None)
    limits = [limit for limit in (allowed, wanted) if limit]
    return min(limits, default=CONTEXT_WHERE_NOTHING_LIMITS_IT)


def _engine(key: str, kind: str, needs: EngineNeeds, on_gpu: bool) -> EngineName:
    where = f"models.{key}.engine.name"
    if needs.name == "openai":
        return "openai"
    if kind == "encoder":
        if needs.name == "vllm":
            raise BadInput([Problem(where, "vLLM does not score encoders", "Write `transformers` or `auto`.")])
        return "transformers-encoder"
    installed = importlib.util.find_spec("vllm") is not None
    if needs.name == "vllm" and not installed:
        remedy = "Install it into an environment of its own (`pip install '.[vllm]'`), or write `auto`."
        raise BadInput([Problem(where, "vLLM is not installed here", remedy)])
    if needs.name == "vllm" or (needs.name == "auto" and installed and on_gpu):
        return "vllm"
    return "transformers"


def _own_dtype(folder: Path, config: Any) -> str:
    """What the config says, else what the first weights of a float type are in."""
    stated = getattr(config.get_text_config(), "dtype", None) or getattr(config, "dtype", None)
    if stated is not None:
        return str(stated).removeprefix("torch.")
    for path in weight_files(folder):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for name, tensor in header.items():
            if name != "__metadata__" and tensor["dtype"] in _DTYPES:
                return _DTYPES[tensor["dtype"]]
    return "float32"
