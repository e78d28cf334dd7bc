"""Listing: every file below the lake's root with what tells, without reading it, that it was changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from medeval_assets.lake.lake import Lake


@dataclass(frozen=True)
class Listed:
    """A file of the lake. path: below its root.

    stamp: another one when the file was written to. same: equal for the names of one and the same file.
    plain: whether it is a file, and no link, pipe or device, which an audit must not open.
    """

    path: str
    size: int
    stamp: str
    same: str
    plain: bool = True


def list_files(lake: Lake) -> list[Listed]:
    """Every file by its path, without the drafts that a killed process leaves behind."""
    if not lake.is_local:
        found = [Listed(file.path, file.size, file.modified, file.path) for file in lake.all_files()]
    else:
        found = list(_below(lake.root, ""))
    return sorted((file for file in found if not _is_draft(file.path)), key=lambda file: file.path)


def _is_draft(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.startswith(".") and name.endswith(".tmp")


def _below(folder: str, prefix: str) -> Iterator[Listed]:
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        path = prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path, f"{path}/")
            continue
        try:
            about = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        yield Listed(path, about.st_size, stamp_of(about), same_of(about), stat.S_ISREG(about.st_mode))


def stamp_of(about: os.stat_result) -> str:
    """Size and times. The time of the last change of anything cannot be set back by `touch`."""
    return f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns} {about.st_ino}"


def same_of(about: os.stat_result) -> str:
    """The file itself, whatever its names."""
    return f"{about.st_dev} {about.st_ino}"
