"""Overheard: what other processes of ours write to standard error, passed on, and its end kept."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections import deque

_LINES_KEPT = 400

# The last word of a traceback, behind whatever a logger puts in front of it.
_RAISED = re.compile(r"(?:^|[\s.\]])([A-Z]\w*(?:Error|Exception)): (\S.*)$")


class Overheard:
    """Listens to the processes that are started while it is entered, for as long as they run.

    A library that runs a model in processes of its own reports of them that they failed; why, they only wrote to
    standard error. All of it still arrives there.
    """

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque(maxlen=_LINES_KEPT)
        self._listener: threading.Thread | None = None
        self._before = -1

    def __enter__(self) -> Overheard:
        reading, writing = os.pipe()
        self._before = os.dup(2)
        os.dup2(writing, 2)
        os.close(writing)
        self._listener = threading.Thread(
            target=self._listen, args=(reading, os.dup(self._before)), name="overheard", daemon=True
        )
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.dup2(self._before, 2)
        os.close(self._before)

    def reasons(self) -> list[str]:
        """The errors that were written, the last one first; of processes that have ended, all."""
        if self._listener is not None:
            self._listener.join(timeout=2)
        found = (_RAISED.search(line.decode(errors="replace").rstrip()) for line in reversed(list(self._lines)))
        return list(dict.fromkeys(f"{one[1]}: {one[2]}" for one in found if one))

    def _listen(self, reading: int, passing_on: int) -> None:
        with os.fdopen(reading, "rb") as source, os.fdopen(passing_on, "wb", buffering=0) as target:
            for line in source:
                self._lines.append(line)
                with contextlib.suppress(OSError):
                    target.write(line)
