"""Facts about DuckDB that the database of views rests on. An upgrade that changes one fails here."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def write(path: Path, **metadata: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"n": [1]}).replace_schema_metadata(metadata)
    pq.write_table(table, path)
    return path


def rows(query: str, *values: object) -> list[tuple[object, ...]]:
    return duckdb.execute(query, list(values)).fetchall()


def test_a_bracket_in_a_pattern_is_one_too_and_in_brackets_it_is_itself(tmp_path: Path) -> None:
    write(tmp_path / "a[b]" / "task=x" / "data.parquet")
    pattern = f"{tmp_path}/a[b]/task=*/data.parquet"
    with pytest.raises(duckdb.IOException):
        rows("SELECT n FROM read_parquet(?)", pattern)
    assert rows("SELECT n FROM read_parquet(?)", pattern.replace("[b]", "[[]b]")) == [(1,)]


def test_folders_above_the_pattern_are_read_as_keys_too_and_types_are_guessed(tmp_path: Path) -> None:
    write(tmp_path / "model=above" / "scores" / "task=2024-01-01" / "data.parquet")
    files = f"{tmp_path}/model=above/scores/task=*/data.parquet"
    found = rows("SELECT model, typeof(task) FROM read_parquet(?, hive_partitioning = true)", files)
    assert found == [("above", "DATE")]


def test_a_view_finds_files_that_are_written_later_and_holds_no_rows(tmp_path: Path) -> None:
    write(tmp_path / "lake" / "task=a" / "data.parquet")
    with duckdb.connect(tmp_path / "views.duckdb") as database:
        database.execute(f"CREATE VIEW v AS SELECT n FROM read_parquet('{tmp_path}/lake/task=*/data.parquet')")
    write(tmp_path / "lake" / "task=b" / "data.parquet")
    with duckdb.connect(tmp_path / "views.duckdb", read_only=True) as database:
        assert database.execute("SELECT count(*) FROM v").fetchall() == [(2,)]


def test_a_footers_metadata_are_bytes_that_may_be_no_text(tmp_path: Path) -> None:
    write(tmp_path / "good.parquet", record='{"rows": 1}')
    pq.write_table(pa.table({"n": [1]}).replace_schema_metadata({b"record": b"\xff"}), tmp_path / "bad.parquet")
    query = "SELECT try(decode(value)) FROM parquet_kv_metadata(?) WHERE key = 'record' ORDER BY file_name"
    assert rows(query, f"{tmp_path}/*.parquet") == [(None,), ('{"rows": 1}',)]


def test_an_error_quotes_the_file_that_it_is_about(tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    path.write_bytes(b"PAR1 no table PAR1")
    with pytest.raises(duckdb.Error, match=r"bad\.parquet"):
        rows("SELECT * FROM read_parquet(?)", str(path))
