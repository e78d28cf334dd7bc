"""Progress: what a long step says about how far it is."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Protocol

_log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0


class Progress(Protocol):
    """Told about every cell that is worked on; several of a model are at work together."""

    def started(self, cell: str, total: int) -> None:
        """`total` prompts of a cell (`model × task`) are about to be answered."""
        ...

    def advanced(self, cell: str, count: int, tokens: int) -> None:
        """`count` more are done, for which `tokens` were encoded and generated; 0 where nothing was computed."""
        ...

    def finished(self, cell: str) -> None:
        """The cell is kept; also called for a cell that was fresh and never started."""
        ...

    def noted(self, what: str) -> None:
        """Something else that whoever waits should know. May be called from another thread."""
        ...


class Pace:
    """How fast prompts are answered, and how long the rest will take.

    Only the time counts in which prompts were open, and prompts that cost nothing say nothing. A model may be loaded
    before the first batch of a stretch, so that one counts only as long as nothing better is known.
    """

    def __init__(self) -> None:
        self._left = 0
        self._mark = 0.0
        self._is_first = True
        self._first = _Measured()
        self._others = _Measured()

    def started(self, total: int) -> None:
        if self._left == 0:
            self._mark, self._is_first = time.monotonic(), True
        self._left += total

    def advanced(self, count: int, tokens: int) -> None:
        now = time.monotonic()
        self._left -= count
        if tokens:
            (self._first if self._is_first else self._others).add(count, tokens, now - self._mark)
            self._is_first = False
        self._mark = now

    def __str__(self) -> str:
        """Such as `1,234 tokens/s, 0:05:10 left`; without the second half at the end, empty before the first batch."""
        known = self._others if self._others.tokens else self._first
        if not known.tokens:
            return ""
        seconds = max(known.seconds, 1e-6)
        pace = f"{known.tokens / seconds:,.0f} tokens/s"
        if self._left <= 0:
            return pace
        left = round(seconds / known.prompts * self._left)
        hours, minutes = divmod(left // 60, 60)
        return f"{pace}, {hours}:{minutes:02}:{left % 60:02} left"


@dataclass
class _Measured:
    prompts: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def add(self, prompts: int, tokens: int, seconds: float) -> None:
        self.prompts += prompts
        self.tokens += tokens
        self.seconds += seconds


class LoggedProgress:
    """Writes a line every ten seconds and at each cell's end; in a Dagster run it shows in the run's log."""

    def __init__(self) -> None:
        self._total: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._pace = Pace()
        self._last = 0.0

    def started(self, cell: str, total: int) -> None:
        self._total[cell], self._done[cell] = total, 0
        self._pace.started(total)
        _log.info("%s: %d prompts", cell, total)

    def advanced(self, cell: str, count: int, tokens: int) -> None:
        self._done[cell] += count
        self._pace.advanced(count, tokens)
        whole = self._done[cell] == self._total[cell]
        if whole or time.monotonic() - self._last > SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            pace = str(self._pace)
            _log.info("%s: %d of %d%s", cell, self._done[cell], self._total[cell], pace and f", {pace}")

    def finished(self, cell: str) -> None:
        _log.info("%s: kept", cell)

    def noted(self, what: str) -> None:
        _log.info("%s", what)
