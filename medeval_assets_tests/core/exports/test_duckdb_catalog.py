"""The views of the database show the lake's current tables, all of them and nothing else, whatever they are called."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from medeval_assets.errors import BadInput
from medeval_assets.exports.duckdb_catalog import CATALOGUE, FOLDERS, LINEAGE, write_catalog
from medeval_assets.lake import migrations
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets.lake.migrations import TABLE_VERSIONS
from medeval_assets.lake.tables import TABLES, column_descriptions
from medeval_assets_tests.core.audit.small_lakes import SmallLake, every_kind, row_of
from medeval_assets_tests.core.exports.measured import TEXT, write_dataset

DATASET = LakeKey("datasets", task="mednli")
ODD_FOLDER = 'it\'s "odd" [x] *? {y} model=z'

# What somebody does who has DuckDB, the file, and nothing of ours.
_READ = """
import sys, duckdb
offline = {"autoload_known_extensions": False, "autoinstall_known_extensions": False}
database = duckdb.connect(sys.argv[1], read_only=True, config=offline)
print(database.execute("SELECT count(*) FROM datasets").fetchone()[0])
assert not [name for name in sys.modules if name.startswith(("medeval", "pyarrow", "pandas"))]
"""


@pytest.fixture
def small(tmp_path: Path) -> SmallLake:
    return every_kind(tmp_path / "lake")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lake.duckdb"


def ask(file: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    with duckdb.connect(file, read_only=True) as database:
        return database.execute(query, list(values)).fetchall()


def rows_in(file: Path, view: str) -> list[dict[str, Any]]:
    with duckdb.connect(file, read_only=True) as database:
        found = database.execute(f'SELECT * FROM "{view}"')
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def in_order(rows: Sequence[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


def drafts(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith((".tmp", ".wal"))]


def test_every_view_shows_the_rows_of_the_current_tables_with_their_keys(small: SmallLake, file: Path) -> None:
    assert write_catalog(small.lake, file) == list(TABLES)
    for asset in TABLES:
        expected = []
        for key in small.lake.keys(asset):
            named = {name: getattr(key, name) for name in FOLDERS[asset]}
            expected += [{**row, **named} for row in small.lake.rows(key)]
        assert expected
        assert in_order(rows_in(file, asset)) == in_order(expected)
    assert drafts(file.parent) == []


def test_maps_lists_and_documents_come_as_such(tmp_path: Path, file: Path) -> None:
    write_dataset(Lake(tmp_path / "lake"), "mednli")
    write_catalog(Lake(tmp_path / "lake"), file)
    (row,) = rows_in(file, "datasets")
    assert row["inputs"] == {"premise": f"{TEXT} 1"}
    assert row["documents"][0]["text"] == TEXT
    assert ask(file, "SELECT inputs['premise'], targets[1], documents[1].text FROM datasets") == [
        (f"{TEXT} 1", TEXT, TEXT)
    ]


def test_keys_are_texts_whatever_they_look_like(tmp_path: Path, file: Path) -> None:
    small = SmallLake(Lake(tmp_path / "lake"))
    models = ["007", "2024-01-01", "true", "null", "1e3"]
    for model in models:
        small.write(LakeKey("metric_tables", model, "mednli"))
    write_catalog(small.lake, file)
    assert sorted(ask(file, "SELECT DISTINCT model FROM metric_tables")) == sorted((model,) for model in models)
    assert ask(file, "SELECT DISTINCT typeof(model), typeof(task) FROM metric_tables") == [("VARCHAR", "VARCHAR")]
    assert sorted(ask(file, f"SELECT model FROM {LINEAGE}")) == sorted((model,) for model in models)


def test_a_lake_in_a_folder_of_any_name_is_found(tmp_path: Path, file: Path) -> None:
    # Beside it lies what the name would match if it were taken for a pattern.
    SmallLake(Lake(tmp_path / 'it\'s "odd" x ab y model=z' / "lake")).write(LakeKey("datasets", task="medqa"))
    small = SmallLake(Lake(tmp_path / ODD_FOLDER / "lake"))
    small.write(DATASET, rows=3)
    small.write(LakeKey("scores", "m", "mednli"))
    write_catalog(small.lake, file)
    assert ask(file, "SELECT task, count(*) FROM datasets GROUP BY task") == [("mednli", 3)]
    assert ask(file, "SELECT DISTINCT model, task FROM scores") == [("m", "mednli")]
    assert ask(file, f"SELECT asset, task FROM {LINEAGE} ORDER BY asset") == [
        ("datasets", "mednli"),
        ("scores", "mednli"),
    ]


def test_what_is_written_later_shows_and_what_was_purged_does_not(tmp_path: Path, file: Path) -> None:
    lake = Lake(tmp_path / "lake")
    write_dataset(lake, "mednli")
    write_catalog(lake, file)
    assert TEXT.encode() not in file.read_bytes()
    write_dataset(lake, "medqa")
    write_dataset(lake, "mednli", "2")
    told = "SELECT task, inputs['premise'] FROM datasets ORDER BY task"
    assert ask(file, told) == [("mednli", f"{TEXT} 2"), ("medqa", f"{TEXT} 1")]
    for version in lake.versions(DATASET):
        lake.remove(version, "purge")
    assert ask(file, told) == [("medqa", f"{TEXT} 1")]


def test_every_column_is_described_beside_the_views_and_in_the_catalogue(small: SmallLake, file: Path) -> None:
    write_catalog(small.lake, file)
    for asset, declared in TABLES.items():
        meanings = {name: about for name, _, about in column_descriptions(asset)}
        comments = dict(
            ask(
                file,
                "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = ? AND comment IS NOT NULL",
                asset,
            )
        )
        assert {name: comments[name] for name in meanings} == meanings
        assert set(comments) == {*meanings, *FOLDERS[asset]}
        (about,) = ask(file, "SELECT comment FROM duckdb_views() WHERE view_name = ?", asset)
        assert about == (" ".join((declared.__doc__ or "").split()),)
        listed = ask(file, f'SELECT "column", description, access, synthetic FROM {CATALOGUE} WHERE "table" = ?', asset)
        assert {name: meaning for name, meaning, *_ in listed} == comments
        assert {(tuple(access), synthetic) for *_, access, synthetic in listed} == {(("public",), "none")}


def test_the_catalogue_tells_who_may_see_the_rows(tmp_path: Path, file: Path) -> None:
    lake = Lake(tmp_path / "lake")
    write_dataset(lake, "mednli")
    write_dataset(lake, "medqa", access="public", synthetic=True)
    write_catalog(lake, file)
    assert ask(file, f"SELECT DISTINCT access, synthetic FROM {CATALOGUE} WHERE \"table\" = 'datasets'") == [
        (["public", "credentialed"], "some")
    ]


def test_the_records_are_a_view_too(small: SmallLake, file: Path) -> None:
    write_catalog(small.lake, file)
    told = {(row["asset"], row["model"], row["task"]): row for row in rows_in(file, LINEAGE)}
    records = small.lake.records([key for asset in TABLES for key in small.lake.keys(asset)])
    assert len(told) == len(records)
    for record in records:
        row = told[record.asset, record.model, record.task]
        assert json.loads(row["record"]) == json.loads(record.model_dump_json())
        for name in ("licence", "synthetic", "rows", "content_sha256", "table_version"):
            assert row[name] == getattr(record, name)
        assert row["created_at"].isoformat() == record.created_at.removesuffix("+00:00")


def test_nothing_of_ours_is_needed_to_read_it(small: SmallLake, file: Path) -> None:
    write_catalog(small.lake, file)
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(file)], cwd=file.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout == "2\n"


def test_an_empty_lake_has_an_empty_catalogue(tmp_path: Path, file: Path) -> None:
    assert write_catalog(Lake(tmp_path / "none"), file) == []
    assert ask(file, f"SELECT count(*) FROM {CATALOGUE}") == [(0,)]


def test_a_database_of_ours_is_replaced_and_nothing_else_is(small: SmallLake, file: Path) -> None:
    write_catalog(Lake(file.parent / "none"), file)
    assert write_catalog(small.lake, file) == list(TABLES)
    foreign = file.with_name("theirs.duckdb")
    with duckdb.connect(foreign) as database:
        database.execute("CREATE TABLE patients (name VARCHAR)")
    notes = file.with_name("README.md")
    notes.write_text("notes")
    folder = file.with_name("folder")
    folder.mkdir()
    with duckdb.connect(file) as database:
        database.execute("CREATE TABLE mine AS SELECT 1 AS one")
    for path in (foreign, notes, folder, file):
        content = path.read_bytes() if path.is_file() else b""
        with pytest.raises(BadInput, match="it is there already"):
            write_catalog(small.lake, path)
        assert (path.read_bytes() if path.is_file() else b"") == content
    assert drafts(file.parent) == []


def test_a_place_that_cannot_be_written_to_is_told(small: SmallLake, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="the database cannot be written"):
        write_catalog(small.lake, tmp_path / "nowhere/lake.duckdb")


def test_columns_of_another_version_are_refused(small: SmallLake, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLE_VERSIONS, "scores", 2)
    monkeypatch.setitem(migrations.MIGRATIONS, ("scores", 1), lambda table: table)
    with pytest.raises(BadInput, match="of version 1, and a view shows those of version 2"):
        write_catalog(small.lake, file)
    assert not file.exists()
    assert drafts(file.parent) == []


def test_a_bucket_is_refused(file: Path) -> None:
    lake = Lake("memory://duckdb-bucket")
    lake.write(DATASET, [row_of("datasets")], Derivation(code_version="1"), run_id="r")
    with pytest.raises(BadInput, match="Copy the lake to this machine"):
        write_catalog(lake, file)


def test_names_of_folders_are_never_run(small: SmallLake, file: Path) -> None:
    hostile = "x'); DROP TABLE catalogue; --"
    for folder in (f"scores/model={hostile}/task=mednli", f'scores/model="; SELECT 1/task={hostile}'):
        path = small.root / folder / "data.parquet"
        path.parent.mkdir(parents=True)
        path.write_bytes(small.current(LakeKey("scores", "biomed", "mednli")).read_bytes())
    write_catalog(small.lake, file)
    assert (hostile,) in ask(file, "SELECT DISTINCT model FROM scores")
    assert ask(file, f"SELECT count(*) > 0 FROM {CATALOGUE}") == [(True,)]


@pytest.mark.parametrize("damage", ["cut", "other", "empty"])
def test_a_damaged_table_is_told_without_its_text(tmp_path: Path, file: Path, damage: str) -> None:
    lake = Lake(tmp_path / "lake")
    write_dataset(lake, "mednli")
    path = Path(lake.path(DATASET))
    content = path.read_bytes()
    path.unlink()
    path.write_bytes({"cut": content[:-9], "other": TEXT.encode() * 9, "empty": b""}[damage])
    with pytest.raises(BadInput, match="its tables cannot be read") as told:
        write_catalog(lake, file)
    assert TEXT not in str(told.value)
    assert not file.exists()
    assert drafts(tmp_path) == []


def test_a_link_out_of_the_lake_does_no_harm_to_what_is_written(small: SmallLake, file: Path) -> None:
    (small.root / "scores/link").symlink_to("/dev/null")
    assert write_catalog(small.lake, file) == list(TABLES)
