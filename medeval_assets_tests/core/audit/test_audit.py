"""An audit says of an untouched lake that it is intact, reads what changed only, and tells what moved on."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from medeval_assets.audit.audit import Today, audit
from medeval_assets.audit.verdict import AuditReport, Verdict
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.known_records import KnownRecords
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.lake.staleness import Change
from medeval_assets_tests.core.audit.small_lakes import KILLED, SmallLake, every_kind, random_lake

DATASET = LakeKey("datasets", task="mednli")


def wrong(report: AuditReport) -> list[tuple[str, str, str]]:
    return [(file.path, file.verdict.value, file.reason) for file in report.wrong]


def test_an_untouched_lake_is_intact_and_each_table_is_read_once(tmp_path: Path) -> None:
    small = every_kind(tmp_path)
    report = audit(small.lake, known=small.log)
    assert wrong(report) == []
    assert len(report.files) == 9 + 10
    assert report.read == 10  # a current table is a second name of its file in the archive
    assert {file.verdict for file in report.files} == {Verdict.INTACT}
    assert report.event_log
    assert not audit(small.lake).event_log


def test_an_audit_tells_how_far_it_is(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    report = audit(every_kind(tmp_path).lake, on_read=lambda done, of: told.append((done, of)))
    assert told == [(number, report.read) for number in range(1, report.read + 1)]


def test_a_lake_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert audit(Lake(tmp_path / "none")).files == []


def test_an_object_store_is_audited_too(tmp_path: Path) -> None:
    small = SmallLake(Lake(f"memory://{tmp_path.name}"))
    small.write(DATASET)
    assert wrong(audit(small.lake, known=small.log)) == []
    small.lake.fs.pipe_file(small.lake.path(DATASET), b"other")
    assert wrong(audit(small.lake)) == [
        ("datasets/task=mednli/data.parquet", "unreadable", "it cannot be read as Parquet")
    ]


@pytest.mark.parametrize("seeds", [range(100), pytest.param(range(100, 1000), marks=pytest.mark.slow)], ids=str)
def test_no_false_alarm_on_a_thousand_untouched_lakes(seeds: range, tmp_path: Path) -> None:
    for seed in seeds:
        small = random_lake(tmp_path / "lake", random.Random(seed))
        notes = tmp_path / "notes.parquet"
        for full in (False, False, True) if seed % 10 == 0 else (False,):
            report = audit(small.lake, known=small.log, remembered=notes, full=full)
            assert wrong(report) == [], f"seed {seed}"
        shutil.rmtree(tmp_path / "lake", ignore_errors=True)
        notes.unlink(missing_ok=True)


def test_unchanged_files_are_not_read_again_unless_asked(tmp_path: Path) -> None:
    small = every_kind(tmp_path / "lake")
    notes = tmp_path / "notes.parquet"
    first = audit(small.lake, known=small.log, remembered=notes)
    assert audit(small.lake, known=small.log, remembered=notes).read == 0
    assert audit(small.lake, known=small.log, remembered=notes).files == first.files
    assert audit(small.lake, known=small.log, remembered=notes, full=True).read == first.read
    small.write(DATASET, 7)
    # The new table, and the one before it, whose file lost a name.
    assert audit(small.lake, known=small.log, remembered=notes).read <= 2


def test_what_was_found_stays_found(tmp_path: Path) -> None:
    small = every_kind(tmp_path / "lake")
    notes = tmp_path / "notes.parquet"
    audit(small.lake, remembered=notes)
    small.versions(DATASET)[0].unlink()
    path = small.current(LakeKey("leaderboard"))
    path.write_bytes(path.read_bytes()[:-9])
    first = wrong(audit(small.lake, remembered=notes))
    assert {verdict for _, verdict, _ in first} >= {"missing", "unreadable"}
    assert wrong(audit(small.lake, remembered=notes)) == first


def test_broken_notes_are_as_good_as_none(tmp_path: Path) -> None:
    small = every_kind(tmp_path / "lake")
    notes = tmp_path / "notes.parquet"
    notes.write_bytes(b"no parquet")
    assert audit(small.lake, remembered=notes).read == 10


def test_a_killed_run_may_write_what_nobody_recorded(tmp_path: Path) -> None:
    small = every_kind(tmp_path)
    small.write(DATASET, 7, run=KILLED)
    assert wrong(audit(small.lake, known=small.log)) == []
    small.write(DATASET, 8)
    # It stays in the archive when another run writes the table.
    assert wrong(audit(small.lake, known=small.log)) == []


def test_two_runs_that_write_at_once_are_no_alarm(tmp_path: Path) -> None:
    small = SmallLake(Lake(tmp_path))
    small.write(DATASET, 1)
    small.write(DATASET, 2)
    first, second = small.log.recorded
    # The first run's table became current last, and the second run noted that file's hash as its own.
    small.current(DATASET).unlink()
    shutil.copy(tmp_path / f"_versions/datasets/task=mednli/{first.file_sha256}.parquet", small.current(DATASET))
    small.log.recorded[1] = type(second)(second.key, second.content_sha256, first.file_sha256, second.made)
    assert wrong(audit(small.lake, known=small.log)) == []


def test_what_moved_on_is_stale_and_told(tmp_path: Path) -> None:
    small = every_kind(tmp_path)

    def changes(record: LineageRecord) -> Sequence[Change]:
        return [Change("code version", "", "1", "2")] if record.asset == "scores" else []

    report = audit(small.lake, known=small.log, today=lambda _: changes)
    stale = [(file.path, file.reason) for file in report.files if file.verdict is Verdict.STALE]
    assert stale == [("scores/model=biomed/task=mednli/data.parquet", "code version changed")]
    assert report.wrong == []


def inputs_of(lake: Lake) -> Today:
    """What says of a table which of its inputs have another content, by the records that the lake knows."""

    def changes(records: Sequence[LineageRecord]) -> Callable[[LineageRecord], Sequence[Change]]:
        known = KnownRecords(lake, records)

        def of(record: LineageRecord) -> list[Change]:
            found = []
            for one in record.derivation.inputs:
                now = known.record(one.key)
                content = None if now is None else now.content_sha256
                if content != one.content_sha256:
                    found.append(Change("input", str(one.key), one.content_sha256, content))
            return found

        return of

    return changes


def test_a_purged_input_makes_nothing_stale_until_another_takes_its_place(tmp_path: Path) -> None:
    small = every_kind(tmp_path)
    tables = ("prompt_sets", "generations", "scores", "repeat_checks", "leaderboard")
    current = small.lake.records([key for asset in tables for key in small.lake.keys(asset)])
    rests_on_it = {f"{record.key.folder}/data.parquet" for record in current}
    for version in small.lake.versions(DATASET):
        small.lake.remove(version, "purge")
    report = audit(small.lake, known=small.log, today=inputs_of(small.lake))
    assert {file.verdict for file in report.files} == {Verdict.INTACT}
    assert "removal" in {file.place.kind for file in report.files}
    small.write(DATASET, 7)
    report = audit(small.lake, known=small.log, today=inputs_of(small.lake))
    assert {file.path: file.reason for file in report.files if file.verdict is not Verdict.INTACT} == dict.fromkeys(
        rests_on_it, f"input {DATASET} changed"
    )
