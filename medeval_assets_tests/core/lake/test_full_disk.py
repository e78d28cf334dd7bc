"""On a full or read-only disk everything says so, nothing is lost, and it goes on once there is space."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from medeval_assets.audit.audit import audit
from medeval_assets.audit.seal import verify
from medeval_assets.errors import BadInput
from medeval_assets.lake.content_hash import content_sha256
from medeval_assets_tests.core.lake.forking_process import BOARD, CHANGING, NEEDS, NLI, TASKS, Children, Place
from medeval_assets_tests.core.lake.small_disk import SmallDisk, small_disk

WRITING = [task for task in CHANGING if task != "audit"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
def place(disk: SmallDisk) -> Place:
    """A lake on the disk, as everything that belongs to it."""
    return filled(disk.folder / "home")


def files(place: Place) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(place.lake.root).rglob("*") if path.is_file()}


def intact(place: Place, before: dict[str, bytes], elsewhere: Path) -> None:
    """All that was there is there, or was removed with its proof; nothing is half written, and the audit is clean."""
    after = files(place)
    proven = {removal.file_sha256 for removal in place.lake.removals()}
    for path, content in before.items():
        assert after.get(path, content) == content
        assert path in after or hashlib.sha256(content).hexdigest() in proven
    assert [path for path in after if path.endswith(".tmp")] == []
    for key in NEEDS:
        record = place.lake.record(key)
        if record is not None:
            assert content_sha256(place.lake.read(key)) == record.content_sha256
    assert audit(place.lake, known=place.log, remembered=elsewhere / "notes.parquet", full=True).wrong == []


def until_it_fits(
    place: Place, task: str, left: Callable[[int], AbstractContextManager[None]], elsewhere: Path
) -> list[BadInput]:
    """Try it with more and more space, beginning with none; what was said where there was too little."""
    place.log.killed = {"a failed run"}
    refused: list[BadInput] = []
    trying = Place(place.url, str(place.home), "a failed run")
    trying.log.path = Path(os.devnull)
    for space in range(200):
        before = files(place)
        try:
            with left(space):
                TASKS[task](trying)
        except BadInput as error:
            refused.append(error)
        else:
            return refused
        intact(place, before, elsewhere)
    pytest.fail("it never fitted")


def check_words(refused: list[BadInput], place: Place) -> None:
    for error in refused:
        for problem in error.problems:
            assert "written (" in problem.what
            assert "No space left on device)" in problem.what or "File too large)" in problem.what
            assert problem.remedy.startswith("Free some space")
            assert problem.where


@pytest.mark.parametrize("task", WRITING)
def test_a_full_disk_is_told_and_loses_nothing(place: Place, disk: SmallDisk, task: str, tmp_path: Path) -> None:
    refused = until_it_fits(place, task, disk.left, tmp_path)
    assert refused
    check_words(refused, place)
    assert audit(place.lake, remembered=place.notes).wrong == []
    if task == "seal":
        assert verify(place.lake, place.home / "kept" / "manifest.json").problems == ()


@pytest.mark.parametrize("task", WRITING)
def test_a_disk_that_takes_no_more_files_is_told_and_loses_nothing(
    place: Place, disk: SmallDisk, task: str, tmp_path: Path
) -> None:
    left = disk.names_left if disk.mounted else disk.left
    refused = until_it_fits(place, task, left, tmp_path)
    assert refused
    check_words(refused, place)
    assert audit(place.lake, remembered=place.notes).wrong == []


def test_an_audit_that_cannot_keep_what_it_read_reports_all_the_same(
    place: Place, disk: SmallDisk, caplog: pytest.LogCaptureFixture
) -> None:
    expected = audit(place.lake, known=place.log)
    kept = place.notes.read_bytes()
    place.write(NLI, 3)
    for space in range(200):
        caplog.clear()
        with disk.left(space), caplog.at_level(logging.WARNING):
            report = audit(place.lake, known=place.log, remembered=place.notes)
        assert report.wrong == []
        assert len(report.files) == len(expected.files) + 1
        assert not list(place.notes.parent.glob(".*"))
        if place.notes.read_bytes() != kept:
            break
        (warning,) = caplog.messages
        assert str(place.notes) in warning
        assert "could not be kept for the next one (" in warning
    else:
        pytest.fail("it never fitted")
    assert space > 0
    assert caplog.messages == []
    assert audit(place.lake, known=place.log, remembered=place.notes).read == 0


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def filled(home: Path) -> Place:
    """A lake with every table in two versions, and an audit of it."""
    home.mkdir()
    place = Place(str(home / "lake"), str(home), "a run")
    for number in (1, 2):
        for key in NEEDS:
            place.write(key, number)
    place.audit()
    return place


def about(place: Place) -> dict[str, str]:
    return {"url": place.url, "home": str(place.home), "run": "a run"}


def test_a_lake_on_a_read_only_disk_is_read_audited_and_traced(open_folder: Path, children: Children) -> None:
    with small_disk(open_folder / "disk") as disk:
        place = filled(disk.folder / "home")
        before = files(place)
        with disk.read_only():
            children.run("only_read", about(place), as_nobody=not disk.mounted)
        assert files(place) == before


def test_a_lake_of_somebody_else_is_read_audited_and_traced(open_folder: Path, children: Children) -> None:
    place = filled(open_folder / "home")
    before = files(place)
    with SmallDisk(open_folder, mounted=False).read_only():
        children.run("only_read", about(place), as_nobody=True)
    assert files(place) == before


def test_what_may_not_be_read_is_not_taken_for_missing(open_folder: Path, children: Children) -> None:
    place = filled(open_folder / "home")
    hidden = [Path(place.lake.path(key)) for key in (NLI, BOARD)]
    hidden[0].parent.chmod(0)
    hidden[1].chmod(0)
    try:
        children.run("out_of_reach", about(place), as_nobody=True)
    finally:
        hidden[0].parent.chmod(0o755)
        hidden[1].chmod(0o644)


def test_what_may_not_be_removed_is_told_and_goes_with_the_next_purge(open_folder: Path, children: Children) -> None:
    place = filled(open_folder / "home")
    proofs = Path(place.lake.root) / "_removed"
    before = files(place)
    with SmallDisk(open_folder, mounted=False).read_only():
        proofs.mkdir()
        proofs.chmod(0o777)
        children.run("refuse_to_remove", about(place), as_nobody=True)
        written = {path: content for path, content in files(place).items() if path not in before}
    assert len(written) == 6
    assert before.items() <= files(place).items()
    for removed in proofs.rglob("*"):
        removed.chmod(0o755 if removed.is_dir() else 0o644)
    place.purge()
    assert written.items() <= files(place).items()
    assert len(place.lake.removals()) == 6
    assert audit(place.lake, known=place.log, remembered=place.notes).wrong == []
