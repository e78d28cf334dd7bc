"""The leaderboard's rows, and the published values that stand beside them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from medeval_assets.catalog.models_file import read_models
from medeval_assets.errors import BadInput
from medeval_assets.metrics.accuracy import CHOICE
from medeval_assets.metrics.score import score
from medeval_assets.reports.leaderboard import leaderboard
from medeval_assets.settings import Settings
from medeval_assets.sources.source_folder import SourceFile
from medeval_assets.statistics.metric_table import metric_table
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.core.metrics.cases import EXAMPLES, generation, task
from medeval_assets_tests.real_data import SHARED_DATA

BUNDLED = Settings.from_environment({}).bundled / "reference" / "published.csv"
CLUE = SHARED_DATA.parent / "reference" / "clue_results_2024-06-26.csv"


def published(folder: Path, *lines: str) -> SourceFile:
    path = folder / "published.csv"
    path.write_text("\n".join(["model,task,metric,published,source", *lines]))
    return SourceFile(path)


def test_rows_are_the_metric_tables_with_published_values_beside_them(tmp_path: Path) -> None:
    spec = task(CHOICE)
    table = metric_table(spec, score(spec, EXAMPLES, [generation("e1", "A"), generation("e2", "?", reason="skipped")]))
    known = published(tmp_path, "m1,cases,accuracy_strict,0.643,a paper", "m2,cases,accuracy_lenient,1,another")
    rows = leaderboard([("m2", "cases", True, table), ("m1", "cases", False, table)], {"cases": spec}, known, {})
    assert [(row["model"], row["metric"], row["synthetic"], row["published"], row["source"]) for row in rows] == [
        ("m2", "accuracy_lenient", True, 1.0, "another"),
        ("m2", "accuracy_strict", True, None, ""),
        ("m1", "accuracy_lenient", False, None, ""),
        ("m1", "accuracy_strict", False, 0.643, "a paper"),
    ]
    assert {(row["group"], row["n"], row["value"], row["skipped"]) for row in rows} == {("case challenges", 1, 1.0, 1)}


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("m1,cases,accuracy_lenient,64.3,a paper", "published.csv:3 published"),
        ("m1,cases,accuracy_lenient,nan,a paper", "published.csv:3 published"),
        ("m0,cases,accuracy_lenient,0.2,a paper", "published.csv:3"),
        ("m1,cases,accuracy_lenient,0.2,", "published.csv:3 source"),
    ],
)
def test_a_bad_published_value_is_named_by_its_line(tmp_path: Path, line: str, where: str) -> None:
    with pytest.raises(BadInput) as caught:
        leaderboard([], {}, published(tmp_path, "m0,cases,accuracy_lenient,0.1,a paper", line), {})
    assert [problem.where for problem in caught.value.problems] == [where]


def test_the_bundled_values_use_the_projects_names() -> None:
    models, tasks = read_models([BUNDLED.parents[1] / "catalog" / "models.yaml"]), all_tasks()
    with BUNDLED.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["model"] for row in rows} - set(models) == {"llama2-7b"}
    known = {(name, metric.name) for name, spec in tasks.items() for metric in spec.metrics}
    unmeasured = {(row["task"], row["metric"]) for row in rows} - known
    assert {metric for _, metric in unmeasured} == {"bertscore_f1", "umls_f1", "level1_score", "level2_score"}
    assert {task for task, metric in unmeasured if metric.startswith("level")} == {"clue"}


@pytest.mark.skipif(not CLUE.is_file(), reason="CLUE's results table is not beside the checkout (../shared/reference)")
def test_the_bundled_values_are_those_of_clues_table() -> None:
    with BUNDLED.open() as ours, CLUE.open() as theirs:
        values = [float(row["published"]) for row in csv.DictReader(ours) if row["source"].startswith("CLUE")]
        percents = [float(row["percent"]) for row in csv.DictReader(theirs)]
    assert sorted(values) == pytest.approx(sorted(percent / 100 for percent in percents), abs=1e-12)
    assert len(values) == 501
