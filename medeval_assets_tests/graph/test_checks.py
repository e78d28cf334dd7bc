"""The asset checks: each finds what it is for, names the table, and passes over good ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medeval_assets.checks import CHECKS, up_to_date
from medeval_assets.engines.generations import Generation
from medeval_assets.instance import open_instance
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets_tests.graph.small_platform import SmallPlatform

GOOD = LakeKey("metric_tables", "good", "mednli")
BAD = LakeKey("metric_tables", "bad", "mednli")


def metric_row(metric: str, value: float) -> dict[str, Any]:
    numbers = {"value": value, "standard_error": 0.1, "low": 0.2, "high": 0.6, "failure_rate": 0.0}
    return {
        "metric": metric,
        "title": metric,
        "profile": "corrected",
        "headline": metric == "accuracy",
        "n": 10,
        "clusters": 10,
        **numbers,
        "method": "by hand",
        "rules": {"strict": 10},
        "failure_kinds": {},
        "cut": 0,
        "failures": 0,
        "failure_low": 0.0,
        "failure_high": 0.3,
        "skipped": 0,
    }


@pytest.fixture
def tables(platform: SmallPlatform) -> SmallPlatform:
    """Two good metric tables."""
    for key in (GOOD, BAD):
        rows = [metric_row("accuracy", 0.4), metric_row("macro_f1", 0.3)]
        platform.lake.write(key, rows, Derivation(code_version="1"), run_id="r")
    return platform


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def findings(platform: SmallPlatform, instance: dg.DagsterInstance) -> dict[str, dict[str, str]]:
    """Check → table → what it found, for the checks of metric tables that fail. Run without a materialization."""
    # Tables that were written by hand are not what recipes would make: `test_agreement` is about that.
    selection = dg.AssetSelection.checks_for_assets(dg.AssetKey("metric_tables")) - dg.AssetSelection.checks(up_to_date)
    job = dg.define_asset_job("check", selection=selection)
    definitions = dg.Definitions.merge(platform.definitions(), dg.Definitions(jobs=[job]))
    result = definitions.resolve_job_def("check").execute_in_process(instance=instance)
    evaluations = result.get_asset_check_evaluations()
    assert {one.check_name for one in evaluations} == {"not_empty", "ids_unique", "hash_consistent"}
    found: dict[str, dict[str, str]] = {}
    for one in evaluations:
        told = one.metadata["findings"].value
        assert isinstance(told, dict)
        assert one.metadata["tables"].value == 2
        assert one.passed == (not told)
        if told:
            found[one.check_name] = {str(key): str(what) for key, what in told.items()}
    return found


def rewrite(platform: SmallPlatform, table: pa.Table) -> None:
    """Put other rows into the file of BAD and keep the old footer, as an edit by hand would."""
    path = Path(platform.lake.path(BAD))
    footer = pq.read_schema(path).metadata
    pq.write_table(table.replace_schema_metadata(footer), path)


def test_good_tables_pass(tables: SmallPlatform, instance: dg.DagsterInstance) -> None:
    assert findings(tables, instance) == {}


def test_the_same_content_in_another_encoding_passes(tables: SmallPlatform, instance: dg.DagsterInstance) -> None:
    path = Path(tables.lake.path(BAD))
    before = path.read_bytes()
    table = pq.read_table(path)
    pq.write_table(table, path, compression="gzip", use_dictionary=False, row_group_size=1)
    assert path.read_bytes() != before
    assert findings(tables, instance) == {}


def test_another_value_under_the_old_footer_is_found(tables: SmallPlatform, instance: dg.DagsterInstance) -> None:
    table = tables.lake.read(BAD)
    column = table.schema.get_field_index("value")
    rewrite(tables, table.set_column(column, "value", pa.array([0.9, 0.3], pa.float64())))
    assert findings(tables, instance) == {
        "hash_consistent": {"metric_tables × bad × mednli": "its content is not what its lineage record says"}
    }


def test_the_table_of_another_cell_is_found(tables: SmallPlatform, instance: dg.DagsterInstance) -> None:
    tables.lake.write(GOOD, [metric_row("accuracy", 0.9)], Derivation(code_version="1"), run_id="r")
    Path(tables.lake.path(BAD)).write_bytes(Path(tables.lake.path(GOOD)).read_bytes())
    found = findings(tables, instance)
    assert found == {"hash_consistent": {str(BAD): f"its lineage record is the one of {GOOD}"}}


def test_an_empty_table_is_found(tables: SmallPlatform, instance: dg.DagsterInstance) -> None:
    rewrite(tables, tables.lake.read(BAD).slice(0, 0))
    found = findings(tables, instance)
    assert set(found) == {"not_empty", "hash_consistent"}
    assert found["not_empty"] == {str(BAD): "it has no rows"}


def test_repeated_ids_are_found(tables: SmallPlatform, instance: dg.DagsterInstance) -> None:
    table = tables.lake.read(BAD)
    rewrite(tables, pa.concat_tables([table, table]))
    found = findings(tables, instance)
    assert set(found) == {"ids_unique", "hash_consistent"}
    assert found["ids_unique"] == {str(BAD): "2 rows repeat the ids of others"}


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", b"PAR1\x00\x00\x00\x00PAR1"])
def test_a_file_that_is_no_table_is_found_by_all(
    tables: SmallPlatform, instance: dg.DagsterInstance, content: bytes
) -> None:
    Path(tables.lake.path(BAD)).write_bytes(content)
    found = findings(tables, instance)
    assert set(found) == {"not_empty", "ids_unique", "hash_consistent"}
    assert all("the table cannot be read" in what for told in found.values() for what in told.values())
    assert {key for told in found.values() for key in told} == {str(BAD)}


def test_a_file_without_the_columns_of_its_asset_is_found(tables: SmallPlatform, instance: dg.DagsterInstance) -> None:
    rewrite(tables, pa.table({"other": [1, 2]}))
    found = findings(tables, instance)
    assert found == {
        "ids_unique": {str(BAD): "the columns metric, profile are missing"},
        "hash_consistent": {str(BAD): "its content is not what its lineage record says"},
    }


def write_generations(platform: SmallPlatform, model: str) -> None:
    row = asdict(Generation(example_id="1", prompt_sha256="", text="yes", finish_reason="stop"))
    platform.lake.write(LakeKey("generations", model, "mednli"), [row], Derivation(code_version="1"), run_id="r")


@pytest.fixture
def answered(platform: SmallPlatform) -> SmallPlatform:
    """Generations of three models: one that fits, one whose template the tokenizer does not know, one without files."""
    platform.add_model("fits")
    template = platform.add_model("broken") / "chat_template.jinja"
    template.write_text(template.read_text().replace("im_", "other_").replace("<|other_start|>", "<|start_header_id|>"))
    gone = platform.add_model("gone")
    for model in ("fits", "broken", "gone", "no-longer-in-the-catalog"):
        write_generations(platform, model)
    shutil.rmtree(gone)
    return platform


def template_check(platform: SmallPlatform, instance: dg.DagsterInstance) -> Any:
    """The check of chat templates, run without a materialization."""
    selection = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("generations"), "chat_template"))
    job = dg.define_asset_job("check", selection=selection)
    definitions = dg.Definitions.merge(platform.definitions(), dg.Definitions(jobs=[job]))
    (evaluation,) = (
        definitions.resolve_job_def("check").execute_in_process(instance=instance).get_asset_check_evaluations()
    )
    return evaluation


def test_templates_that_do_not_fit_are_told_by_model(answered: SmallPlatform, instance: dg.DagsterInstance) -> None:
    evaluation = template_check(answered, instance)
    assert not evaluation.passed
    assert evaluation.severity == dg.AssetCheckSeverity.ERROR
    told = evaluation.metadata["findings"].value
    assert [one.partition(":")[0] for one in told["fits"]] == ["warning two_bos"]
    assert told["broken"][0].startswith("blocking split_markers: ")
    assert told["gone"][0].startswith("blocking unusable: gone: no such folder")
    assert set(told) == {"fits", "broken", "gone"}
    assert evaluation.metadata["models"].value == 3
    assert evaluation.metadata["not_checked"].value == []


def test_a_warning_is_no_error(platform: SmallPlatform, instance: dg.DagsterInstance) -> None:
    platform.add_model("fits")
    write_generations(platform, "fits")
    evaluation = template_check(platform, instance)
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_templates_that_fit_pass(platform: SmallPlatform, instance: dg.DagsterInstance) -> None:
    template = platform.add_model("fits") / "chat_template.jinja"
    template.write_text(template.read_text().removeprefix("{{ bos_token }}"))
    post = template.with_name("tokenizer.json")
    post.write_text(json.dumps(json.loads(post.read_text()) | {"post_processor": None}))
    write_generations(platform, "fits")
    evaluation = template_check(platform, instance)
    assert evaluation.passed
    assert evaluation.metadata["models"].value == 1


def test_a_run_checks_the_templates_of_the_models_it_asked(platform: SmallPlatform) -> None:
    platform.add_model("m1")
    platform.add_model("not-asked")
    assert platform.evaluate(["m1"], ["medqa"], limit=1).problems == []
    key = dg.AssetCheckKey(dg.AssetKey("generations"), "chat_template")
    with open_instance(platform.settings) as instance:
        record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    event: Any = record.event
    evaluation = event.dagster_event.event_specific_data
    assert list(evaluation.metadata["findings"].value) == ["m1"]
    assert evaluation.severity == dg.AssetCheckSeverity.WARN


def test_every_asset_has_the_four_checks(platform: SmallPlatform) -> None:
    # In an instance of its own: Dagster would look up the one that another test used last.
    with dg.DagsterInstance.ephemeral():
        graph = platform.definitions().resolve_asset_graph()
    checked = {(key.asset_key.to_user_string(), key.name) for check in CHECKS for key in check.check_keys}
    names = ("not_empty", "ids_unique", "hash_consistent", "up_to_date")
    # The audit's own table has a check of another kind.
    assets = {key.to_user_string() for key in graph.get_all_asset_keys()} - {"lineage_audit"}
    expected = {(asset, name) for asset in assets for name in names}
    assert checked == expected - {("comparisons", "not_empty")} | {("generations", "chat_template")}
