"""What vLLM loads besides a plain checkpoint, what it cannot load, and what is left of it afterwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from medeval_assets.catalog.model_spec import EngineNeeds
from medeval_assets.engines.engine_setup import EngineSetup, engine_setup
from medeval_assets.engines.model_under_test import ModelUnderTest
from medeval_assets.engines.protocol import Answer, Engine, Key, Request
from medeval_assets.engines.transformers_engine import TransformersEngine
from medeval_assets.engines.vllm_engine import VllmEngine
from medeval_assets.errors import BadInput
from medeval_assets_tests.vllm.conftest import CONTEXT, RequestsOf
from medeval_assets_tests.vllm.processes import below

pytestmark = pytest.mark.vllm

ON_VLLM = EngineNeeds(name="vllm", gpus=0, dtype="float32", context=CONTEXT)
RANK, ALPHA = 4, 32
ADAPTED = ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")


def setup_of(folder: Path, adapter: Path | None = None, needs: EngineNeeds = ON_VLLM) -> EngineSetup:
    return engine_setup("loaded", folder, "causal", needs, adapter)


@pytest.fixture(autouse=True)
def _alone(model: ModelUnderTest) -> None:
    """Nothing else of vLLM runs: the engine that the other tests share is closed."""
    model.drop_engine()
    assert not vllm_processes()


def vllm_processes() -> list[str]:
    return [name for name in below().values() if "EngineCore" in name or "Worker" in name]


@contextmanager
def loaded(setup: EngineSetup) -> Iterator[VllmEngine]:
    """An engine that is closed in the end, of which then nothing runs any more."""
    engine = VllmEngine.load(setup)
    try:
        yield engine
    finally:
        engine.close()
    assert not vllm_processes()


def answered(engine: Engine, requests: Sequence[Request]) -> dict[Key, Answer]:
    return {asked.key: answer for batch in engine.answer(requests) for asked, answer in batch}


def make_adapter(checkpoint: Path, folder: Path) -> dict[str, torch.Tensor]:
    """Write a LoRA adapter as PEFT does; returns what it adds to the checkpoint's weights."""
    weights = load_file(checkpoint / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    adapter: dict[str, torch.Tensor] = {}
    added: dict[str, torch.Tensor] = {}
    for name, weight in weights.items():
        module = name.removesuffix(".weight")
        if not module.endswith(ADAPTED):
            continue
        down = torch.randn(RANK, weight.shape[1], generator=generator) / weight.shape[1] ** 0.5
        up = torch.randn(weight.shape[0], RANK, generator=generator) * 0.02
        adapter[f"base_model.model.{module}.lora_A.weight"] = down
        adapter[f"base_model.model.{module}.lora_B.weight"] = up
        added[name] = up @ down * (ALPHA / RANK)
    folder.mkdir()
    save_file(adapter, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "",
        "r": RANK,
        "lora_alpha": ALPHA,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted({module.rpartition(".")[2] for module in ADAPTED}),
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return added


def test_an_adapter_answers_as_if_merged_into_the_weights(
    checkpoint: Path, requests_of: RequestsOf, plain: TransformersEngine, tmp_path: Path
) -> None:
    added = make_adapter(checkpoint, tmp_path / "adapter")
    merged = Path(shutil.copytree(checkpoint, tmp_path / "merged"))
    weights = load_file(checkpoint / "model.safetensors")
    save_file(
        {name: weight + added.get(name, 0) for name, weight in weights.items()},
        merged / "model.safetensors",
        metadata={"format": "pt"},
    )
    needs = ON_VLLM.model_copy(update={"name": "transformers"})
    requests = [*requests_of("nejm", 3), *requests_of("mednli", 3)]
    wanted = answered(TransformersEngine.load(setup_of(merged, needs=needs)), requests)
    without = answered(plain, requests)
    with loaded(setup_of(checkpoint, tmp_path / "adapter")) as engine:
        found = answered(engine, requests)
    for key, answer in found.items():
        assert answer.option_logprobs == pytest.approx(wanted[key].option_logprobs, abs=1e-3)
        assert answer.option_logprobs != pytest.approx(without[key].option_logprobs, abs=0.05)
        assert (answer.text, answer.token_ids) == (wanted[key].text, wanted[key].token_ids)


def quantize(checkpoint: Path, folder: Path) -> None:
    """Write the checkpoint with linear layers in 8 bits, weights and inputs, as compressed-tensors does."""
    shutil.copytree(checkpoint, folder)
    stored = {}
    for name, weight in load_file(checkpoint / "model.safetensors").items():
        stored[name] = weight
        if name.endswith("_proj.weight"):
            scale = weight.abs().amax(dim=1, keepdim=True) / 127
            stored[name] = (weight / scale).round().clamp(-127, 127).to(torch.int8)
            stored[f"{name}_scale"] = scale
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    scheme = {"num_bits": 8, "type": "int", "symmetric": True}
    config = json.loads((folder / "config.json").read_text()) | {
        "quantization_config": {
            "quant_method": "compressed-tensors",
            "format": "int-quantized",
            "quantization_status": "compressed",
            "ignore": ["lm_head"],
            "config_groups": {
                "group_0": {
                    "targets": ["Linear"],
                    "weights": {**scheme, "strategy": "channel", "dynamic": False},
                    "input_activations": {**scheme, "strategy": "token", "dynamic": True},
                }
            },
        }
    }
    (folder / "config.json").write_text(json.dumps(config))


def test_a_quantized_checkpoint_is_run_as_its_config_says(
    checkpoint: Path, requests_of: RequestsOf, plain: TransformersEngine, tmp_path: Path
) -> None:
    quantize(checkpoint, tmp_path / "quantized")
    requests = [*requests_of("nejm", 4), *requests_of("mednli", 4)]
    whole = answered(plain, requests)
    with loaded(setup_of(tmp_path / "quantized")) as engine:
        found = answered(engine, requests)
    apart = [
        abs(one - other)
        for key in whole
        for one, other in zip(found[key].option_logprobs, whole[key].option_logprobs, strict=True)
    ]
    # Rounded to 8 bits a model this small says something else, but not by much; with a scale left out, by many nats.
    assert 0.01 < sum(apart) / len(apart) < 0.4


def test_what_does_not_fit_into_memory_says_what_to_change(checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "endless"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 2_000_000}))
    with pytest.raises(BadInput, match="does not fit into memory") as raised:
        VllmEngine.load(setup_of(folder, needs=ON_VLLM.model_copy(update={"context": None})))
    assert "Lower `engine.context`" in raised.value.problems[0].remedy
    assert "KV cache" in raised.value.problems[0].what
    assert not vllm_processes()


def test_weights_that_lack_a_tensor_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "holey"))
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.3.mlp.down_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadInput, match=r"lack 1 tensors .*layers\.3\.mlp\.down_proj"):
        VllmEngine.load(setup_of(folder))


def test_pickled_weights_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(BadInput, match=r"\.safetensors"):
        VllmEngine.load(setup_of(folder))
