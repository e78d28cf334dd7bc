"""ObjectStore: a bucket as fsspec gives it, which caches nothing and raises no errors but OSErrors."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

# Other processes write to the lake: a listing is true only while it is being made, and a table is read in one request,
# for two could give parts of two tables.
_NOTHING_CACHED: dict[str, Any] = {"use_listings_cache": False}
_ONE_REQUEST_A_FILE: dict[str, dict[str, Any]] = {name: {"max_concurrency": 1} for name in ("s3", "s3a")}


def open_storage(url: str) -> tuple[Any, str]:
    """(fsspec's file system, the path in it). OSError where nothing can be behind such a URL."""
    protocol = fsspec.core.split_protocol(url)[0] or "file"
    try:
        fs, root = fsspec.core.url_to_fs(url, **_NOTHING_CACHED, **_ONE_REQUEST_A_FILE.get(protocol, {}))
    except ImportError as error:
        raise OSError(errno.ENOSYS, str(error)) from error
    except ValueError as error:
        raise OSError(errno.EINVAL, "fsspec knows no such URL") from error
    except Exception as error:  # every library has errors of its own
        raise _in_words(error) from error
    if isinstance(fs, LocalFileSystem):
        return fs, str(root)
    if not root:
        raise OSError(errno.EINVAL, "the URL names no bucket")
    if "@" in root.partition("/")[0]:
        # The path is told in messages and kept in records.
        raise OSError(errno.EINVAL, "the URL holds a name or a password; give them in the environment")
    return ObjectStore(fs), str(root)


class ObjectStore:
    """A file system of fsspec's. What it raises is an OSError with words of ours: a server's may quote a key."""

    def __init__(self, fs: Any) -> None:
        self._fs = fs

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._fs, name)
        return _with_os_errors(found) if callable(found) else found


def _with_os_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except Exception as error:  # every library has errors of its own
            raise _in_words(error) from error

    return called


def _in_words(error: Exception) -> OSError:
    code = _code_of(error)
    if code == "NoSuchBucket":
        return OSError(errno.ENXIO, "the bucket does not exist")
    name = code or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "there is no such file")
    if isinstance(error, PermissionError):
        return PermissionError(errno.EACCES, f"permission was refused: {name}")
    if isinstance(error, OSError) and error.errno and not code:
        return OSError(error.errno, os.strerror(error.errno))
    return OSError(errno.EIO, f"the store cannot be reached or used: {name}")


def _code_of(error: Exception) -> str:
    """The code of an answer of S3's, which is one word; "" where there is none."""
    response = getattr(error.__cause__, "response", None) or getattr(error, "response", None)
    try:
        code = str(response["Error"]["Code"])  # type: ignore[index]
    except (TypeError, KeyError):
        return ""
    return code if code.isalnum() else ""
