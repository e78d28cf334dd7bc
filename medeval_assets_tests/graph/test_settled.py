"""What would not change is not run."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from medeval_assets.evaluation import evaluate
from medeval_assets.instance import open_instance
from medeval_assets.partitions import grid_key
from medeval_assets.progress import LoggedProgress
from medeval_assets.resources import all_models
from medeval_assets_tests.graph.small_platform import SmallPlatform, new_platform

MODELS = ["m1", "baseline-majority"]
# Neighbours, so that both are one run where both have to be run.
TASKS = ["mednli", "meqsum"]


@pytest.fixture(scope="module")
def evaluated_once(roomy_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallPlatform:
    rows = [
        {"pairID": f"p{n}", "sentence1": f"Patient {n} is well.", "sentence2": "He is ill.", "gold_label": label}
        for n, label in enumerate(("neutral", "entailment", "contradiction") * 2)
    ]
    with new_platform(tmp_path_factory.mktemp("evaluated") / "home", roomy_checkpoint) as platform:
        platform.write_source("mednli", "mli_test_v1.jsonl", "\n".join(map(json.dumps, rows)))
        platform.add_model("m1")
        assert platform.evaluate(MODELS, TASKS).problems == []
        return platform


@pytest.fixture
def evaluated(evaluated_once: SmallPlatform, platform: SmallPlatform) -> SmallPlatform:
    """A copy of it."""
    return evaluated_once.copied(platform.settings.home)


def runs(platform: SmallPlatform) -> list[tuple[str, str]]:
    """Job and model of every run, the first one first."""
    with open_instance(platform.settings) as instance:
        return [(run.job_name, run.tags.get("medeval/model", "")) for run in reversed(instance.get_runs())]


def test_nothing_is_run_where_nothing_would_change(evaluated: SmallPlatform) -> None:
    before = runs(evaluated)
    outcome = evaluated.evaluate(MODELS, TASKS)
    assert outcome.problems == []
    assert {(row["model"], row["task"]) for row in outcome.rows} == {
        (model, task) for model in MODELS for task in TASKS
    }
    assert runs(evaluated) == before


def test_every_cell_is_told_to_be_done(evaluated: SmallPlatform) -> None:
    class Heard(LoggedProgress):
        def __init__(self) -> None:
            super().__init__()
            self.cells: list[str] = []

        def finished(self, cell: str) -> None:
            self.cells.append(cell)

    heard, known = Heard(), all_models(evaluated.settings)
    evaluate(evaluated.settings, [known[key] for key in MODELS], TASKS, progress=heard, limit=2)
    assert sorted(heard.cells) == sorted(f"{model} × {task}" for model in MODELS for task in TASKS)


def test_only_what_changes_is_run(evaluated: SmallPlatform) -> None:
    before = len(runs(evaluated))
    source = evaluated.settings.sources / "mednli" / "mli_test_v1.jsonl"
    source.write_text(source.read_text().replace("He is ill.", "She is ill."))
    evaluated.evaluate(MODELS, TASKS)
    assert runs(evaluated)[before:] == [
        ("prepare_tasks", ""),
        ("evaluate_model", "m1"),
        ("evaluate_model", "baseline-majority"),
        ("refresh_reports", ""),
    ]


def test_another_limit_is_a_change(evaluated: SmallPlatform) -> None:
    before = len(runs(evaluated))
    evaluated.evaluate(MODELS, TASKS, limit=1)
    assert [job for job, _ in runs(evaluated)[before:]] == ["evaluate_model", "evaluate_model", "refresh_reports"]


def test_what_dagster_does_not_know_of_is_run_and_recorded(evaluated: SmallPlatform) -> None:
    cell = grid_key("m1", "mednli")
    with open_instance(evaluated.settings) as instance:
        instance.wipe_assets([dg.AssetKey("scores")])
        assert instance.get_materialized_partitions(dg.AssetKey("scores")) == set()
    files = evaluated.files()
    evaluated.evaluate(MODELS, TASKS)
    assert evaluated.files() == files
    with open_instance(evaluated.settings) as instance:
        assert cell in instance.get_materialized_partitions(dg.AssetKey("scores"))


def test_a_damaged_table_is_made_again(evaluated: SmallPlatform) -> None:
    (path,) = evaluated.settings.lake.glob("metric_tables/model=m1/task=mednli/data.parquet")
    good = path.read_bytes()
    path.write_bytes(good[:100])
    assert evaluated.evaluate(MODELS, TASKS).problems == []
    assert len(path.read_bytes()) > 100
