"""Interruption: a signal to stop waits until the batch in flight is kept."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_log = logging.getLogger(__name__)

STOPPING = (signal.SIGTERM, signal.SIGINT)
"""Signals that ask a process to stop."""


class BatchesAreWhole:
    """Inside it SIGTERM and SIGINT wait for `checkpoint()`, where the handler from before gets them.

    A second one of the same kind does not wait. In threads other than the main one, where Python handles no signals, it
    does nothing.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._waiting: tuple[int, FrameType | None] | None = None

    def __enter__(self) -> BatchesAreWhole:
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                before = signal.getsignal(number)
                if before is not None:  # else it was not set from Python and could not be set back
                    self._before[number] = before
                    signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()
        self.checkpoint()

    def checkpoint(self) -> None:
        """Nothing is half done: a signal that waited is handled now, as it would have been without us."""
        if self._waiting is None:
            return
        (number, frame), self._waiting = self._waiting, None
        before = self._before.get(number, signal.SIG_DFL)
        self._restore()
        if callable(before):
            handler: Callable[[int, FrameType | None], Any] = before
            handler(number, frame)
        elif before == signal.SIG_DFL:
            signal.raise_signal(number)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self._waiting is not None and self._waiting[0] == number:
            self.checkpoint()
            return
        _log.warning("stopping after the batch in flight; once more stops at once")
        self._waiting = (number, frame)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._remember:
                signal.signal(number, handler)
