"""Progress: what a long step says about how far it is."""

from __future__ import annotations

import logging
import time
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
    """How fast prompts are answered, and how long the rest will take. Prompts that cost nothing say nothing of it."""

    def __init__(self) -> None:
        self._left = self._computed = self._tokens = 0
        self._since: float | None = None

    def started(self, total: int) -> None:
        self._left += total
        if self._since is None:
            self._since = time.monotonic()

    def advanced(self, count: int, tokens: int) -> None:
        self._left -= count
        if tokens:
            self._computed += count
            self._tokens += tokens

    def __str__(self) -> str:
        """Such as `1,234 tokens/s, 0:05:10 left`; empty before anything was computed."""
        if not self._tokens or self._since is None:
            return ""
        seconds = max(time.monotonic() - self._since, 1e-6)
        left = round(seconds / self._computed * self._left)
        hours, minutes = divmod(left // 60, 60)
        return f"{self._tokens / seconds:,.0f} tokens/s, {hours}:{minutes:02}:{left % 60:02} left"


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
