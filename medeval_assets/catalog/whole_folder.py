"""A folder that is either whole or not there."""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from medeval_assets.errors import BadInput, Problem

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
FREE_SPACE = "Free some space, or set MEDEVAL_HOME to a larger disk."


def make_whole(target: Path, make: Callable[[Path], None]) -> Path:
    """Let `make` fill an empty folder, then give it the name `target`; returns `target`.

    Where another process was faster, its folder stays and ours goes. Where `make` fails nothing remains. Raises
    BadInput when the disk is full or cannot be written, and whatever else `make` raises.
    """
    draft = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
    try:
        draft.mkdir(parents=True)
        make(draft)
        try:
            draft.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    except Exception as error:
        number = error_number(error)
        if number is None:
            raise
        if number in DISK_FULL:
            raise BadInput([Problem(target.name, "the disk is full", FREE_SPACE)]) from error
        what = f"cannot be written ({os.strerror(number)})"
        raise BadInput([Problem(target.name, what, "Check the permissions and limits of MEDEVAL_HOME.")]) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def error_number(error: Exception) -> int | None:
    """The system's number for a failed read or write; None for errors of another kind."""
    if isinstance(error, OSError):
        return error.errno
    # safetensors raises an error of its own, which only says the number.
    said = re.search(r"\(os error (\d+)\)", str(error)) if type(error).__name__ == "SafetensorError" else None
    return int(said[1]) if said else None
