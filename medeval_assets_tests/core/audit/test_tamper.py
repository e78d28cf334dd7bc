"""Whatever is done to a file of the lake, an audit finds it and says what it is."""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from medeval_assets.audit.audit import audit
from medeval_assets.audit.file_check import FileFacts, facts_of, place_of, removal_verdict, verdict_of
from medeval_assets.audit.verdict import Place, Verdict
from medeval_assets.catalog.task_spec import Access
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import FOOTER_KEY
from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.lake.removal import Removal
from medeval_assets.lake.tables import TABLES
from medeval_assets_tests.core.audit.small_lakes import SmallLake, every_kind

DATASET = LakeKey("datasets", task="mednli")
SCORES = LakeKey("scores", "biomed", "mednli")
CHANGES = 2000


@pytest.fixture
def small(tmp_path: Path) -> SmallLake:
    return every_kind(tmp_path / "lake")


def found(small: SmallLake, *, log: bool = True) -> dict[str, tuple[str, str]]:
    """Path → verdict and reason of what is wrong, in an audit with notes of what earlier ones saw."""
    notes = small.root.with_name("notes.parquet")
    report = audit(small.lake, known=small.log if log else None, remembered=notes)
    assert report.files == audit(small.lake, known=small.log if log else None, remembered=notes, full=True).files
    return {file.path: (file.verdict.value, file.reason) for file in report.wrong}


def below(small: SmallLake, path: Path) -> str:
    return path.relative_to(small.root).as_posix()


def swap(path: Path, content: bytes) -> None:
    """Another file of that name; writing to the one that is there would change its other names too."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def rewritten(content: bytes, change: Callable[[LineageRecord], LineageRecord]) -> bytes:
    """The same rows with another record in the footer, by the same means as the lake's own."""
    table = pq.read_table(io.BytesIO(content))
    record = change(LineageRecord.model_validate_json(table.schema.metadata[FOOTER_KEY]))
    buffer = io.BytesIO()
    footer = {FOOTER_KEY: record.model_dump_json().encode()}
    pq.write_table(table.replace_schema_metadata(footer), buffer, compression="zstd")
    return buffer.getvalue()


def judged(place: Place, facts: FileFacts, archived: frozenset[str]) -> Verdict:
    try:
        record = LineageRecord.model_validate_json(facts.record)
    except ValueError:
        record = None
    return verdict_of(place, facts, record, archived)[0]


def with_one_byte_changed(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    changed[draw.randrange(len(changed))] ^= draw.randrange(1, 256)
    return bytes(changed)


def test_every_change_of_one_byte_is_found_at_two_thousand_places(small: SmallLake) -> None:
    draw = random.Random(0)
    files = sorted(small.root.rglob("*.parquet"))
    contents = {path: path.read_bytes() for path in files}
    names = {path: frozenset({hashlib.sha256(content).hexdigest()}) for path, content in contents.items()}
    for path, content in contents.items():
        place = place_of(below(small, path))
        assert judged(place, facts_of(content, names[path]), names[path]) is Verdict.INTACT
    verdicts: set[Verdict] = set()
    for number in range(CHANGES):
        path = files[number % len(files)]
        changed = with_one_byte_changed(contents[path], draw)
        verdict = judged(place_of(below(small, path)), facts_of(changed, names[path]), names[path])
        assert verdict in {Verdict.TAMPERED, Verdict.UNREADABLE}
        verdicts.add(verdict)
    assert verdicts == {Verdict.TAMPERED, Verdict.UNREADABLE}


def test_every_change_of_one_byte_of_the_proof_of_a_removal_is_found_by_itself(small: SmallLake) -> None:
    small.lake.remove(small.lake.versions(DATASET)[0], "retention")
    (proof,) = small.root.glob("_removed/**/*.json")
    content, place, draw = proof.read_bytes(), place_of(below(small, proof)), random.Random(0)
    assert removal_verdict(place, content)[0] is Verdict.INTACT
    verdicts = {removal_verdict(place, with_one_byte_changed(content, draw))[0] for _ in range(CHANGES)}
    assert verdicts == {Verdict.TAMPERED, Verdict.UNREADABLE}


def test_a_proof_that_was_made_to_fit_is_found_by_what_an_earlier_audit_saw(small: SmallLake) -> None:
    small.lake.remove(small.lake.versions(DATASET)[0], "retention")
    assert found(small) == {}
    (proof,) = small.root.glob("_removed/**/*.json")
    content = proof.read_bytes()
    swap(proof, Removal.from_file(content).model_copy(update={"removed_at": "2031-01-01T00:00:00+00:00"}).as_file())
    told = found(small)
    assert told.pop(below(small, proof)) == ("tampered", "it was changed since an earlier audit")
    # What it was the proof of is missing, then.
    assert {verdict for verdict, _ in told.values()} == {"missing"}
    swap(proof, content)
    assert found(small) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "kinds", [tuple(TABLES), ("_versions",), ("_removed",)], ids=["tables", "versions", "removals"]
)
def test_an_audit_finds_two_thousand_changes_of_one_byte_in_files_of_every_kind(
    small: SmallLake, kinds: Sequence[str]
) -> None:
    """At each step one file of every kind is another one; each of them must be told."""
    small.lake.remove(small.lake.versions(DATASET)[0], "retention")
    files = {kind: [path for path in sorted((small.root / kind).rglob("*")) if path.is_file()] for kind in kinds}
    contents = {path: path.read_bytes() for paths in files.values() for path in paths}
    draw = random.Random(kinds[0])
    notes = small.root.with_name("notes.parquet")
    assert audit(small.lake, known=small.log, remembered=notes).wrong == []
    for number in range(CHANGES):
        changed = [paths[number % len(paths)] for paths in files.values()]
        for path in changed:
            swap(path, with_one_byte_changed(contents[path], draw))
        told = {file.path: file.verdict for file in audit(small.lake, known=small.log, remembered=notes).wrong}
        assert {told.pop(below(small, path)) for path in changed} <= {Verdict.TAMPERED, Verdict.UNREADABLE}
        # Only what rests on a changed file may be told besides: a removal without proof, a table without version.
        assert set(told.values()) <= {Verdict.MISSING, Verdict.TAMPERED}
        for path in changed:
            swap(path, contents[path])
    assert found(small) == {}


def test_the_proof_of_another_removal_proves_nothing(small: SmallLake) -> None:
    version = small.lake.versions(DATASET)[0]
    small.lake.remove(version, "retention")
    (proof,) = small.root.glob("_removed/**/*.json")
    place = place_of(below(small, proof))
    assert removal_verdict(place, proof.read_bytes())[0] is Verdict.INTACT
    other = Place("removal", SCORES, place.sha256)
    assert removal_verdict(other, proof.read_bytes())[0] is Verdict.TAMPERED


@pytest.mark.parametrize("asset", ["datasets", "generations", "leaderboard", "lineage_audit"])
@pytest.mark.parametrize("length", [0, 1, 3, -1, -8, -400])
def test_a_file_that_was_cut_is_unreadable(small: SmallLake, asset: str, length: int) -> None:
    (key,) = small.lake.keys(asset)
    path = small.current(key)
    swap(path, path.read_bytes()[:length])
    assert found(small) == {below(small, path): ("unreadable", "it cannot be read as Parquet")}


def test_writing_into_a_current_table_damages_its_version_too(small: SmallLake) -> None:
    path = small.current(SCORES)
    content = bytearray(path.read_bytes())
    content[10] ^= 1
    path.write_bytes(bytes(content))
    assert [verdict for verdict, _ in found(small).values()] == ["tampered", "tampered"]


def test_two_files_that_changed_places_are_tampered_with(small: SmallLake) -> None:
    first, second = small.current(DATASET), small.current(SCORES)
    contents = first.read_bytes(), second.read_bytes()
    swap(first, contents[1])
    swap(second, contents[0])
    reason = "it is none of the versions in the archive"
    assert found(small) == {below(small, path): ("tampered", reason) for path in (first, second)}


def test_two_versions_that_changed_places_are_tampered_with(small: SmallLake) -> None:
    first, second = small.versions(DATASET)
    contents = first.read_bytes(), second.read_bytes()
    swap(first, contents[1])
    swap(second, contents[0])
    told = found(small)
    reason = "its bytes are not what its name says"
    assert {told[below(small, path)] for path in (first, second)} == {("tampered", reason)}


def test_a_table_in_the_place_of_another_is_tampered_with_even_where_the_archive_agrees(small: SmallLake) -> None:
    content = small.current(DATASET).read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    version = small.root / "_versions/datasets/task=medqa" / f"{sha256}.parquet"
    version.parent.mkdir(parents=True)
    version.write_bytes(content)
    current = small.current(LakeKey("datasets", task="medqa"))
    current.parent.mkdir(parents=True)
    current.write_bytes(content)
    wrong = ("tampered", "its record is the one of another table")
    assert found(small, log=False) == {below(small, path): wrong for path in (version, current)}


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": "another"},
        {"licence": "none"},
        {"access": Access.CREDENTIALED, "synthetic": True},
        {"created_at": "2031-01-01T00:00:00.000000+00:00"},
    ],
)
def test_a_footer_that_was_rewritten_is_found_by_the_archive(small: SmallLake, change: dict[str, object]) -> None:
    path = small.current(SCORES)
    swap(path, rewritten(path.read_bytes(), lambda record: record.model_copy(update=change)))
    assert found(small, log=False) == {below(small, path): ("tampered", "it is none of the versions in the archive")}


def test_a_footer_rewritten_with_its_archive_name_is_found_by_the_event_log(small: SmallLake) -> None:
    path, (version,) = small.current(SCORES), small.versions(SCORES)
    content = rewritten(path.read_bytes(), lambda record: record.model_copy(update={"licence": "none"}))
    swap(path, content)
    version.unlink()
    forged = version.with_name(f"{hashlib.sha256(content).hexdigest()}.parquet")
    forged.write_bytes(content)
    told = found(small)
    assert told[below(small, path)][0] == "orphan"
    assert told[below(small, forged)][0] == "orphan"
    assert told[below(small, version)] == ("missing", "Dagster recorded it, and nothing tells of its removal")


def test_rows_that_are_not_what_the_record_says_are_found_even_where_the_archive_agrees(small: SmallLake) -> None:
    path, (version,) = small.current(SCORES), small.versions(SCORES)
    for change, reason in (
        ({"content_sha256": "0" * 64}, "its content is not what its record says"),
        ({"rows": 7}, "it has 2 rows, and its record says 7"),
    ):
        content = rewritten(path.read_bytes(), lambda record, change=change: record.model_copy(update=change))  # type: ignore[misc]
        forged = version.with_name(f"{hashlib.sha256(content).hexdigest()}.parquet")
        forged.write_bytes(content)
        assert found(small, log=False)[below(small, forged)] == ("tampered", reason)


def test_columns_that_are_not_those_of_the_table_are_found(small: SmallLake) -> None:
    version = small.versions(SCORES)[0]
    table = pq.read_table(io.BytesIO(version.read_bytes()))
    buffer = io.BytesIO()
    pq.write_table(table.drop_columns(["cut"]), buffer)
    forged = version.with_name(f"{hashlib.sha256(buffer.getvalue()).hexdigest()}.parquet")
    forged.write_bytes(buffer.getvalue())
    reason = "its columns are not those declared for its table"
    assert found(small, log=False)[below(small, forged)] == ("tampered", reason)


def test_an_old_version_that_was_put_back_is_found(small: SmallLake) -> None:
    path = small.current(DATASET)
    (earlier,) = (one for one in small.versions(DATASET) if one.read_bytes() != path.read_bytes())
    path.unlink()
    os.link(earlier, path)
    assert found(small) == {below(small, path): ("tampered", "an earlier version was put back")}


@pytest.mark.parametrize("which", ["current", "earlier", "newest"])
def test_a_table_that_was_deleted_is_missing(small: SmallLake, which: str) -> None:
    current = small.current(DATASET)
    newest = next(one for one in small.versions(DATASET) if one.read_bytes() == current.read_bytes())
    earlier = next(one for one in small.versions(DATASET) if one != newest)
    path = {"current": current, "earlier": earlier, "newest": newest}[which]
    path.unlink()
    assert found(small)[below(small, path)][0] == "missing"


def test_what_an_earlier_audit_saw_is_missing_without_any_event_log(small: SmallLake) -> None:
    assert found(small, log=False) == {}
    earlier = small.versions(DATASET)[0]
    earlier.unlink()
    assert found(small, log=False)[below(small, earlier)][0] == "missing"


def test_an_input_that_is_in_neither_place_is_missing(small: SmallLake) -> None:
    shutil.rmtree(small.root / "_versions/scores")
    shutil.rmtree(small.root / "scores")
    told = found(small, log=False)
    (path,) = told
    assert path.startswith("_versions/scores/model=biomed/task=mednli/")
    assert told[path][0] == "missing"
    assert "was made from it" in told[path][1]


@pytest.mark.parametrize(
    "path",
    [
        "notes.txt",
        "datasets/notes.txt",
        "datasets/task=mednli/data (copy).parquet",
        "answers/task=mednli/data.parquet",
        "_versions/datasets/task=mednli/short.parquet",
        "datasets/task=mednli/\x1b[2J|<b>.md",
        "datasets/model=a/model=b/data.parquet",
    ],
)
def test_a_file_that_was_added_is_an_orphan(small: SmallLake, path: str) -> None:
    added = small.root / path
    added.parent.mkdir(parents=True, exist_ok=True)
    added.write_bytes(small.current(DATASET).read_bytes())
    told = found(small)
    assert [verdict for verdict, _ in told.values()] == ["orphan"]
    assert all(name.isprintable() for name in told)


def test_a_table_that_nobody_recorded_is_an_orphan(small: SmallLake) -> None:
    recorded = list(small.log.recorded)
    small.write(LakeKey("datasets", task="medqa"))
    small.log.recorded = recorded
    assert [verdict for verdict, _ in found(small).values()] == ["orphan", "orphan"]


def test_a_name_that_is_no_text_and_what_is_no_file_are_told(small: SmallLake) -> None:
    (small.root / os.fsdecode(b"datasets/task=\xff")).mkdir()
    (small.root / os.fsdecode(b"datasets/task=\xff/data.parquet")).write_bytes(b"")
    os.mkfifo(small.root / "datasets/pipe")
    (small.root / "scores/link").symlink_to(small.root.parent)
    path = small.current(SCORES)
    path.unlink()
    path.symlink_to(small.versions(SCORES)[0])
    told = found(small)
    assert told.pop(below(small, path)) == ("unreadable", "it is a link or no file at all")
    assert [verdict for verdict, _ in told.values()] == ["orphan"] * 3
