"""Interruption: a signal to stop waits until the batch in flight is kept, and is never lost."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

STOPPING = (signal.SIGTERM, signal.SIGINT)
"""Signals that ask a process to stop."""


class BatchesAreWhole:
    """Inside it SIGTERM and SIGINT wait for its end, where the handler from before gets them.

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
        self._hand_on()

    def _hand_on(self) -> None:
        """Handle the signal that waited as it would have been without us."""
        if self._waiting is None:
            return
        (number, frame), self._waiting = self._waiting, None
        self._restore()
        before = self._before[number]
        if callable(before):
            handler: Callable[[int, FrameType | None], Any] = before
            handler(number, frame)
        elif before == signal.SIG_DFL:
            signal.raise_signal(number)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self._waiting is not None and self._waiting[0] == number:
            self._hand_on()
        else:
            self._waiting = (number, frame)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._remember:
                signal.signal(number, handler)


class Stopped(KeyboardInterrupt):
    """The process was asked to stop. number: by which signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


class StopRequests:
    """Inside it SIGTERM and SIGINT raise Stopped.

    Libraries put handlers of their own in place for a while and may drop what they caught: `check` raises it then.
    on_request: called from another thread as soon as a signal comes, whoever handles it.
    Outside the main thread, where Python handles no signals, it does nothing.
    """

    def __init__(self, on_request: Callable[[], None] = lambda: None) -> None:
        self._on_request = on_request
        self._number: int | None = None
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> StopRequests:
        if threading.current_thread() is threading.main_thread():
            with contextlib.ExitStack() as undo:
                self._watch(undo)
                for number in STOPPING:
                    before = signal.getsignal(number)
                    if before is not None:
                        undo.callback(signal.signal, number, before)
                        signal.signal(number, self._stop)
                self._undo = undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._undo.close()
        if kind is None:
            self.check()

    def check(self) -> None:
        """Stopped, if a signal has come since the beginning."""
        if self._number is not None:
            raise Stopped(self._number)

    def _stop(self, number: int, frame: FrameType | None) -> NoReturn:
        self._number = number
        raise Stopped(number)

    def _watch(self, undo: contextlib.ExitStack) -> None:
        """Read the signals' numbers where Python itself writes them, before any handler runs."""
        source, sink = os.pipe()
        os.set_blocking(sink, False)
        thread = threading.Thread(target=self._read, args=(source,), daemon=True)
        thread.start()
        before = signal.set_wakeup_fd(sink, warn_on_full_buffer=False)

        def stop_watching() -> None:
            signal.set_wakeup_fd(before)
            os.close(sink)
            thread.join()
            os.close(source)

        undo.callback(stop_watching)

    def _read(self, source: int) -> None:
        while numbers := os.read(source, 64):
            for number in numbers:
                if number in STOPPING:
                    self._number = number
                    self._on_request()
