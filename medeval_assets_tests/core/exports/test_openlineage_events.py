"""OpenLineage events say what the specification asks for and what the lake holds, and nothing of an example.

The schemas that events are checked against are had from the official client, as no package carries the published ones.
A clone of OpenLineage's repository that MEDEVAL_OPENLINEAGE names is checked against, too: its schemas are these.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from medeval_assets.catalog.task_spec import Access
from medeval_assets.errors import BadInput
from medeval_assets.exports.making import PROJECT
from medeval_assets.exports.openlineage_delivery import write_events
from medeval_assets.exports.openlineage_events import events_of
from medeval_assets.exports.openlineage_facets import FACETS, SCHEMA, facets_schema
from medeval_assets.lake import migrations
from medeval_assets.lake.column_lineage import sources_of
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation, InputRecord, RawFileRecord
from medeval_assets.lake.tables import TABLES, arrow_schema, column_descriptions
from medeval_assets_tests.core.audit.small_lakes import SmallLake, every_kind, row_of
from medeval_assets_tests.openlineage_schemas import (
    CORE,
    Validator,
    client_schemas,
    facets_of,
    normal_forms,
    published_schemas,
)

DOCS = Path(__file__).resolve().parents[3] / "docs"
CLONE = Path(os.environ.get("MEDEVAL_OPENLINEAGE") or "no clone")
DATASET, CELL = LakeKey("datasets", task="mednli"), LakeKey("generations", "biomed", "mednli")

PUBLISHED = "d52666dd45a4e247f84e25d6d2bbc40968158db3e0d3a540e1e8974b07010ef5"
"""SHA-256 of the normal forms of the published schemas of all that our events hold.

With another client it may be another one. Then take a clone of OpenLineage's repository at the client's release and let
MEDEVAL_OPENLINEAGE name it: the test of the published schemas says whether the new one is theirs.
"""

Event = dict[str, Any]


def events(lake: Lake, **options: Any) -> list[Event]:
    from openlineage.client.serde import Serde

    return [json.loads(Serde.to_json(event)) for event in events_of(lake, **options)]


def completed(lake: Lake, key: LakeKey, **options: Any) -> Event:
    """The last COMPLETE of the table's job."""
    found = [one for one in events(lake, **options) if one.get("eventType") == "COMPLETE"]
    return [one for one in found if one["job"]["name"] == key.folder][-1]


def facet(event: Event, name: str) -> dict[str, Any]:
    (output,) = event["outputs"]
    found: dict[str, Any] = {**output["facets"], **output.get("outputFacets", {})}[name]
    return found


def every_kind_of_event(small: SmallLake) -> list[Event]:
    """Those of the lake, earlier versions and removals included, and those of a bucket."""
    bucket = Lake(f"memory://bucket/{small.root}")
    bucket.write(DATASET, [row_of("datasets")], Derivation(code_version="1"), run_id="run")
    return events(small.lake, earlier=True) + events(bucket)


@pytest.fixture
def small(tmp_path: Path) -> SmallLake:
    """Every asset, earlier versions, a dataset with raw files, a model with an identity, and one that was purged."""
    small = every_kind(tmp_path / "lake")
    small.lake.write(
        DATASET,
        [row_of("datasets", number) for number in range(3)],
        Derivation(code_version="1", raw_files=(RawFileRecord(name="mli_test_v1.jsonl", sha256="f" * 64, size=7),)),
        run_id="run",
        access=Access.CREDENTIALED,
        licence="PhysioNet",
    )
    identity = {"checkpoint": "served:gpt", "weights_sha256": "", "server": "llm.ward7.example"}
    derivation = Derivation(code_version="1", parameters={"engine": "openai"}, model=identity)
    small.lake.write(CELL, [row_of("generations")], derivation, run_id="run", environment={"engine": "openai"})
    gone = LakeKey("generations", "gone", "mednli")
    small.write(gone)
    for version in small.lake.versions(gone):
        small.lake.remove(version, "purge")
    return small


def test_every_event_is_as_the_specification_asks(small: SmallLake) -> None:
    validator = Validator({**client_schemas(), SCHEMA: facets_schema()})
    for event in every_kind_of_event(small):
        assert validator.problems(event) == []
    ours = {f"{SCHEMA}#/$defs/{one.__name__}" for one in FACETS}
    assert ours <= validator.facets
    assert len(validator.facets - ours) == 14


def test_what_the_specification_asks_for_is_missed_where_it_is_missing(small: SmallLake) -> None:
    validator = Validator({**client_schemas(), SCHEMA: facets_schema()})
    event = completed(small.lake, CELL)
    (output,), facets = event["outputs"], list(facets_of(event))
    asked: list[tuple[Any, str]] = [(event, name) for name in validator.required(event["schemaURL"])]
    asked += [(output, name) for name in validator.required(f"{CORE}#/$defs/OutputDataset")]
    asked += [(one, name) for one in facets for name in validator.required(one["_schemaURL"])]
    assert len(asked) > 2 * len(facets) + 5
    for holder, name in asked:
        if name in {"schemaURL", "_schemaURL"}:
            continue  # where to look what is asked for
        kept = holder.pop(name)
        assert validator.problems(event), f"{name} may be missing"
        holder[name] = kept
    for holder, name in ((output["facets"]["schema"], "filds"), (output["facets"]["dataQualityMetrics"], "rows")):
        holder[name] = 1
        assert validator.problems(event), f"{name} may be there"
        del holder[name]
    assert validator.problems(event) == []


def test_the_client_was_made_from_the_schemas_that_are_published(small: SmallLake) -> None:
    forms = normal_forms(client_schemas(), _addresses(small))
    assert hashlib.sha256(json.dumps(forms, sort_keys=True).encode()).hexdigest() == PUBLISHED


@pytest.mark.skipif(not CLONE.is_dir(), reason="MEDEVAL_OPENLINEAGE names no clone of OpenLineage's repository")
def test_every_event_is_as_the_published_schemas_say(small: SmallLake) -> None:
    schemas = published_schemas(CLONE)
    validator = Validator({**schemas, SCHEMA: facets_schema()})
    for event in every_kind_of_event(small):
        assert validator.problems(event) == []
    assert len(validator.facets) == 16
    forms = normal_forms(schemas, _addresses(small))
    assert hashlib.sha256(json.dumps(forms, sort_keys=True).encode()).hexdigest() == PUBLISHED


def _addresses(small: SmallLake) -> set[str]:
    """Of the schemas of the events and of the standard facets in them."""
    found = every_kind_of_event(small)
    addresses = {event["schemaURL"] for event in found}
    return addresses | {
        one["_schemaURL"] for event in found for one in facets_of(event) if SCHEMA not in one["_schemaURL"]
    }


def test_our_own_facets_lead_to_their_published_schema(small: SmallLake) -> None:
    page = DOCS / "openlineage_facets.schema.json"
    now = json.dumps(facets_schema(), indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("MEDEVAL_ACCEPT_SNAPSHOT"):
        page.write_text(now, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == now
    schema = json.loads(now)
    event = completed(small.lake, CELL)
    for holder, name in ((event["run"]["facets"], "medeval_record"), (event["outputs"][0]["facets"], "medeval_access")):
        address, _, pointer = holder[name]["_schemaURL"].partition("#/$defs/")
        assert address == schema["$id"]
        (_, own) = schema["$defs"][pointer]["allOf"]
        assert set(holder[name]) == {"_producer", "_schemaURL", *own["properties"]}
        assert schema["properties"][name] == {"$ref": f"#/$defs/{pointer}"}


def test_each_making_is_a_run_of_its_own_that_starts_and_ends(small: SmallLake) -> None:
    found = [event for event in events(small.lake, earlier=True) if "run" in event]
    states = Counter((event["run"]["runId"], event["eventType"]) for event in found)
    runs = {run for run, _ in states}
    assert states == Counter({(run, state): 1 for run in runs for state in ("START", "COMPLETE")})
    for start, end in zip(found[::2], found[1::2], strict=True):
        assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
        assert start["run"]["runId"] == end["run"]["runId"]
        assert start["eventTime"] == end["eventTime"]
        assert start["inputs"] == start["outputs"] == []
        assert start["job"]["name"] == end["job"]["name"] == end["outputs"][0]["name"]


def test_what_was_read_is_named_with_its_content(small: SmallLake) -> None:
    def inputs(key: LakeKey) -> dict[tuple[str, str], str]:
        return {
            (one["namespace"], one["name"]): one["facets"]["version"]["datasetVersion"]
            for one in completed(small.lake, key)["inputs"]
        }

    scores = LakeKey("scores", "biomed", "mednli")
    record = small.lake.records([scores])[0]
    assert inputs(scores) == {
        ("medeval-assets", one.key.folder): one.content_sha256 for one in record.derivation.inputs
    }
    assert inputs(DATASET) == {("medeval-assets/raw-files", "mednli/mli_test_v1.jsonl"): "f" * 64}
    (raw,) = completed(small.lake, DATASET)["inputs"]
    assert raw["inputFacets"]["inputStatistics"]["size"] == 7
    ((namespace, name),) = inputs(CELL)
    assert (namespace, name) == ("medeval-assets/models", "biomed")


def test_a_table_is_told_with_its_version_columns_rows_and_access(small: SmallLake) -> None:
    for key in (DATASET, CELL, LakeKey("scores", "biomed", "mednli"), LakeKey("leaderboard")):
        event, record = completed(small.lake, key), small.lake.records([key])[0]
        assert facet(event, "version")["datasetVersion"] == record.content_sha256
        fields = facet(event, "schema")["fields"]
        assert [tuple(field.values()) for field in map(_ordered, fields)] == column_descriptions(key.asset)
        written = facet(event, "outputStatistics")
        size = small.current(key).stat().st_size
        assert (written["rowCount"], written["size"], written["fileCount"]) == (record.rows, size, 1)
        assert facet(event, "medeval_access")["access"] == record.access.value
    assert facet(completed(small.lake, DATASET), "medeval_access") | {
        "access": "credentialed",
        "licence": "PhysioNet",
    } == facet(completed(small.lake, DATASET), "medeval_access")


def _ordered(field: dict[str, str]) -> dict[str, str]:
    return {name: field[name] for name in ("name", "type", "description")}


def test_data_quality_is_what_is_counted_in_the_rows(tmp_path: Path) -> None:
    lake, key = Lake(tmp_path), LakeKey("metric_tables", "m", "mednli")
    rows = [row_of("metric_tables", number) for number in range(5)]
    for number, row in enumerate(rows):
        row |= {"value": None if number % 2 else number / 8, "standard_error": None, "low": -0.0}
    lake.write(key, rows, Derivation(code_version="1"), run_id="run")
    told = facet(completed(lake, key), "dataQualityMetrics")
    assert (told["rowCount"], told["lastUpdated"]) == (5, lake.records([key])[0].created_at)
    table = lake.read(key)
    for column in arrow_schema(key.asset):
        if pa.types.is_nested(column.type):
            assert column.name not in told["columnMetrics"]
            continue
        metrics, values = told["columnMetrics"][column.name], table.column(column.name)
        assert metrics["nullCount"] == values.null_count
        number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        ends = pc.min_max(values).as_py() if number and values.null_count < len(values) else {"min": None, "max": None}
        assert (metrics.get("min"), metrics.get("max")) == (ends["min"], ends["max"]), column.name
    assert "-0.0" not in json.dumps(told)


def test_an_empty_table_and_numbers_that_json_has_none_for_are_told(tmp_path: Path) -> None:
    lake, key = Lake(tmp_path), LakeKey("comparisons")
    lake.write(key, [], Derivation(code_version="1"), run_id="run")
    assert facet(completed(lake, key), "dataQualityMetrics")["columnMetrics"]["p"] == {"nullCount": 0}
    row = row_of("comparisons") | {"high": float("inf"), "low": float("-inf")}
    lake.write(key, [row], Derivation(code_version="1"), run_id="run")
    metrics = facet(completed(lake, key), "dataQualityMetrics")["columnMetrics"]
    assert metrics["high"] == metrics["low"] == {"nullCount": 0}


def test_no_text_of_a_row_no_path_and_no_server_is_in_an_event(tmp_path: Path) -> None:
    canary, lake = "zyxomeride", Lake(tmp_path / "lake")
    for asset in TABLES:
        row = row_of(asset)
        texts = {
            column.name: canary
            for column in arrow_schema(asset)
            if pa.types.is_string(column.type) and row[column.name] == f"{column.name} 0"
        }
        assert texts or asset == "lineage_audit"
        lake.write(
            LakeKey(asset, "m", "mednli"),
            [row | texts],
            Derivation(code_version="1", model={"checkpoint": "served:gpt", "server": "llm.ward7.example"}),
            run_id="run",
            access=Access.CREDENTIALED,
        )
    told = json.dumps(events(lake, earlier=True))
    assert "served:gpt" in told
    for secret in (canary, str(tmp_path), "ward7"):
        assert secret not in told


def test_the_column_lineage_is_that_of_the_code_and_of_what_was_read(small: SmallLake) -> None:
    for key in (LakeKey("prompt_sets", task="mednli"), LakeKey("scores", "biomed", "mednli"), LakeKey("comparisons")):
        record, event = small.lake.records([key])[0], completed(small.lake, key)
        names = {one.asset: one.key.folder for one in record.derivation.inputs}
        told = {
            column: [(one["name"], one["field"]) for one in made["inputFields"]]
            for column, made in facet(event, "columnLineage")["fields"].items()
        }
        assert told == {
            column: [(names[asset], name) for asset, name in sources]
            for column, sources in sources_of(key.asset).items()
        }
        read = {(one["namespace"], one["name"]) for one in event["inputs"]}
        for one in facet(event, "columnLineage")["dataset"]:
            assert (one["namespace"], one["name"]) in read
            assert one["transformations"] == [{"type": "INDIRECT"}]


def test_generations_name_the_columns_that_their_respondent_reads(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    inputs = [
        lake.write(LakeKey(asset, task="mednli"), [row_of(asset)], Derivation(code_version="1"), run_id="r").as_input()
        for asset in ("prompt_sets", "datasets")
    ]

    def sources(engine: str, read: int) -> set[str]:
        made = Derivation(code_version="1", parameters={"engine": engine}, inputs=tuple(inputs[:read]))
        lake.write(CELL, [row_of("generations")], made, run_id="run")
        fields = facet(completed(lake, CELL), "columnLineage")["fields"]
        return {one["name"].partition("/")[0] for one in fields.get("text", {"inputFields": []})["inputFields"]}

    assert sources("transformers", 1) == {"prompt_sets"}
    assert sources("baseline", 2) == {"datasets"}
    assert sources("external", 1) == set()


def test_a_table_over_all_cells_grows_with_the_cells_and_not_with_cells_times_columns(tmp_path: Path) -> None:
    def told(cells: int) -> Event:
        lake, key = Lake(tmp_path / str(cells)), LakeKey("comparisons")
        inputs = tuple(
            InputRecord(asset=asset, model=f"model-{cell:05}", task="mednli", content_sha256="a" * 64)
            for asset in ("scores", "repeat_checks")
            for cell in range(cells)
        )
        lake.write(key, [row_of("comparisons")], Derivation(code_version="1", inputs=inputs), run_id="run")
        return completed(lake, key)

    sizes = [len(json.dumps(told(cells))) for cells in (100, 200, 300)]
    each = [(more - fewer) / 200 for fewer, more in pairwise(sizes)]
    assert each[0] == pytest.approx(each[1], abs=0.1)
    assert each[0] < 400  # bytes of a table that was read
    event = told(3)
    assert len(event["inputs"]) == 2 * 3 + 2
    # The columns lead to the assets as wholes, which stand among the inputs with the columns that are named.
    wholes = {one["name"]: one["facets"]["schema"]["fields"] for one in event["inputs"] if "schema" in one["facets"]}
    lineage = facet(event, "columnLineage")
    named = [one for made in lineage["fields"].values() for one in made["inputFields"]] + lineage["dataset"]
    assert set(lineage["fields"]) == set(sources_of("comparisons"))
    for one in named:
        assert one["field"] in [field["name"] for field in wholes[one["name"]]]


def test_the_namespace_is_the_lakes(small: SmallLake) -> None:
    told = json.dumps(events(small.lake, namespace="ward", earlier=True))
    assert '"namespace": "medeval-assets' not in told
    assert '"namespace": "ward/raw-files"' in told


def test_a_bucket_is_known_by_its_own_name_too(tmp_path: Path) -> None:
    lake = Lake(f"memory://bucket/{tmp_path.name}/lake")
    lake.write(DATASET, [row_of("datasets")], Derivation(code_version="1"), run_id="run")
    event = completed(lake, DATASET)
    assert event["outputs"][0]["name"] == "datasets/task=mednli"
    (identifier,) = facet(event, "symlinks")["identifiers"]
    scheme, _, bucket = identifier["namespace"].partition("://")
    assert f"{scheme}://{bucket}/{identifier['name']}" == lake.uri(DATASET)
    assert identifier["name"].endswith("lake/datasets/task=mednli/data.parquet")


def test_earlier_versions_are_told_where_they_are_asked_for(small: SmallLake) -> None:
    assert _versions(events(small.lake), DATASET) == [small.lake.records([DATASET])[0].content_sha256]
    records = [small.lake.version_record(version) for version in small.lake.versions(DATASET)]
    records.sort(key=lambda record: record.created_at)
    assert len(records) == 3
    assert _versions(events(small.lake, earlier=True), DATASET) == [record.content_sha256 for record in records]


def _versions(found: list[Event], key: LakeKey) -> list[str]:
    """The versions of a table, as its events tell of them."""
    complete = [event for event in found if event.get("eventType") == "COMPLETE" and event["job"]["name"] == key.folder]
    return [facet(event, "version")["datasetVersion"] for event in complete]


def test_a_purged_table_is_dropped_and_its_making_is_told_from_the_proof(small: SmallLake) -> None:
    gone = LakeKey("generations", "gone", "mednli")
    (removal,) = small.lake.removals(gone)
    for earlier in (False, True):
        found = events(small.lake, earlier=earlier)
        (drop,) = [event for event in found if "dataset" in event]
        assert (drop["dataset"]["name"], drop["eventTime"]) == (gone.folder, removal.removed_at)
        assert drop["dataset"]["facets"]["lifecycleStateChange"]["lifecycleStateChange"] == "DROP"
        made = [event for event in found if event.get("job", {}).get("name") == gone.folder]
        assert [event["eventType"] for event in made] == (["START", "COMPLETE"] if earlier else [])
    assert "dataQualityMetrics" not in made[1]["outputs"][0]["facets"]
    # What is there again was not dropped; what an old version was is told only where earlier ones are asked for.
    small.write(gone)
    assert not [event for event in events(small.lake, earlier=True) if "dataset" in event]


def test_what_is_missing_by_accident_or_was_only_an_old_version_is_no_drop(small: SmallLake) -> None:
    newest = small.lake.file_sha256(DATASET)
    for version in small.lake.versions(DATASET):
        if version.file_sha256 != newest:
            small.lake.remove(version, "retention")
    before = events(small.lake)
    small.current(DATASET).unlink()
    after = events(small.lake)
    assert [event for event in after if "dataset" in event] == [event for event in before if "dataset" in event]
    assert len(_versions(events(small.lake, earlier=True), DATASET)) == 3


@pytest.fixture
def newer_columns(small: SmallLake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The columns of the datasets were changed after the lake was written."""
    assert small.current(DATASET).exists()
    monkeypatch.setitem(migrations.TABLE_VERSIONS, "datasets", 2)


@pytest.mark.usefixtures("newer_columns")
def test_a_table_of_older_columns_is_told_with_the_columns_that_it_has(small: SmallLake) -> None:
    validator = Validator({**client_schemas(), SCHEMA: facets_schema()})
    found = events(small.lake, earlier=True)
    assert [problem for event in found for problem in validator.problems(event)] == []
    event = completed(small.lake, DATASET)
    assert [field["name"] for field in facet(event, "schema")["fields"]] == arrow_schema("datasets").names
    assert facet(event, "schema")["fields"][-1]["type"].startswith("list<element")
    assert "columnLineage" not in event["outputs"][0]["facets"]
    assert facet(event, "dataQualityMetrics")["rowCount"] == 3


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _without_record(path: Path) -> None:
    table = pq.read_table(path)
    path.unlink()
    pq.write_table(table.replace_schema_metadata(), path)


def _of_another(path: Path) -> None:
    other = path.parents[1] / "task=medqa" / path.name
    other.parent.mkdir()
    other.write_bytes(path.read_bytes())


@pytest.mark.parametrize("damage", [_truncated, _without_record, _of_another])
@pytest.mark.parametrize("earlier", [False, True])
def test_a_table_that_cannot_be_read_is_named(small: SmallLake, damage: Any, earlier: bool) -> None:
    damage(small.current(DATASET))
    with pytest.raises(BadInput, match=r"^datasets × med(nli|qa): (the table cannot be read|its record is that of)"):
        events(small.lake, earlier=earlier)


def test_a_version_that_cannot_be_read_is_named(small: SmallLake) -> None:
    oldest = next(path for path in small.versions(DATASET) if path.stem != small.lake.file_sha256(DATASET))
    _truncated(oldest)
    assert events(small.lake)
    with pytest.raises(BadInput, match=f"datasets × mednli, version {oldest.stem[:12]}…: the table cannot be read"):
        events(small.lake, earlier=True)


def test_the_same_lake_gives_the_same_file_each_time(
    small: SmallLake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    for number in range(2):
        monkeypatch.setenv("OPENLINEAGE_NAMESPACE", str(number))
        counts.append(write_events(events_of(small.lake, earlier=True), tmp_path / f"{number}.jsonl"))
    first, second = ((tmp_path / f"{number}.jsonl").read_bytes() for number in range(2))
    assert first == second
    lines = [json.loads(line) for line in first.splitlines()]
    assert len(lines) == counts[0] == counts[1]
    assert lines == events(small.lake, earlier=True)


def test_a_file_is_whole_or_as_it_was(small: SmallLake, tmp_path: Path) -> None:
    def broken() -> Iterator[Any]:
        yield from list(events_of(small.lake))[:3]
        raise BadInput([])

    target = tmp_path / "out" / "events.jsonl"
    for before in (None, b"before"):
        if before is not None:
            target.write_bytes(before)
        with pytest.raises(BadInput):
            write_events(broken(), target)
        assert [path.name for path in target.parent.iterdir()] == ([target.name] if before else [])
        assert before is None or target.read_bytes() == before
    assert write_events(events_of(small.lake), target) == len(target.read_text().splitlines())


def test_what_is_no_file_is_not_written_to(small: SmallLake, tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    for name in (".", "pipe", "plain/events.jsonl"):
        with pytest.raises(BadInput, match=r"it (is no file|cannot be written)"):
            write_events(events_of(small.lake), tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {"lake", "plain", "pipe"}
    assert (tmp_path / "pipe").is_fifo()


def test_every_event_and_facet_names_us_as_its_producer(small: SmallLake) -> None:
    found = events(small.lake, earlier=True)
    assert {event["schemaURL"].partition("#")[0] for event in found} == {CORE}
    producers = {event["producer"] for event in found} | {
        one["_producer"] for event in found for one in facets_of(event)
    }
    assert producers == {PROJECT}
