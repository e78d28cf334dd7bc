"""A key-value cache with room for tokens to come."""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

ROOM = 64
"""Tokens for which room is made when there is none left."""


class GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """A cache layer whose new tokens are written behind the old ones.

    `DynamicLayer` copies all that it holds for each token that is added; here that happens once in `ROOM` tokens.
    """

    _buffers: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self._buffers is None:
            self.lazy_initialization(key_states, value_states)
        old = self.get_seq_length()
        new = old + key_states.shape[-2]
        buffers = self._buffers
        if buffers is None or buffers[0].shape[-2] < new:
            buffers = (_buffer(key_states, new + ROOM), _buffer(value_states, new + ROOM))
            if self._buffers is not None:
                for buffer, states in zip(buffers, self._buffers, strict=True):
                    buffer[:, :, :old] = states[:, :, :old]
        for buffer, states in zip(buffers, (key_states, value_states), strict=True):
            buffer[:, :, old:new] = states
        return self._hold(buffers, new)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        if self._buffers is not None:
            keys, values = self._buffers
            self._hold((keys[indices], values[indices]), self.get_seq_length())

    def rows(self, rows: list[int]) -> GrowingLayer:
        """A copy with these of its rows, which may repeat."""
        copy = GrowingLayer()  # type: ignore[no-untyped-call]
        if self._buffers is not None:
            keys, values = self._buffers
            copy.lazy_initialization(keys, values)
            copy._hold((keys[rows], values[rows]), self.get_seq_length())
        return copy

    def _hold(self, buffers: tuple[torch.Tensor, torch.Tensor], length: int) -> tuple[torch.Tensor, torch.Tensor]:
        self._buffers = buffers
        self.keys, self.values = keys, values = buffers[0][:, :, :length], buffers[1][:, :, :length]
        return keys, values


class GrowingCache(DynamicCache):
    """A cache of such layers for a model whose every layer keeps all tokens."""

    def __init__(self, config: Any) -> None:
        super().__init__(config=config)
        self.layers = [GrowingLayer() for _ in self.layers]  # type: ignore[no-untyped-call]

    def rows(self, rows: list[int]) -> GrowingCache:
        """A copy with these of its rows, which may repeat."""
        copy = GrowingCache.__new__(GrowingCache)
        layers = [layer.rows(rows) for layer in self.layers if isinstance(layer, GrowingLayer)]
        copy.__dict__ = {**self.__dict__, "layers": layers}
        return copy


def _buffer(states: torch.Tensor, length: int) -> torch.Tensor:
    return states.new_empty(*states.shape[:2], length, states.shape[-1])
