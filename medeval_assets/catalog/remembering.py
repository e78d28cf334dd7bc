"""Remembering: what only saves time (hashes, findings) is written down, unless nothing at all may be written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_allowed = ContextVar("remembering", default=True)


@contextlib.contextmanager
def nothing_remembered() -> Iterator[None]:
    """Inside it what is remembered is used, and nothing is added to it."""
    before = _allowed.set(False)
    try:
        yield
    finally:
        _allowed.reset(before)


def may_remember() -> bool:
    return _allowed.get()
