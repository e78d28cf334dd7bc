"""LoRA adapters of the tiny checkpoint, written by hand as their format says."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

RANK = 4
ALPHA = 12
TARGETS = {"self_attn.q_proj": (64, 64), "self_attn.v_proj": (64, 32), "mlp.down_proj": (128, 64)}
"""Module → how many numbers go in and out."""


def changes(seed: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """For each weight of the tiny checkpoint that is changed, the two factors: rank × in and out × rank."""
    generator = torch.Generator().manual_seed(seed)
    return {
        f"model.layers.{layer}.{name}": (
            torch.randn(RANK, width, generator=generator),
            torch.randn(height, RANK, generator=generator),
        )
        for layer in range(2)
        for name, (width, height) in TARGETS.items()
    }


def make_adapter(folder: Path, seed: int = 0, **config: object) -> Path:
    """Write adapter_config.json and adapter_model.safetensors into a new folder; returns it."""
    folder.mkdir()
    stated = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "org/never-asked-for",
        "r": RANK,
        "lora_alpha": ALPHA,
        "target_modules": [name.rpartition(".")[2] for name in TARGETS],
        "bias": "none",
        **config,
    }
    (folder / "adapter_config.json").write_text(json.dumps(stated))
    weights = {}
    for name, (down, up) in changes(seed).items():
        weights[f"base_model.model.{name}.lora_A.weight"] = down
        weights[f"base_model.model.{name}.lora_B.weight"] = up
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder
