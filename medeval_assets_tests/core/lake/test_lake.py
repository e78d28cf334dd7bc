"""The lake keeps whole tables, their records and their earlier versions."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medeval_assets.catalog.task_spec import Access
from medeval_assets.errors import BadInput, MedevalError
from medeval_assets.lake.content_hash import content_sha256
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import FOOTER_KEY, Lake
from medeval_assets.lake.lineage_record import Derivation, LineageRecord
from medeval_assets.retention.prune import prune
from medeval_assets_tests.core.lake.storages import content_of, swap

KEY = LakeKey("datasets", task="mednli")
FIRST = Derivation(code_version="1")
SECOND = Derivation(code_version="2")


def example(example_id: str, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "example_id": example_id,
        "cluster_id": example_id,
        "split": "test",
        "inputs": {"premise": "Afebrile overnight."},
        "options": {"entailment": "entailment", "neutral": "neutral"},
        "targets": ["neutral"],
        "documents": [{"document_id": "d1", "text": "letter"}],
    }
    return row | changes


@pytest.fixture
def lake(lake_url: str) -> Lake:
    return Lake(lake_url)


def test_rows_come_back_as_they_went_in(lake: Lake) -> None:
    rows = [example("a"), example("b", documents=[], options={})]
    record = lake.write(KEY, rows, FIRST, run_id="run", access=Access.CREDENTIALED, synthetic=True)
    assert lake.rows(KEY) == rows
    assert lake.record(KEY) == record
    assert content_sha256(lake.read(KEY)) == record.content_sha256
    assert (record.rows, record.access, record.synthetic) == (2, Access.CREDENTIALED, True)
    assert lake.keys("datasets") == [KEY]


def test_the_record_is_readable_with_pyarrow_alone(tmp_path: Path) -> None:
    Lake(tmp_path).write(KEY, [example("a")], FIRST, run_id="run")
    footer = pq.read_schema(tmp_path / "datasets/task=mednli/data.parquet").metadata[FOOTER_KEY]
    assert LineageRecord.model_validate_json(footer).derivation == FIRST
    assert pq.read_table(tmp_path / "datasets").column("task").to_pylist() == ["mednli"]


def test_only_the_same_derivation_is_fresh(lake: Lake) -> None:
    assert lake.fresh(KEY, FIRST) is None
    lake.write(KEY, [example("a")], FIRST, run_id="run")
    assert lake.fresh(KEY, FIRST) is not None
    assert lake.fresh(KEY, SECOND) is None


def test_earlier_versions_are_kept_once_and_intact(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    current = Path(lake.path(KEY))
    contents = []
    for derivation in (FIRST, SECOND, FIRST):
        lake.write(KEY, [example(derivation.code_version)], derivation, run_id="run")
        contents.append(current.read_bytes())
    versions = sorted(path.read_bytes() for path in tmp_path.glob("_versions/datasets/task=mednli/*.parquet"))
    assert versions == sorted(contents)
    assert lake.keys("datasets") == [KEY]


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"split": "train"}, "split"),
        ({"example_id": ""}, "example_id"),
        ({"cluster_id": None}, "cluster_id"),
    ],
)
def test_a_row_that_is_not_as_declared_changes_nothing(tmp_path: Path, change: dict[str, Any], column: str) -> None:
    lake = Lake(tmp_path)
    before = lake.write(KEY, [example("a")], FIRST, run_id="run")
    with pytest.raises(MedevalError, match=column):
        lake.write(KEY, [example("a", inputs={"note": "Mrs Example"}) | change], SECOND, run_id="run")
    assert lake.record(KEY) == before


def test_a_lone_surrogate_is_refused_without_quoting_it(tmp_path: Path) -> None:
    with pytest.raises(MedevalError) as caught:
        Lake(tmp_path).write(KEY, [example("a", inputs={"note": "secret \ud800"})], FIRST, run_id="run")
    assert "secret" not in str(caught.value)


def test_a_missing_and_a_broken_table_are_told_apart(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert lake.record(KEY) is None
    with pytest.raises(BadInput, match="Materialize it first"):
        lake.read(KEY)
    lake.write(KEY, [example("a")], FIRST, run_id="run")
    path = Path(lake.path(KEY))
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(BadInput, match="cannot be read"):
        lake.record(KEY)
    assert lake.fresh(KEY, FIRST) is None


def test_the_content_hash_ignores_encoding_but_no_value() -> None:
    table = pa.table({"a": ["x", None, "z"], "b": [0.1, None, float("nan")]})
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert content_sha256(chunked) == content_sha256(table.replace_schema_metadata({b"k": b"v"}))
    changed = [
        table.slice(0, 2),
        table.rename_columns(["a", "c"]),
        table.set_column(0, "a", pa.array(["x", "", "z"])),
        table.set_column(1, "b", pa.array([0.1, None, 0.0])),
        table.take([1, 0, 2]),
    ]
    assert len({content_sha256(other) for other in [table, *changed]}) == 1 + len(changed)


def with_a_bit_changed(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :]


def test_no_changed_bit_of_the_rows_is_read_as_if_nothing_had_happened(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(KEY, [example(str(number)) for number in range(12)], FIRST, run_id="run")
    path = Path(lake.path(KEY))
    content = path.read_bytes()
    rows = lake.rows(KEY)
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    found = 0
    for at in range(footer):
        path.write_bytes(with_a_bit_changed(content, at))
        try:
            assert lake.rows(KEY) == rows
        except BadInput:
            found += 1
    assert found > footer / 2


def test_whatever_is_damaged_is_told_as_damaged(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write(KEY, [example("a")], FIRST, run_id="run")
    path = Path(lake.path(KEY))
    content = path.read_bytes()
    draw = random.Random(0)
    damaged = 0
    for at in range(0, len(content), 11):
        changed = with_a_bit_changed(content, at)
        path.write_bytes(changed[: draw.randrange(len(changed))] if draw.random() < 0.1 else changed)
        for use in (lake.record, lake.rows, lambda key: lake.read_models([key], ["example_id"])):
            try:
                use(KEY)
            except BadInput as error:
                damaged += 1
                assert "cannot be read" in str(error)
        lake.fresh(KEY, FIRST)
    assert damaged > len(content) / 11


@pytest.mark.parametrize("folder", ["copy of task=mednli", "model=a/model=b", "task=mednli/task=medqa", "notes"])
def test_what_lies_in_a_folder_that_is_none_of_a_table_is_no_table(lake: Lake, folder: str) -> None:
    lake.write(KEY, [example("a")], FIRST, run_id="run")
    swap(lake, f"datasets/{folder}/data.parquet", content_of(lake, "datasets/task=mednli/data.parquet"))
    swap(lake, "_versions/datasets/task=mednli/copy.parquet", b"")
    assert lake.keys("datasets") == [KEY]
    assert len(lake.versions(KEY)) == 1
    assert prune(lake, timedelta()).removed == ()
