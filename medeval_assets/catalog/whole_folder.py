"""A folder that is either whole or not there."""

from __future__ import annotations

import errno
import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from medeval_assets.errors import BadInput, Problem

DISK_FULL = "the disk is full"
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
        if is_disk_full(error):
            raise BadInput([Problem(target.name, DISK_FULL, FREE_SPACE)]) from error
        if isinstance(error, OSError):
            what = f"cannot be written ({error.strerror})"
            raise BadInput([Problem(target.name, what, "Check the permissions of MEDEVAL_HOME.")]) from error
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def is_disk_full(error: Exception) -> bool:
    """Whether a write failed for want of space. safetensors raises no OSError, but its message ends in the number."""
    said = re.search(r"os error (\d+)", str(error))
    number = int(said[1]) if said else error.errno if isinstance(error, OSError) else None
    return number in {errno.ENOSPC, errno.EDQUOT}
