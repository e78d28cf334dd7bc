"""Which engine, number format and context a checkpoint gets, known before anything is loaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from medeval_assets.catalog.model_spec import EngineNeeds
from medeval_assets.engines import engine_setup as module
from medeval_assets.engines.engine_setup import CONTEXT_WHERE_NOTHING_LIMITS_IT, EngineSetup, engine_setup
from medeval_assets.engines.transformers_engine import TransformersEngine
from medeval_assets.errors import BadInput
from medeval_assets_tests.checkpoints import CONTEXT


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with a GPU: nothing is loaded there."""
    monkeypatch.setattr(module, "gpu_is_present", lambda: True)


@pytest.fixture
def vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where vLLM is installed: it is looked for, not imported."""
    (tmp_path / "installed" / "vllm").mkdir(parents=True)
    (tmp_path / "installed" / "vllm" / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))


def write_config(folder: Path, remove: tuple[str, ...] = (), **fields: object) -> None:
    path = folder / "config.json"
    config = {name: value for name, value in json.loads(path.read_text()).items() if name not in remove}
    path.write_text(json.dumps(config | fields))


def write_weights(folder: Path, dtype: torch.dtype) -> None:
    """The checkpoint's weights in this format, after a tensor of integers."""
    path = folder / "model.safetensors"
    weights = {name: value.to(dtype) for name, value in load_file(path).items()}
    save_file({"a.counts": torch.zeros(2, dtype=torch.int64), **weights}, path, metadata={"format": "pt"})


def setup_of(folder: Path, kind: Any = "causal", **needs: Any) -> EngineSetup:
    return engine_setup("tiny", folder, kind, EngineNeeds(**needs))


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_auto_is_what_the_config_states(folder: Path, dtype: str) -> None:
    write_config(folder, remove=("dtype", "torch_dtype"), dtype=dtype)
    assert setup_of(folder).dtype == dtype


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_auto_is_what_the_first_weights_are_in_where_the_config_is_silent(folder: Path, dtype: str) -> None:
    write_config(folder, remove=("dtype", "torch_dtype"))
    write_weights(folder, getattr(torch, dtype))
    assert setup_of(folder).dtype == dtype


@pytest.mark.usefixtures("gpu")
def test_the_old_name_of_the_format_counts_too(folder: Path) -> None:
    write_config(folder, remove=("dtype",), torch_dtype="bfloat16")
    assert setup_of(folder).dtype == "bfloat16"


def test_auto_is_float32_on_a_cpu_whatever_the_files_are_in(folder: Path) -> None:
    write_config(folder, remove=("torch_dtype",), dtype="bfloat16")
    assert setup_of(folder, gpus=0).dtype == "float32"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_what_is_asked_for_is_loaded(tiny_checkpoint: Path, dtype: Any) -> None:
    setup = setup_of(tiny_checkpoint, gpus=0, dtype=dtype)
    assert setup.dtype == dtype
    engine = TransformersEngine.load(setup)
    assert engine.identity.dtype == dtype
    engine.close()


@pytest.mark.parametrize(("wanted", "given"), [(None, CONTEXT), (100, 100), (CONTEXT + 1, CONTEXT)])
def test_the_context_is_what_the_config_allows_and_no_more_than_wanted(
    tiny_checkpoint: Path, wanted: int | None, given: int
) -> None:
    assert setup_of(tiny_checkpoint, gpus=0, context=wanted).context == given


@pytest.mark.parametrize(("wanted", "given"), [(None, CONTEXT_WHERE_NOTHING_LIMITS_IT), (9000, 9000)])
def test_the_context_where_the_config_sets_no_limit(folder: Path, wanted: int | None, given: int) -> None:
    write_config(folder, remove=("max_position_embeddings",), model_type="bloom")
    assert setup_of(folder, gpus=0, context=wanted).context == given


def test_threads_do_not_spin_whoever_imports_torch_first(tiny_checkpoint: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from medeval_assets.catalog.model_spec import EngineNeeds;"
        "from medeval_assets.engines.engine_setup import engine_setup; assert 'torch' not in sys.modules;"
        "sys.meta_path.insert(0, type('Watch', (), {'find_spec': staticmethod(lambda name, *_:"
        " name == 'torch' and print(os.environ.get('GOMP_SPINCOUNT'), flush=True) or None)}));"
        "engine_setup('tiny', Path(sys.argv[1]), 'causal', EngineNeeds())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    command = [sys.executable, "-c", script, str(tiny_checkpoint)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.split()[0] == "1000"


def test_auto_without_vllm(folder: Path) -> None:
    assert setup_of(folder).engine == "transformers"
    with pytest.raises(BadInput, match=r"models\.tiny\.engine\.name: vLLM is not installed here"):
        setup_of(folder, name="vllm")


@pytest.mark.usefixtures("vllm")
def test_auto_with_vllm_but_no_gpu(folder: Path) -> None:
    assert setup_of(folder, gpus=0).engine == "transformers"
    assert setup_of(folder, name="vllm", gpus=0).engine == "vllm"


@pytest.mark.usefixtures("vllm", "gpu")
def test_auto_with_vllm_and_a_gpu(folder: Path) -> None:
    assert setup_of(folder).engine == "vllm"
    assert setup_of(folder, name="transformers").engine == "transformers"
    assert setup_of(folder, gpus=0).engine == "transformers"
    assert setup_of(folder, kind="encoder").engine == "transformers-encoder"
    with pytest.raises(BadInput, match="vLLM does not score encoders"):
        setup_of(folder, kind="encoder", name="vllm")
