"""Linear layers on a CPU in float32, multiplied by oneDNN."""

from __future__ import annotations

from typing import Any

import torch


class OneDnnLinear(torch.nn.Linear):
    """A linear layer for inference in float32 on a CPU.

    torch multiplies float32 with MKL, which uses half the width of the vector units of CPUs that Intel did not make;
    oneDNN, which comes with torch too, uses all of it.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (the name that torch gives it)
        if torch.is_grad_enabled():
            return super().forward(input)
        multiply: Any = torch.ops.mkldnn._linear_pointwise
        product: torch.Tensor = multiply(input.contiguous(), self.weight, self.bias, "none", [], "")
        return product


def use_onednn(model: torch.nn.Module) -> None:
    """Let oneDNN multiply in every plain linear layer that is in float32 on the CPU, where this torch has it."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise") or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return
    for module in model.modules():
        weight = module.weight if type(module) is torch.nn.Linear else None
        if weight is not None and weight.dtype == torch.float32 and weight.device.type == "cpu":
            module.__class__ = OneDnnLinear
