"""Progress: what a long step says about how far it is."""

from __future__ import annotations

import logging
from typing import Protocol

_log = logging.getLogger(__name__)


class Progress(Protocol):
    """Told about every cell that is worked on."""

    def started(self, cell: str, total: int) -> None:
        """`total` prompts of a cell (`model × task`) are about to be answered."""
        ...

    def advanced(self, cell: str, count: int) -> None:
        """`count` more of them are done."""
        ...

    def finished(self, cell: str) -> None:
        """The cell is kept; also called for a cell that was fresh and never started."""
        ...


class LoggedProgress:
    """Writes a line at every tenth of a cell; in a Dagster run it shows in the run's log."""

    def __init__(self) -> None:
        self._total: dict[str, int] = {}
        self._done: dict[str, int] = {}

    def started(self, cell: str, total: int) -> None:
        self._total[cell], self._done[cell] = total, 0
        _log.info("%s: %d prompts", cell, total)

    def advanced(self, cell: str, count: int) -> None:
        before, total = self._done[cell], max(self._total[cell], 1)
        self._done[cell] = before + count
        if before * 10 // total != self._done[cell] * 10 // total:
            _log.info("%s: %d of %d", cell, self._done[cell], total)

    def finished(self, cell: str) -> None:
        _log.info("%s: kept", cell)
