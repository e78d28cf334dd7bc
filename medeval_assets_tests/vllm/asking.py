"""Asking an engine in tests: requests cut short, and every answer once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from medeval_assets.engines.protocol import Answer, Engine, Key, Request


def answers_of(engine: Engine, requests: Sequence[Request]) -> dict[Key, Answer]:
    """Every request is answered exactly once."""
    found = [(asked.key, answer) for batch in engine.answer(requests) for asked, answer in batch]
    assert sorted(key for key, _ in found) == sorted(one.key for one in requests)
    return dict(found)


def shortened(requests: Sequence[Request], most: int) -> list[Request]:
    return [replace(one, decoding=replace(one.decoding, max_new_tokens=most)) for one in requests]
