"""LakeFile: a file below the lake's root, and what tells, without reading it, that it was changed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from typing import Any, NamedTuple


class LakeFile(NamedTuple):
    """A file of the lake. path: below its root. size: in bytes.

    stamp: another one when the file was written to. same: equal for the names of one and the same file.
    plain: whether it is a file, and no link, pipe or device, which must not be opened.
    """

    path: str
    size: int
    stamp: str
    same: str
    plain: bool = True


def files_in_folder(root: str, below: str) -> Iterator[LakeFile]:
    """Every file in a folder below the root; links are not followed. OSError where a folder cannot be read."""
    waiting = [below]
    while waiting:
        folder = waiting.pop()
        prefix = f"{folder}/" if folder else ""
        try:
            with os.scandir(f"{root}/{folder}") as listing:
                entries = list(listing)
        except FileNotFoundError:
            continue
        for entry in entries:
            path = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
                continue
            try:
                about = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            # The time of the last change of anything cannot be set back by `touch`.
            stamp = f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns} {about.st_ino}"
            same = f"{about.st_dev} {about.st_ino}"
            yield LakeFile(path, about.st_size, stamp, same, stat.S_ISREG(about.st_mode))


def files_in_store(fs: Any, root: str, below: str) -> Iterator[LakeFile]:
    """Every file in a bucket below a prefix. OSError where it cannot be listed."""
    prefix = len(root) + 1
    for name, about in fs.find(f"{root}/{below}".rstrip("/"), detail=True).items():
        path = str(name)[prefix:]
        if not path or path.endswith("/"):
            continue  # what the consoles of object stores put there for a folder
        # A bucket tells when a file was written, and a hash of it; what else it tells does no harm.
        told = sorted((str(what), str(value)) for what, value in about.items())
        yield LakeFile(path, int(about["size"]), hashlib.sha256(repr(told).encode()).hexdigest(), path)
