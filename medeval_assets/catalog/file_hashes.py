"""SHA-256 of large files, remembered: hashing hundreds of gigabytes twice takes minutes and tells nothing new."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import uuid
from pathlib import Path

from medeval_assets.catalog.remembering import may_remember

_SHA256 = re.compile(r"[0-9a-f]{64}")


class FileHashes:
    """Hashes of files, remembered in `<folder>/sha256.json` by path, size, modification time and inode.

    A damaged memory is forgotten, and one that cannot be written is done without: it only saves time.
    """

    def __init__(self, folder: Path | None) -> None:
        self._file = None if folder is None else folder / "sha256.json"

    def of(self, path: Path) -> str:
        """The file's SHA-256 in hex. Raises OSError where it cannot be read."""
        real = path.resolve()
        state = _state(real)
        known = self._known().get(str(real))
        if known is not None and known[:-1] == state:
            return str(known[-1])
        with real.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if _state(real) == state:
            self._remember(str(real), [*state, sha256])
        return sha256

    def _known(self) -> dict[str, list[int | str]]:
        if self._file is None:
            return {}
        try:
            entries = json.loads(self._file.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(entries, dict):
            return {}
        return {
            path: entry
            for path, entry in entries.items()
            if isinstance(entry, list)
            and len(entry) == 4
            and all(isinstance(number, int) for number in entry[:3])
            and isinstance(entry[3], str)
            and _SHA256.fullmatch(entry[3])
        }

    def _remember(self, path: str, entry: list[int | str]) -> None:
        if self._file is None or not may_remember():
            return
        draft = self._file.with_name(f".{self._file.name}-{uuid.uuid4().hex}")
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            try:
                draft.write_text(json.dumps(self._known() | {path: entry}, indent=1))
                draft.replace(self._file)
            finally:
                draft.unlink(missing_ok=True)


def _state(path: Path) -> list[int | str]:
    stat: os.stat_result = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]
