"""Whatever an audit, a trace, a removal and a seal do for a lake in a folder, they do for one in a bucket."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from medeval_assets.audit.audit import audit
from medeval_assets.audit.seal import seal, verify
from medeval_assets.catalog.task_spec import Access
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import FOOTER_KEY
from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.lake.purged import purged
from medeval_assets.retention.prune import prune
from medeval_assets.retention.purge import Quoting, find_quoting, remove_quoting
from medeval_assets.settings import Settings
from medeval_assets.tasks import all_tasks
from medeval_assets.trace.chain import chain_of
from medeval_assets.trace.recorded import rows_of
from medeval_assets_tests.core.audit.small_lakes import KILLED, SmallLake, every_kind
from medeval_assets_tests.core.lake.forking_process import Children, Place, write_and_remove
from medeval_assets_tests.core.lake.storages import all_paths, content_of, reaching, swap, take_away

DATASET = LakeKey("datasets", task="mednli")
SCORES = LakeKey("scores", "biomed", "mednli")
NUMBERS = LakeKey("metric_tables", "biomed", "mednli")
NOT_ARCHIVED = "it is none of the versions in the archive"

Told = Mapping[str, tuple[str, str]]


@pytest.fixture
def small(lake_url: str) -> SmallLake:
    return every_kind(lake_url)


def below(small: SmallLake, key: LakeKey) -> str:
    return f"{key.folder}/data.parquet"


def archive(small: SmallLake, key: LakeKey) -> list[str]:
    """The key's files in the archive, the current one first."""
    current = small.lake.file_sha256(key)
    versions = sorted(small.lake.versions(key), key=lambda version: version.file_sha256 != current)
    return [f"_versions/{key.folder}/{version.file_sha256}.parquet" for version in versions]


def changed(content: bytes) -> bytes:
    at = 12  # in the first page: the footer is read first, and would tell more
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def rewritten(content: bytes) -> bytes:
    """The same rows with another record in the footer, by the same means as the lake's own."""
    table = pq.read_table(io.BytesIO(content))
    record = LineageRecord.model_validate_json(table.schema.metadata[FOOTER_KEY])
    lie = record.model_copy(update={"access": Access.CREDENTIALED, "run_id": "another"})
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({FOOTER_KEY: lie.model_dump_json().encode()}), buffer)
    return buffer.getvalue()


def found(small: SmallLake, notes: Path) -> Told:
    """Path → verdict and reason of what is wrong, in an audit with notes of what earlier ones saw."""
    report = audit(small.lake, known=small.log, remembered=notes)
    assert report.files == audit(small.lake, known=small.log, remembered=notes, full=True).files
    return {file.path: (file.verdict.value, file.reason) for file in report.wrong}


def change_a_byte(small: SmallLake) -> Told:
    path = below(small, SCORES)
    swap(small.lake, path, changed(content_of(small.lake, path)))
    return {path: ("tampered", NOT_ARCHIVED)}


def change_a_byte_of_a_version(small: SmallLake) -> Told:
    path = archive(small, DATASET)[1]
    swap(small.lake, path, changed(content_of(small.lake, path)))
    return {path: ("tampered", "its bytes are not what its name says")}


def cut(small: SmallLake) -> Told:
    path = below(small, SCORES)
    swap(small.lake, path, content_of(small.lake, path)[:-5])
    return {path: ("unreadable", "it cannot be read as Parquet")}


def swap_two(small: SmallLake) -> Told:
    paths = below(small, DATASET), below(small, SCORES)
    contents = [content_of(small.lake, path) for path in paths]
    for path, content in zip(paths, reversed(contents), strict=True):
        swap(small.lake, path, content)
    return dict.fromkeys(paths, ("tampered", NOT_ARCHIVED))


def delete_current(small: SmallLake) -> Told:
    path = below(small, SCORES)
    take_away(small.lake, path)
    return {path: ("missing", "an earlier audit saw it, and nothing tells of its removal")}


def delete_a_version(small: SmallLake) -> Told:
    path = archive(small, DATASET)[1]
    take_away(small.lake, path)
    return {path: ("missing", "an earlier audit saw it, and nothing tells of its removal")}


def add(small: SmallLake) -> Told:
    path = "datasets/task=mednli/copy.parquet"
    swap(small.lake, path, content_of(small.lake, below(small, DATASET)))
    return {path: ("orphan", "the lake has no such file")}


def put_an_old_version_back(small: SmallLake) -> Told:
    path = below(small, DATASET)
    swap(small.lake, path, content_of(small.lake, archive(small, DATASET)[1]))
    return {path: ("tampered", "an earlier version was put back")}


def rewrite_a_footer(small: SmallLake) -> Told:
    path = below(small, SCORES)
    swap(small.lake, path, rewritten(content_of(small.lake, path)))
    return {path: ("tampered", NOT_ARCHIVED)}


def rewrite_a_footer_and_the_archive(small: SmallLake) -> Told:
    path, (version,) = below(small, SCORES), archive(small, SCORES)
    content = rewritten(content_of(small.lake, path))
    forged = f"{version.rpartition('/')[0]}/{hashlib.sha256(content).hexdigest()}.parquet"
    swap(small.lake, path, content)
    swap(small.lake, forged, content)
    take_away(small.lake, version)
    unknown = ("orphan", "Dagster recorded no run that wrote it")
    return {
        path: unknown,
        forged: unknown,
        version: ("missing", "an earlier audit saw it, and nothing tells of its removal"),
    }


def take_a_proof_away(small: SmallLake) -> Told:
    (path,) = [path for path in all_paths(small.lake) if path.startswith("_removed/")]
    take_away(small.lake, path)
    # What it was the proof of is missing without it.
    version = f"_versions/{path.removeprefix('_removed/').removesuffix('.json')}.parquet"
    return {
        path: ("missing", "an earlier audit saw it, and nothing tells of its removal"),
        version: ("missing", "Dagster recorded it, and nothing tells of its removal"),
    }


TAMPERING: list[Callable[[SmallLake], Told]] = [
    change_a_byte,
    change_a_byte_of_a_version,
    cut,
    swap_two,
    delete_current,
    delete_a_version,
    add,
    put_an_old_version_back,
    rewrite_a_footer,
    rewrite_a_footer_and_the_archive,
    take_a_proof_away,
]


def test_an_untouched_lake_is_intact_and_not_read_twice(small: SmallLake, tmp_path: Path) -> None:
    notes = tmp_path / "notes.parquet"
    report = audit(small.lake, known=small.log, remembered=notes)
    assert (report.wrong, len(report.files)) == ([], 19)
    # A current table in a folder is a second name of its file in the archive.
    assert report.read == (10 if small.lake.is_local else 19)
    again = audit(small.lake, known=small.log, remembered=notes)
    assert (again.files, again.read) == (report.files, 0)
    small.write(DATASET, 7)
    after = audit(small.lake, known=small.log, remembered=notes)
    assert (after.wrong, after.read <= 2) == ([], True)


def test_tampering_is_found(small: SmallLake, tmp_path: Path) -> None:
    notes = tmp_path / "notes.parquet"
    other = LakeKey("datasets", task="medqa")
    small.write(other, 1)
    small.write(other, 2)
    old = next(one for one in small.lake.versions(other) if one.file_sha256 != small.lake.file_sha256(other))
    small.lake.remove(old, "retention")
    before = {path: content_of(small.lake, path) for path in all_paths(small.lake)}
    assert found(small, notes) == {}
    for tamper in TAMPERING:
        told = tamper(small)
        assert found(small, notes) == told, tamper.__name__
        # It does not become right by being audited again.
        again = audit(small.lake, known=small.log, remembered=notes)
        assert {file.path: (file.verdict.value, file.reason) for file in again.wrong} == told, tamper.__name__
        for path in all_paths(small.lake):
            if path not in before:
                take_away(small.lake, path)
        for path, content in before.items():
            if path in told:
                swap(small.lake, path, content)
        if tamper is rewrite_a_footer_and_the_archive or tamper is add:
            # What was added and is gone again stays told: it was seen.
            notes.unlink()
        assert audit(small.lake, known=small.log, remembered=notes).wrong == [], tamper.__name__


def test_a_change_of_the_same_size_right_after_an_audit_is_seen(small: SmallLake, tmp_path: Path) -> None:
    notes, draw = tmp_path / "notes.parquet", random.Random(0)
    tables = [path for path in all_paths(small.lake) if path.endswith(".parquet")]
    for path in draw.sample(tables, 4):
        before = content_of(small.lake, path)
        audit(small.lake, known=small.log, remembered=notes)
        swap(small.lake, path, changed(before))
        assert path in {file.path for file in audit(small.lake, known=small.log, remembered=notes).wrong}
        swap(small.lake, path, before)
        assert audit(small.lake, known=small.log, remembered=notes).wrong == []


def test_tables_versions_and_records_are_found(small: SmallLake) -> None:
    lake = small.lake
    assert lake.keys("datasets") == [DATASET]
    assert lake.keys("generations") == [LakeKey("generations", "biomed", "mednli")]
    assert lake.keys("leaderboard") == [LakeKey("leaderboard")]
    assert lake.keys("nothing") == []
    other = LakeKey("scores", "other", "mednli")
    small.write(other, 5, rows=3)
    table = lake.read_models([SCORES, other], ["example_id"])
    assert table.column("model").to_pylist() == ["biomed"] * 2 + ["other"] * 3
    old, new = (lake.version_record(version) for version in sorted(lake.versions(DATASET), key=lambda one: one.path))
    records = {record.content_sha256: record for record in (old, new)}
    current = lake.record(DATASET)
    assert current is not None
    assert lake.record_with(DATASET, current.content_sha256) == (None, current)
    (earlier,) = records.keys() - {current.content_sha256}
    version = next(one for one in lake.versions(DATASET) if lake.version_record(one).content_sha256 == earlier)
    assert lake.record_with(DATASET, earlier) == (version, records[earlier])
    assert lake.version_table(version).num_rows == 2
    assert hashlib.sha256(lake.version_content(version)).hexdigest() == version.file_sha256


def test_a_chain_goes_through_earlier_and_removed_versions(small: SmallLake) -> None:
    made_from = small.lake.record(DATASET)
    small.write(DATASET, 8)
    small.write(LakeKey("prompt_sets", task="mednli"), 8)
    chain = chain_of(small.lake, NUMBERS)
    states = {link.key.asset: link.state for link in chain.tables()}
    assert (states["scores"], states["datasets"], states["prompt_sets"]) == (
        "current",
        "earlier version",
        "earlier version",
    )
    dataset = chain.of("datasets")
    assert dataset is not None
    assert dataset.record == made_from
    assert [row["example_id"] for row in rows_of(small.lake, dataset)] == ["example_id 2", "example_id 3"]
    assert dataset.version is not None
    small.lake.remove(dataset.version, "purge")
    removed = chain_of(small.lake, NUMBERS).of("datasets")
    assert removed is not None
    assert (removed.state, removed.record) == ("removed", made_from)


def test_a_prune_keeps_every_chain_whole_and_the_audit_clean(small: SmallLake, tmp_path: Path) -> None:
    notes = tmp_path / "notes.parquet"
    audit(small.lake, known=small.log, remembered=notes)
    small.write(SCORES, 9)
    done = prune(small.lake, timedelta(), datetime.now(UTC) + timedelta(days=1))
    # The first dataset; the scores that the numbers were made from stay.
    assert [version.key for version in done.removed] == [DATASET]
    assert {link.state for link in chain_of(small.lake, NUMBERS).tables()} <= {"current", "earlier version"}
    assert audit(small.lake, known=small.log, remembered=notes).wrong == []
    assert prune(small.lake, timedelta(), datetime.now(UTC) + timedelta(days=1)).removed == ()


def test_a_purge_leaves_numbers_and_proofs_and_the_audit_clean(small: SmallLake, lake_url: str, tmp_path: Path) -> None:
    notes, manifest = tmp_path / "notes.parquet", tmp_path / "manifest.json"
    audit(small.lake, known=small.log, remembered=notes)
    sealed = seal(small.lake, manifest)
    settings = Settings(home=tmp_path / "home", sources=tmp_path / "sources", lake_url=lake_url)
    numbers = small.lake.record(NUMBERS)
    task = all_tasks()["mednli"]

    def quoting() -> Quoting:
        return find_quoting(small.lake, settings, task, tasks=all_tasks(), models={})

    assert len(remove_quoting(small.lake, quoting()).removed.versions) == 4
    assert quoting().nothing
    left = [path for path in all_paths(small.lake) if "/task=mednli/" in path and not path.startswith("_removed/")]
    assert {path.removeprefix("_versions/").partition("/")[0] for path in left} == {
        "scores",
        "metric_tables",
        "repeat_checks",
    }
    assert small.lake.record(NUMBERS) == numbers
    removal = purged(small.lake, DATASET)
    assert removal is not None
    assert removal.reason == "purge"
    assert audit(small.lake, known=small.log, remembered=notes).wrong == []
    found = verify(small.lake, manifest)
    assert (found.problems, found.removed, found.root_sha256) == ((), 4 + 3, sealed.root_sha256)


def test_a_table_that_was_removed_had_taken_the_place_of_the_one_before(small: SmallLake, tmp_path: Path) -> None:
    notes = tmp_path / "notes.parquet"
    assert found(small, notes) == {}
    small.write(DATASET, 9)
    current = small.lake.file_sha256(DATASET)
    # As by a purge that is killed before it comes to the older versions.
    small.lake.remove(next(one for one in small.lake.versions(DATASET) if one.file_sha256 == current), "purge")
    assert found(small, notes) == {}
    take_away(small.lake, below(small, SCORES))
    assert list(found(small, notes)) == [below(small, SCORES)]


def test_a_table_that_was_removed_had_taken_the_place_of_one_that_was_recorded(
    small: SmallLake, tmp_path: Path
) -> None:
    small.write(DATASET, 9, run=KILLED)
    current = small.lake.file_sha256(DATASET)
    small.lake.remove(next(one for one in small.lake.versions(DATASET) if one.file_sha256 == current), "purge")
    assert found(small, tmp_path / "notes.parquet") == {}
    small.write(DATASET, 10)
    take_away(small.lake, below(small, DATASET))
    assert list(found(small, tmp_path / "other notes.parquet")) == [below(small, DATASET)]


def test_a_file_that_could_not_be_read_for_a_while_is_missed_all_the_same(tmp_path: Path) -> None:
    small, notes = every_kind(tmp_path / "lake"), tmp_path / "notes.parquet"
    path = archive(small, DATASET)[1]
    file = small.root / path
    content = file.read_bytes()

    def told() -> dict[str, str]:
        return {one.path: one.verdict.value for one in audit(small.lake, remembered=notes).wrong}

    assert told() == {}
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")
    assert told() == {path: "unreadable"}
    file.unlink()
    assert told() == {path: "missing"}
    file.write_bytes(content)
    assert told() == {}


@pytest.mark.parametrize("who", ["another lake of this process", "another process"])
def test_what_others_wrote_is_seen_at_once(
    small: SmallLake, lake_url: str, who: str, children: Children, tmp_path: Path
) -> None:
    lake = small.lake
    # Everything has been listed and read before.
    before = {path: content_of(lake, path) for path in all_paths(lake)}
    assert lake.keys("datasets") == [DATASET]
    versions = lake.versions(DATASET)
    assert lake.removals() == []
    assert lake.record(LakeKey("datasets", task="medqa")) is None
    place = {"url": lake_url, "home": str(tmp_path)}
    if who == "another process":
        children.run("write_and_remove", place, environment=reaching(lake))
    else:
        write_and_remove(Place(**place))
    assert lake.keys("datasets") == [DATASET, LakeKey("datasets", task="medqa")]
    assert lake.record(LakeKey("datasets", task="medqa")) is not None
    record = lake.record(DATASET)
    assert record is not None
    assert record.derivation.code_version == "50"
    assert len(lake.removals(DATASET)) == 1
    now = {version.file_sha256 for version in lake.versions(DATASET)}
    assert len(now - {version.file_sha256 for version in versions}) == 1
    assert versions[0].file_sha256 not in now
    assert lake.file_sha256(DATASET) in now
    # Two files of the new table, and a proof; one version went and one came.
    assert len(all_paths(lake)) == len(before) + 3
