"""A table that was written with older columns is read with those of today."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from medeval_assets.errors import BadInput
from medeval_assets.lake import migrations
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import FOOTER_KEY, Lake
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets.lake.migrations import table_version, upgraded
from medeval_assets.lake.tables import TABLES

KEY = LakeKey("generations", "m", "mednli")
ROW = {
    "example_id": "a",
    "prompt_sha256": "",
    "text": "neutral",
    "finish_reason": "stop",
    "skip_reason": "",
    "prompt_tokens": 7,
    "generated_tokens": 2,
    "option_logprobs": [],
    "option_tokens": [],
    "fitting": "",
    "request_sha256": "",
}


@pytest.fixture(params=["local", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """A lake whose only table is of version 1."""
    made = Lake(tmp_path / "lake" if request.param == "local" else f"memory://{tmp_path.name}")
    made.write(KEY, [ROW], Derivation(code_version="1"), run_id="run")
    return made


@pytest.fixture
def third_version(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the table was written its columns were changed twice: a text in capitals, then a column with its length."""
    assert lake.keys("generations") == [KEY]

    def shout(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index("text")
        return table.set_column(place, "text", pc.utf8_upper(table.column("text")))

    def measure(table: pa.Table) -> pa.Table:
        return table.append_column("characters", pc.utf8_length(table.column("text")).cast(pa.int64()))

    monkeypatch.setitem(migrations.TABLE_VERSIONS, "generations", 3)
    monkeypatch.setitem(migrations.MIGRATIONS, ("generations", 1), shout)
    monkeypatch.setitem(migrations.MIGRATIONS, ("generations", 2), measure)


def test_every_table_has_a_version() -> None:
    assert set(migrations.TABLE_VERSIONS) == set(TABLES)


def test_every_step_between_versions_is_told() -> None:
    steps = {(asset, step) for asset, today in migrations.TABLE_VERSIONS.items() for step in range(1, today)}
    assert set(migrations.MIGRATIONS) == steps


@pytest.mark.usefixtures("third_version")
def test_an_older_table_is_read_with_the_columns_of_today(lake: Lake) -> None:
    (row,) = lake.rows(KEY)
    assert (row["text"], row["characters"]) == ("NEUTRAL", 7)
    assert lake.read(KEY, ["characters"]).to_pylist() == [{"characters": 7}]


@pytest.mark.usefixtures("third_version")
def test_many_older_tables_are_read_with_the_columns_of_today(lake: Lake) -> None:
    table = lake.read_models([KEY], ["text", "characters"])
    assert table.to_pylist() == [{"text": "NEUTRAL", "characters": 7, "model": "m"}]
    assert pa.types.is_dictionary(table.schema.field("text").type)


@pytest.mark.usefixtures("third_version")
def test_reading_leaves_the_file_and_its_record_as_they_were(lake: Lake) -> None:
    before = lake.file_sha256(KEY)
    lake.read(KEY)
    assert lake.file_sha256(KEY) == before
    record = lake.record(KEY)
    assert record is not None
    assert record.table_version == 1
    (version,) = lake.versions(KEY)
    assert lake.version_table(version).column("text").to_pylist() == ["neutral"]


@pytest.mark.usefixtures("third_version")
def test_a_step_that_nobody_told_is_a_problem(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(migrations.MIGRATIONS, ("generations", 2))
    with pytest.raises(BadInput, match="nothing says how its columns of version 2 become those of version 3"):
        lake.read(KEY)
    with pytest.raises(BadInput, match="nothing says how its columns of version 2"):
        lake.read_models([KEY], ["text"])


def test_a_table_of_a_newer_release_is_a_problem() -> None:
    with pytest.raises(BadInput, match="this release knows version 1"):
        upgraded("generations", 2, pa.table({"text": ["a"]}))


def test_a_table_of_today_is_left_alone(lake: Lake) -> None:
    assert lake.rows(KEY) == [ROW]
    assert table_version("generations") == 1


def test_a_footer_that_is_no_record_is_a_problem(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    path = tmp_path / KEY.folder / "data.parquet"
    path.parent.mkdir(parents=True)
    table = pa.table({"text": ["a"]}).replace_schema_metadata({FOOTER_KEY: b"[]"})
    pq.write_table(table, path)
    with pytest.raises(BadInput, match="cannot be read"):
        lake.read(KEY)
    assert lake.file_sha256(KEY) == hashlib.sha256(path.read_bytes()).hexdigest()
