"""A file is written as a whole and made durable, drafts of the dead go and those of the living stay."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from medeval_assets.audit.audit import audit
from medeval_assets.errors import BadInput
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.whole_file import link_whole, remove_whole, write_whole
from medeval_assets_tests.core.lake.small_disk import SmallDisk, small_disk
from medeval_assets_tests.core.lake.test_lake import FIRST, KEY, SECOND, example

DRAFT = f".{'0' * 32}.tmp"


def steps_of(function: Any, *arguments: Any) -> list[str]:
    """What it does to files and folders, in order."""
    steps: list[str] = []

    def seen(_: FrameType, event: str, what: Any) -> None:
        if event == "c_call" and what.__name__ in {"write", "fsync", "replace", "link", "unlink", "flock"}:
            steps.append(what.__name__)

    sys.setprofile(seen)
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    return steps


def test_the_content_is_on_the_disk_before_its_name_and_the_name_before_it_returns(tmp_path: Path) -> None:
    version, current = tmp_path / "version", tmp_path / "current"
    assert steps_of(write_whole, version, b"content")[:5] == ["flock", "write", "fsync", "replace", "fsync"]
    assert steps_of(link_whole, version, current)[:4] == ["flock", "link", "replace", "fsync"]
    assert steps_of(remove_whole, version) == ["unlink", "fsync"]
    assert current.read_bytes() == b"content"


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    left_behind, another = tmp_path / DRAFT, tmp_path / ".tmp"
    for path in (left_behind, another):
        path.write_bytes(b"half")
    writing = "import fcntl, sys; file = open(sys.argv[1], 'xb'); fcntl.flock(file, fcntl.LOCK_EX); print(); input()"
    living = tmp_path / DRAFT.replace("0", "1")
    with subprocess.Popen(
        [sys.executable, "-c", writing, living], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        write_whole(tmp_path / "table", b"content")
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([another.name, living.name, "table"])
        process.kill()
    write_whole(tmp_path / "table", b"content")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([another.name, "table"])


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that knows no locks, as some that are shared by many machines: none can be mounted here."""

    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.usefixtures("no_locks")
def test_without_locks_tables_are_written_and_no_draft_is_taken_for_a_dead_one(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(KEY, [example("a")], FIRST, run_id="run")
    draft = Path(lake.path(KEY)).with_name(DRAFT)
    draft.write_bytes(b"half")
    lake.write(KEY, [example("b")], SECOND, run_id="run")
    assert lake.rows(KEY) == [example("b")]
    assert draft.exists()
    assert audit(lake).wrong == []


@pytest.fixture
def no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallDisk]:
    """The archive on a disk of its own, where that may be mounted, so that current tables cannot be links into it."""
    (tmp_path / "lake").mkdir()
    with small_disk(tmp_path / "lake" / "_versions") as disk:
        if not disk.mounted:

            def link(*_: object) -> None:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

            monkeypatch.setattr(os, "link", link)
        yield disk


@pytest.mark.usefixtures("no_links")
def test_where_there_can_be_no_links_the_current_table_is_a_copy(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    for derivation in (FIRST, SECOND):
        lake.write(KEY, [example(derivation.code_version)], derivation, run_id="run")
        assert lake.rows(KEY) == [example(derivation.code_version)]
    assert len(lake.versions(KEY)) == 2
    report = audit(lake, remembered=tmp_path / "notes")
    assert (report.wrong, report.read) == ([], 3)
    assert Path(lake.path(KEY)).stat().st_nlink == 1
    assert not list((tmp_path / "lake").rglob("*.tmp"))


def test_where_there_can_be_no_links_a_full_disk_loses_nothing(tmp_path: Path, no_links: SmallDisk) -> None:
    lake = Lake(tmp_path / "lake")
    lake.write(KEY, [example("1")], FIRST, run_id="run")
    with no_links.left(0), pytest.raises(BadInput, match="Free some space"):
        lake.write(KEY, [example("2")], SECOND, run_id="run")
    assert lake.rows(KEY) == [example("1")]
    assert audit(lake).wrong == []
