"""Whole files: each is written as a whole or not at all, and is still there after the power failed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_DRAFT = re.compile(r"\.[0-9a-f]{32}\.tmp")
_NO_LINKS = {errno.EPERM, errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS}
_NO_SYNC = {errno.EACCES, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}


def is_draft(name: str) -> bool:
    """Whether a file of that name is one that is being written, or was when its process was killed."""
    return name.startswith(".") and name.endswith(".tmp")


def write_whole(path: Path, content: bytes) -> None:
    """Make it the file's content. OSError where that cannot be; the file that was there is intact then."""
    with _draft_of(path) as draft, _new_file(draft) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        draft.replace(path)
        _sync(path.parent)


def link_whole(source: Path, path: Path) -> bool:
    """Make `path` another name of the source, which takes no more space; False where the two cannot share a file."""
    with _draft_of(path) as draft, source.open("r+b") as file:
        # Another process would take the draft for one left behind.
        _lock(file, wait=True)
        try:
            draft.hardlink_to(source)
        except OSError as error:
            if error.errno in _NO_LINKS:
                return False
            raise
        draft.replace(path)
        _sync(path.parent)
    return True


def remove_whole(path: Path) -> None:
    """Remove the file for good, where it is there."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        _sync(path.parent)


@contextlib.contextmanager
def _draft_of(path: Path) -> Iterator[Path]:
    """A name for a draft of the file, which does not stay; drafts that killed processes left are removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_behind(path.parent)
    draft = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _new_file(path: Path) -> BinaryIO:
    """An empty file that is locked as long as it is open."""
    while True:
        file = path.open("xb")
        _lock(file, wait=True)
        if os.fstat(file.fileno()).st_nlink:
            return file
        # Another process took it for one left behind, before it was locked.
        file.close()


def _remove_left_behind(folder: Path) -> None:
    """Remove what processes that were killed left half written; one that lives holds a lock on its file.

    What cannot be opened, locked or removed stays: it must not keep anybody from writing.
    """
    with contextlib.suppress(OSError):
        for draft in [path for path in folder.iterdir() if _DRAFT.fullmatch(path.name)]:
            with contextlib.suppress(OSError), draft.open("r+b") as file:
                if _lock(file, wait=False):
                    draft.unlink(missing_ok=True)


def _lock(file: BinaryIO, *, wait: bool) -> bool:
    """Lock the file as long as it is open; False where another process has, or the file system knows no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sync(folder: Path) -> None:
    """Have the folder's names on the disk, where that can be asked for."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
