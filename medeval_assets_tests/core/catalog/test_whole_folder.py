from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from medeval_assets.catalog.whole_folder import make_whole
from medeval_assets.errors import BadInput


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "checkpoints" / "m"

    def make(folder: Path) -> None:
        assert not target.exists()
        (folder / "file").write_text("x")

    assert make_whole(target, make) == target
    assert names(tmp_path) == ["checkpoints", "file", "m"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "m: the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "m: the disk is full"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "m: the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied"), "m: cannot be written (Permission denied)"),
    ],
)
def test_when_the_disk_fails_nothing_remains(tmp_path: Path, error: Exception, words: str) -> None:
    def make(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise error

    with pytest.raises(BadInput) as caught:
        make_whole(tmp_path / "m", make)
    assert str(caught.value).startswith(words)
    assert names(tmp_path) == []


def test_a_failed_write_of_safetensors_is_told_by_its_number(tmp_path: Path) -> None:
    # A limit on file sizes is the one way to make a write fail anywhere; it is set in a process of its own.
    program = f"""
import resource, signal, numpy
from pathlib import Path
from safetensors.numpy import save_file
from medeval_assets.catalog.whole_folder import make_whole
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
make_whole(Path({str(tmp_path / "m")!r}), lambda f: save_file({{"w": numpy.zeros(9999)}}, f / "w.safetensors"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "BadInput: m: cannot be written (File too large)." in done.stderr
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt()])
def test_other_errors_pass_and_nothing_remains(tmp_path: Path, error: BaseException) -> None:
    def make(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise error

    with pytest.raises(type(error)):
        make_whole(tmp_path / "m", make)
    assert names(tmp_path) == []


def test_who_comes_second_uses_what_the_first_made(tmp_path: Path) -> None:
    target = tmp_path / "m"

    def make_first(folder: Path) -> None:
        (folder / "file").write_text("first")

    def make(folder: Path) -> None:
        (folder / "file").write_text("second")
        if not target.exists():
            make_whole(target, make_first)

    assert make_whole(target, make) == target
    assert (target / "file").read_text() == "first"
    assert names(tmp_path) == ["file", "m"]


def test_a_parent_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        make_whole(tmp_path / "checkpoints" / "m", lambda folder: None)
