"""Quantized weights need a package; where it is not installed, the error names it."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest

from medeval_assets.catalog.model_spec import EngineNeeds
from medeval_assets.engines.checkpoint import load_model
from medeval_assets.engines.engine_setup import engine_setup
from medeval_assets.errors import BadInput

CONFIGS: dict[str, dict[str, Any]] = {
    "gptqmodel": {"quant_method": "gptq", "bits": 4, "group_size": 32},
    "gptqmodel for awq": {"quant_method": "awq", "bits": 4, "group_size": 32},
    "compressed-tensors": {"quant_method": "compressed-tensors", "config_groups": {}},
    "bitsandbytes": {"quant_method": "bitsandbytes", "load_in_8bit": True},
    "optimum-quanto": {"quant_method": "quanto", "weights": "int8"},
    "hqq": {"quant_method": "hqq", "quant_config": {}},
}


@pytest.mark.parametrize("needed", CONFIGS)
def test_the_missing_package_is_named(tiny_checkpoint: Path, tmp_path: Path, needed: str) -> None:
    package = needed.partition(" ")[0]
    with pytest.raises(PackageNotFoundError):
        version(package)
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": CONFIGS[needed]}))
    with pytest.raises(BadInput) as caught:
        load_model(engine_setup("tiny", folder, "causal", EngineNeeds(gpus=0)), "AutoModelForCausalLM")
    (problem,) = caught.value.problems
    assert problem.where == str(folder)
    assert f"quantized (`{CONFIGS[needed]['quant_method']}`)" in problem.what
    assert f"`{package}`" in problem.remedy
