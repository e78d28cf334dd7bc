"""Fetching: a task's public files, from their owner into the user's sources folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from medeval_assets.catalog.task_spec import Download, TaskSpec
from medeval_assets.errors import BadInput, Problem
from medeval_assets.settings import Settings

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes that are there, and the bytes there will be (None: not known)."""

_ATTEMPTS = 3
_CHUNK = 1 << 16
_TIMEOUT_S = 30


@dataclass(frozen=True)
class FetchedFile:
    """A file of a task that is now in the sources folder.

    sha256: of the file as it is here. verified: whether it is the one the project knows.
    fetched: False where it was here already.
    """

    path: Path
    sha256: str
    size: int
    verified: bool
    fetched: bool
    url: str
    licence: str


class _Failure(Exception):
    """Why a file could not be fetched, and what to do about it."""

    def __init__(self, what: str, remedy: str) -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(what)


class _Meter:
    """The progress bar that pooch asks for. It counts whole chunks, so the last one is cut to the total."""

    def __init__(self, name: str, progress: Progress) -> None:
        self.total = 0
        self._name = name
        self._progress = progress
        self._done = 0

    def update(self, size: int) -> None:
        self._done = min(self._done + size, self.total) if self.total else self._done + size
        self._progress(self._name, self._done, self.total or None)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        """Nothing is held open."""


def fetch(task: TaskSpec, settings: Settings, progress: Progress, *, pause_s: float = 1.0) -> list[FetchedFile]:
    """Get every file of the task into `<sources>/<task>/`; all of them, or none.

    A file that is here already is kept: if it is the one wanted, it is not fetched again, else BadInput. Every
    download is checked before it gets its name. BadInput also where the task has no public files, or where one cannot
    be fetched; then the folder is as it was.
    pause_s: seconds before the second attempt after a broken connection; the third waits twice as long.
    """
    folder = settings.sources / task.name
    if not task.downloads:
        what = f"its files are {task.access.value} and have to be got by hand ({task.licence})"
        raise BadInput([Problem(task.name, what, f"Get them from {task.homepage} and put them into {folder}.")])
    problems = [problem for download in task.downloads for problem in _refused(download, folder)]
    if problems:
        raise BadInput(problems)
    here = {download: _present(download, folder) for download in task.downloads}
    missing = [download for download in task.downloads if here[download] is None]
    if missing:
        here |= _get(missing, folder, progress, pause_s)
    return [file for file in here.values() if file is not None]


def _refused(download: Download, folder: Path) -> list[Problem]:
    """Why a download may not even begin."""
    name = download.file_name
    if not name or Path(name).name != name or name.startswith("."):
        return [Problem(f"download {name!r}", "the file's name is no plain name", "Mend the task's `downloads`.")]
    address = urlsplit(download.url)
    if address.scheme not in {"http", "https"} or not address.hostname:
        return [Problem(f"download {name}", "its address is not http or https", "Mend the task's `downloads`.")]
    return _in_the_way(download, folder / name) if os.path.lexists(folder / name) else []


def _in_the_way(download: Download, path: Path) -> list[Problem]:
    """What is wrong with what has the download's name already."""
    if not path.is_file():
        return [Problem(str(path), "is in the way and is no file", "Move it away, then fetch again.")]
    try:
        sha256 = _sha256(path)
    except OSError as error:
        return [Problem(str(path), f"cannot be read ({error.strerror})", "Check its permissions.")]
    if download.sha256 is None or sha256 == download.sha256:
        return []
    what = f"is another file than the one known to the project (sha256 {sha256})"
    return [Problem(str(path), what, "It is left as it is. Move it away to fetch the known one.")]


def _present(download: Download, folder: Path) -> FetchedFile | None:
    path = folder / download.file_name
    return _described(download, path, fetched=False) if path.is_file() else None


def _described(download: Download, path: Path, *, fetched: bool) -> FetchedFile:
    return FetchedFile(
        path=path,
        sha256=_sha256(path),
        size=path.stat().st_size,
        verified=download.sha256 is not None,
        fetched=fetched,
        url=download.url,
        licence=download.licence,
    )


def _get(
    downloads: list[Download], folder: Path, progress: Progress, pause_s: float
) -> dict[Download, FetchedFile | None]:
    """Download into a hidden folder beside the files' places, then move them there."""
    new_folder = not folder.exists()
    name = ""
    failure: _Failure | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A fetch that is killed leaves this folder behind; being hidden, it is never taken for data.
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as stage:
            for download in downloads:
                name = download.file_name
                _download(download, Path(stage), progress, pause_s)
            for download in downloads:
                (Path(stage) / download.file_name).replace(folder / download.file_name)
    except _Failure as error:
        failure = error
    except OSError as error:
        failure = _Failure(f"cannot be written to {folder} ({error.strerror})", "Make room there, then fetch again.")
    if failure is not None:
        if new_folder:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise BadInput([Problem(f"download {name}".strip(), failure.what, failure.remedy)])
    return {download: _described(download, folder / download.file_name, fetched=True) for download in downloads}


def _download(download: Download, stage: Path, progress: Progress, pause_s: float) -> None:
    """One file into `stage`, tried again where the connection broke or the server had a fault of its own."""
    import pooch

    # Its messages would break into the progress bar.
    pooch.get_logger().setLevel("WARNING")
    for attempt in range(1, _ATTEMPTS + 1):
        meter = _Meter(download.file_name, progress)
        downloader = pooch.HTTPDownloader(progressbar=meter, chunk_size=_CHUNK, timeout=_TIMEOUT_S)
        try:
            # The hash is compared below, after a look at what came: it may be a page that asks to sign in.
            path = Path(pooch.retrieve(download.url, None, download.file_name, stage, downloader=downloader))
        except OSError as error:
            failure, passing = _explained(error)
            if not passing or attempt == _ATTEMPTS:
                raise failure from error
            time.sleep(pause_s * attempt)
            continue
        _refuse_wrong_file(download, path)
        size = path.stat().st_size
        progress(download.file_name, size, size)
        with path.open("rb") as stored:
            os.fsync(stored.fileno())
        return


def _explained(error: OSError) -> tuple[_Failure, bool]:
    """Why a download failed, and whether another attempt could help."""
    # Every error of the requests library is an OSError; this tells them from those of the disk.
    if not hasattr(error, "request"):
        return _Failure(f"cannot be written ({error.strerror})", "Make room on the disk, then fetch again."), False
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in {401, 403}:
        return _Failure(f"its owner refuses it (HTTP {status})", "Get the file by hand, or try again later."), False
    if status is not None:
        what = f"its owner's server has no such file or cannot give it (HTTP {status})"
        return _Failure(what, "Try again later, or look for the file at its owner's."), status >= 500 or status == 429
    what = f"the connection failed ({type(error).__name__})"
    return _Failure(what, "Check the network, then fetch again."), not isinstance(error, ValueError)


def _refuse_wrong_file(download: Download, path: Path) -> None:
    with path.open("rb") as stored:
        beginning = stored.read(64).lstrip().lower()
    if not beginning:
        raise _Failure("what came is empty", "Try again later, or look for the file at its owner's.")
    if beginning.startswith((b"<!doctype html", b"<html")):
        raise _Failure("what came is a web page", "Its owner may want you to sign in: get the file by hand.")
    sha256 = _sha256(path)
    if download.sha256 is not None and sha256 != download.sha256:
        what = f"what came is not the known file (sha256 {sha256}, not {download.sha256})"
        raise _Failure(what, "Fetch again; if it stays so, its owner has changed the file.")


def _sha256(path: Path) -> str:
    with path.open("rb") as stored:
        return hashlib.file_digest(stored, "sha256").hexdigest()
