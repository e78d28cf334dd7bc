"""SmallDisk: a real disk that is as full, or as read-only, as a test wants it."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PAGE = resource.getpagesize()


@contextmanager
def _mounted(folder: Path, options: str) -> Iterator[bool]:
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", "-l", str(folder)], check=True)


@dataclass(frozen=True)
class SmallDisk:
    """A file system of its own where one may be mounted; else a folder, in which files have a largest size."""

    folder: Path
    mounted: bool

    @contextmanager
    def left(self, pages: int) -> Iterator[None]:
        """There is space for so many pages more. Not mounted: for so many in each file."""
        if not self.mounted:
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (pages * PAGE, before[1]))
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            return
        filler = self.folder / "filler"
        filler.touch()
        free = os.statvfs(self.folder)
        descriptor = os.open(filler, os.O_WRONLY)
        os.posix_fallocate(descriptor, 0, max(free.f_bavail - pages, 1) * free.f_frsize)
        os.close(descriptor)
        assert os.statvfs(self.folder).f_bavail == pages
        try:
            yield
        finally:
            filler.unlink()

    @contextmanager
    def names_left(self, names: int) -> Iterator[None]:
        """There can be so many files, folders and links more. It must be mounted."""
        fillers = self.folder / "fillers"
        fillers.mkdir()
        for number in range(os.statvfs(self.folder).f_favail - names):
            (fillers / str(number)).touch()
        assert os.statvfs(self.folder).f_favail == names
        try:
            yield
        finally:
            for path in fillers.iterdir():
                path.unlink()
            fillers.rmdir()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Nothing can be written. Not mounted: not by nobody, for whom the folders' permissions hold."""
        if self.mounted:
            subprocess.run(["mount", "-o", "remount,ro", str(self.folder)], check=True)
            try:
                yield
            finally:
                subprocess.run(["mount", "-o", "remount,rw", str(self.folder)], check=True)
            return
        folders = [self.folder, *(path for path in self.folder.rglob("*") if path.is_dir())]
        for path in folders:
            path.chmod(0o555)
        try:
            yield
        finally:
            for path in folders:
                path.chmod(0o755)


@contextmanager
def small_disk(folder: Path, megabytes: int = 4, names: int = 1000) -> Iterator[SmallDisk]:
    """An empty one for so many files, folders and links, mounted at the folder if that may be."""
    folder.mkdir()
    with _mounted(folder, f"size={megabytes}m,nr_inodes={names}") as mounted:
        yield SmallDisk(folder, mounted)
