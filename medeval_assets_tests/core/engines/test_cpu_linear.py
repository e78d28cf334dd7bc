"""oneDNN multiplies as torch does, and only where it should."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medeval_assets.catalog.model_spec import EngineNeeds
from medeval_assets.engines.checkpoint import load_model
from medeval_assets.engines.cpu_linear import OneDnnLinear, use_onednn
from medeval_assets.engines.engine_setup import engine_setup


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 3, 40])
def test_products_are_those_of_torch(bias: bool, rows: int) -> None:
    layer = torch.nn.Linear(72, 24, bias=bias)
    given = torch.randn(2, rows + 5, 72, generator=torch.Generator().manual_seed(rows))[:, 5:]
    with torch.inference_mode():
        expected = layer(given)
        use_onednn(layer)
        assert isinstance(layer, OneDnnLinear)
        torch.testing.assert_close(layer(given), expected, atol=1e-5, rtol=1e-5)
        assert torch.equal(layer(given), layer(given))


def test_it_can_still_be_trained() -> None:
    layer = torch.nn.Linear(8, 8)
    use_onednn(layer)
    layer(torch.ones(2, 8)).sum().backward()
    assert layer.weight.grad is not None


def test_other_layers_are_left_alone() -> None:
    class Own(torch.nn.Linear):
        """A layer with a way of its own."""

    model = torch.nn.Sequential(torch.nn.Linear(8, 8).bfloat16(), Own(8, 8), torch.nn.Linear(8, 8, device="meta"))
    use_onednn(model)
    assert [type(layer) for layer in model] == [torch.nn.Linear, Own, torch.nn.Linear]


def test_a_loaded_model_uses_it_in_float32_alone(tiny_checkpoint: Path) -> None:
    for dtype, used in (("float32", True), ("bfloat16", False)):
        needs = EngineNeeds.model_validate({"gpus": 0, "dtype": dtype})
        model = load_model(engine_setup("tiny", tiny_checkpoint, "causal", needs), "AutoModelForCausalLM")
        assert isinstance(model.lm_head, OneDnnLinear) is used
