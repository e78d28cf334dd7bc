"""What leaves is what was measured, with the hash of all that it rests on, and nothing of any example."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import EvalResultEntry, parse_eval_result_entries
from hypothesis import given, settings
from hypothesis import strategies as st

from medeval_assets.errors import BadInput
from medeval_assets.exports.evaluation_results import (
    CellResults,
    hub_entries,
    hub_yaml,
    results_document,
    results_of,
    results_schema,
)
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation, LineageRecord
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.core.exports.measured import (
    EXAMPLE_ID,
    HEADLINE,
    RAW,
    SERVER,
    TEXT,
    WEIGHTS,
    WORDING,
    measure,
    metric_row,
    write_dataset,
)

SCHEMA = Path(__file__).resolve().parents[3] / "docs" / "evaluation_results.schema.json"
CELL = LakeKey("metric_tables", "biomed", "mednli")
CHAIN = ["metric_tables", "scores", "datasets", "generations", "prompt_sets"]
FRACTIONS = st.floats(0, 1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def results(lake: Lake, model: str = "biomed", *, synthetic: bool = False) -> list[CellResults]:
    return results_of(lake, all_tasks(), model, synthetic=synthetic)


def document(lake: Lake, *, synthetic: bool = False) -> dict[str, Any]:
    """The document as a reader of the file has it."""
    whole = results_document("biomed", results(lake, synthetic=synthetic))
    read: dict[str, Any] = json.loads(json.dumps(whole, allow_nan=False))
    return read


def refusal(lake: Lake, *, synthetic: bool = False) -> str:
    with pytest.raises(BadInput) as caught:
        results(lake, synthetic=synthetic)
    return str(caught.value)


def hashes_behind(lake: Lake, record: LineageRecord) -> Iterator[str]:
    """Every hash that is written in the records of the chain, found without the code that is tested."""
    yield record.content_sha256
    yield from re.findall(r"[0-9a-f]{64}", record.derivation.model_dump_json())
    for source in record.derivation.inputs:
        behind = lake.record(source.key)
        assert behind is not None
        yield from hashes_behind(lake, behind)


def test_a_value_leaves_with_its_interval_and_what_it_was_measured_by(lake: Lake) -> None:
    measure(lake, rows=[HEADLINE, metric_row("rouge", profile="clue-2024-06", low=None, high=None)], limit=120)
    (cell,) = document(lake)["results"]
    first, second = cell["metrics"]
    assert (first["metric"], first["profile"], first["headline"]) == ("accuracy", "corrected", True)
    assert (first["value"], first["low"], first["high"], first["confidence"]) == (0.625, 0.54, 0.7, 0.95)
    assert (first["n"], first["clusters"], first["interval"], first["standard_error"]) == (120, 100, "wilson", 0.04)
    assert (second["metric"], second["profile"], second["low"], second["high"]) == ("rouge", "clue-2024-06", None, None)
    assert (cell["task"], cell["limit"], cell["access"], cell["licence"]) == ("mednli", 120, "credentialed", "DUA 1.5")
    assert cell["synthetic"] is False


@settings(max_examples=60)
@given(value=FRACTIONS, low=FRACTIONS, high=FRACTIONS, error=st.floats(0, allow_infinity=False, allow_nan=False))
def test_numbers_are_the_same_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, value: float, low: float, high: float, error: float
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    measure(lake, rows=[metric_row(value=value, low=low, high=high, standard_error=error, headline=True)])
    found = results(lake)
    (told,) = json.loads(json.dumps(results_document("biomed", found)))["results"][0]["metrics"]
    assert (told["value"], told["low"], told["high"], told["standard_error"]) == (value, low, high, error)
    (entry,) = yaml.safe_load(hub_yaml(hub_entries(found, {"mednli": "org/data"})))
    assert (type(entry["value"]), entry["value"]) == (float, value)


def test_every_hash_that_the_value_rests_on_is_told(lake: Lake) -> None:
    record = measure(lake)
    expected = set(hashes_behind(lake, record))
    assert {WEIGHTS, WORDING, RAW} < expected
    assert len(expected) == 5 + 3
    cell = document(lake)["results"][0]
    assert set(re.findall(r"[0-9a-f]{64}", json.dumps(cell))) == expected
    assert [table["asset"] for table in cell["lineage"]] == CHAIN
    assert {table["state"] for table in cell["lineage"]} == {"current"}
    by_asset = {table["asset"]: table["content_sha256"] for table in cell["lineage"]}
    assert (cell["metric_table_sha256"], cell["dataset_sha256"]) == (by_asset["metric_tables"], by_asset["datasets"])


def test_what_was_read_is_told_also_where_it_moved_on_or_was_purged(lake: Lake) -> None:
    measure(lake)
    before = document(lake)["results"][0]
    write_dataset(lake, "mednli", version="2")
    moved_on = document(lake)["results"][0]
    for version in lake.versions(LakeKey("datasets", task="mednli")):
        lake.remove(version, "purge")
    purged = document(lake)["results"][0]

    def states(cell: dict[str, Any]) -> dict[str, str]:
        return {table["asset"]: table.pop("state") for table in cell["lineage"]}

    assert states(before)["datasets"] == "current"
    assert states(moved_on)["datasets"] == "earlier version"
    assert states(purged) == dict.fromkeys(CHAIN, "current") | {"datasets": "removed"}
    assert before == moved_on == purged


def test_a_value_whose_origin_is_gone_without_a_proof_stays(lake: Lake) -> None:
    measure(lake)
    Path(lake.path(LakeKey("generations", "biomed", "mednli"))).unlink()
    for version in lake.versions(LakeKey("generations", "biomed", "mednli")):
        Path(version.path).unlink()
    assert "metric_tables × biomed × mednli: it rests on a table that is not in the lake (generations" in refusal(lake)


def test_a_value_that_is_not_what_its_record_says_stays(lake: Lake) -> None:
    measure(lake)
    path = Path(lake.path(CELL))
    table = pq.read_table(path, partitioning=None)
    place = table.column_names.index("value")
    better = table.set_column(place, table.field("value"), [[0.99]])
    path.unlink()
    pq.write_table(better.replace_schema_metadata(table.schema.metadata), path)
    assert lake.rows(CELL)[0]["value"] == 0.99
    assert "metric_tables × biomed × mednli: it is not what its record says" in refusal(lake)


def test_a_value_of_another_model_stays(lake: Lake) -> None:
    measure(lake)
    measure(lake, "better", rows=[metric_row(value=0.99, headline=True)])
    Path(lake.path(CELL)).write_bytes(Path(lake.path(LakeKey("metric_tables", "better", "mednli"))).read_bytes())
    assert "it is not what its record says" in refusal(lake)


def test_a_table_that_rests_on_no_dataset_proves_nothing(lake: Lake) -> None:
    lake.write(CELL, [HEADLINE], Derivation(code_version="1"), run_id="r")
    assert "its record names no dataset" in refusal(lake)


def test_what_is_no_finite_number_stays(lake: Lake) -> None:
    measure(lake, rows=[metric_row(standard_error=float("inf"))])
    assert "metric_tables × biomed × mednli: it holds what no value can be (standard_error)" in refusal(lake)


def test_a_metric_without_a_value_is_left_out(lake: Lake) -> None:
    measure(lake, rows=[metric_row(value=None, headline=True), metric_row("rouge")])
    (cell,) = results(lake)
    assert [value.metric for value in cell.metrics] == ["rouge"]
    assert cell.headline is None


def test_values_on_synthetic_samples_leave_only_when_asked_for_and_say_so(lake: Lake) -> None:
    measure(lake, task="medqa", synthetic=True)
    assert "say nothing about a model" in refusal(lake)
    measure(lake)
    assert [cell.task for cell in results(lake)] == ["mednli"]
    found = {cell["task"]: cell for cell in document(lake, synthetic=True)["results"]}
    assert {task: cell["synthetic"] for task, cell in found.items()} == {"mednli": False, "medqa": True}
    assert "synthetic" in found["medqa"]["title"]
    assert "synthetic" not in found["mednli"]["title"]


def test_a_model_that_was_not_measured_is_told(lake: Lake) -> None:
    assert refusal(lake).startswith("model biomed: nothing was measured of it yet")


def test_tasks_that_are_not_known_are_left_out(lake: Lake) -> None:
    measure(lake, task="once-known")
    assert "nothing was measured" in refusal(lake)
    measure(lake)
    assert [cell.task for cell in results(lake)] == ["mednli"]


def test_cells_come_in_the_order_of_the_tasks(lake: Lake) -> None:
    names = list(all_tasks())
    for task in reversed(names[:4]):
        measure(lake, task=task)
    assert [cell.task for cell in results(lake)] == names[:4]


def test_nothing_of_an_example_and_no_name_of_a_machine_leaves(lake: Lake) -> None:
    measure(lake)
    for asset in ("datasets", "prompt_sets", "generations", "scores"):
        keys = lake.keys(asset)
        rows = json.dumps(lake.rows(keys[0]))
        assert EXAMPLE_ID in rows
        assert TEXT in rows or asset == "scores"
    told = json.dumps(document(lake)) + hub_yaml(hub_entries(results(lake), {"mednli": "org/data"}))
    assert "folder:biomed" in told
    for hidden in (TEXT, EXAMPLE_ID, SERVER):
        assert hidden not in told


def test_the_schema_is_the_published_one_and_fits(lake: Lake) -> None:
    now = json.dumps(results_schema(), indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("MEDEVAL_ACCEPT_SNAPSHOT"):
        SCHEMA.write_text(now, encoding="utf-8")
    assert SCHEMA.read_text(encoding="utf-8") == now
    checked = jsonschema.Draft202012Validator(json.loads(now))
    measure(lake, rows=[HEADLINE, metric_row("rouge", low=None, high=None, standard_error=None)])
    whole = document(lake)
    assert [error.message for error in checked.iter_errors(whole)] == []
    (cell,) = whole["results"]
    assert [*checked.iter_errors(whole | {"results": [{**cell, "host": "a"}]})]
    assert [*checked.iter_errors(whole | {"results": [{**cell, "metrics": [cell["metrics"][0] | {"value": 2}]}]})]
    for field in cell:
        without = {name: value for name, value in cell.items() if name != field}
        assert [*checked.iter_errors(whole | {"results": [without]})], field


def test_the_hub_reads_the_headline_and_how_sure_it_is(lake: Lake) -> None:
    record = measure(lake, rows=[metric_row("rouge"), HEADLINE], limit=120)
    (entry,) = parse_eval_result_entries(yaml.safe_load(hub_yaml(hub_entries(results(lake), {"mednli": "a/b:c/d"}))))
    assert isinstance(entry, EvalResultEntry)
    assert (entry.dataset_id, entry.task_id, entry.value, entry.verify_token) == ("a/b", "c/d", 0.625, None)
    generations = lake.record(LakeKey("generations", "biomed", "mednli"))
    assert generations is not None
    assert entry.date == generations.created_at
    for told in (
        *(
            "Accuracy, n 120, 95 % interval 0.5400 to 0.7000, at most 120 examples asked, rules corrected",
            "medeval-assets",
        ),
        *("not verified by others", record.content_sha256),
    ):
        assert told in (entry.notes or "")


def test_a_leaderboard_gets_no_value_on_synthetic_samples_and_none_that_is_missing(lake: Lake) -> None:
    measure(lake)
    measure(lake, task="medqa", synthetic=True)
    asked = {"mednli": "a/b", "medqa": "a/c", "nejm": "a/d"}
    with pytest.raises(BadInput) as caught:
        hub_entries(results(lake, synthetic=True), asked)
    assert [problem.where for problem in caught.value.problems] == ["medqa", "nejm"]
    assert "synthetic" in caught.value.problems[0].what


def test_entries_stand_in_the_order_they_were_asked_for(lake: Lake) -> None:
    for task in ("mednli", "medqa"):
        measure(lake, task=task)
    asked = {"medqa": "a/c", "mednli": "a/b"}
    assert [entry.dataset_id for entry in hub_entries(results(lake), asked)] == ["a/c", "a/b"]


@pytest.mark.parametrize("task", list(all_tasks()))
def test_every_task_has_a_page_that_results_can_name(task: str) -> None:
    assert all_tasks()[task].homepage.startswith("https://")
