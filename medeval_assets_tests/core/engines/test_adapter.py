"""A LoRA adapter changes exactly the weights it names, and what does not fit is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from medeval_assets.catalog.model_spec import EngineNeeds
from medeval_assets.catalog.task_spec import Decoding
from medeval_assets.engines.checkpoint import load_model
from medeval_assets.engines.encoder_engine import EncoderEngine
from medeval_assets.engines.engine_setup import EngineSetup, engine_setup
from medeval_assets.engines.protocol import Request
from medeval_assets.engines.transformers_engine import TransformersEngine
from medeval_assets.errors import BadInput
from medeval_assets_tests.adapters import ALPHA, RANK, changes, make_adapter

PROMPT = torch.arange(20, 44)[None]


def setup_of(checkpoint: Path, adapter: Path | None) -> EngineSetup:
    return engine_setup("tiny", checkpoint, "causal", EngineNeeds(gpus=0), adapter)


def logits_of(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(PROMPT).logits
    return logits


def test_it_is_merged_into_the_weights(tiny_checkpoint: Path, tmp_path: Path) -> None:
    adapted = load_model(setup_of(tiny_checkpoint, make_adapter(tmp_path / "adapter")), "AutoModelForCausalLM")
    by_hand = load_model(setup_of(tiny_checkpoint, None), "AutoModelForCausalLM")
    untouched = logits_of(by_hand)
    with torch.no_grad():
        for name, (down, up) in changes(0).items():
            by_hand.get_submodule(name).weight += ALPHA / RANK * up @ down
    torch.testing.assert_close(logits_of(adapted), logits_of(by_hand), atol=1e-4, rtol=1e-4)
    assert (logits_of(adapted) - untouched).abs().max() > 0.1
    assert not [name for name, _ in adapted.named_modules() if "lora" in name]


def test_the_engine_answers_with_it(tiny_checkpoint: Path, tmp_path: Path) -> None:
    prompt = tuple(range(20, 60))
    request = Request("e", prompt, Decoding(4), options=((70, 71), (80, 81, 82)), option_context=prompt)
    found = []
    for adapter in (None, make_adapter(tmp_path / "a"), make_adapter(tmp_path / "b", seed=1)):
        engine = TransformersEngine.load(setup_of(tiny_checkpoint, adapter))
        ((answered,),) = engine.answer([request])
        found.append(answered[1].option_logprobs)
    assert len({round(logprobs[0], 3) for logprobs in found}) == 3


def test_an_encoder_refuses_it(tiny_checkpoint: Path, tmp_path: Path) -> None:
    setup = replace(setup_of(tiny_checkpoint, tmp_path), engine="transformers-encoder")
    with pytest.raises(BadInput, match=r"models\.tiny\.adapter: an encoder takes no LoRA adapter"):
        EncoderEngine.load(setup)


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def with_config(**fields: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return change


def with_weights(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        save_file(change(load_file(path)), path, metadata={"format": "pt"})

    return rewrite


def pickled(folder: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without("adapter_config.json"), "there is no adapter_config.json"),
        (pickled, "there is no adapter_model.safetensors"),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), "adapter_config.json"),
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"no"), "cannot be put on the model"),
        (with_config(peft_type="PREFIX_TUNING"), "no LoRA adapter but `PREFIX_TUNING`"),
        (with_config(megatron_config={"a": 1}, megatron_core="antigravity"), "made for Megatron"),
        (with_config(target_modules=["query_key_value"]), "cannot be put on the model"),
        (with_config(target_modules=["q_proj", "v_proj", "down_proj", "up_proj"]), "its weights lack 4 tensors"),
        (with_config(target_modules=["q_proj", "v_proj"]), "4 of its tensors have no place"),
        (with_config(r=8), "cannot be put on the model"),
        (with_weights(lambda given: {name: value * torch.nan for name, value in given.items()}), "no numbers"),
    ],
    ids=["config", "pickle", "json", "weights", "type", "megatron", "target", "lacking", "surplus", "rank", "nan"],
)
def test_what_does_not_fit_is_refused(
    tiny_checkpoint: Path, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    adapter = make_adapter(tmp_path / "adapter")
    spoil(adapter)
    with pytest.raises(BadInput, match=r"^adapter of tiny") as caught:
        load_model(setup_of(tiny_checkpoint, adapter), "AutoModelForCausalLM")
    assert words in str(caught.value)
