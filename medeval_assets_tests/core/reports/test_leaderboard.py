"""The leaderboard's rows, and the published values that stand beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from medeval_assets.errors import BadInput
from medeval_assets.metrics.accuracy import CHOICE
from medeval_assets.metrics.score import score
from medeval_assets.reports.leaderboard import leaderboard
from medeval_assets.sources.source_folder import SourceFile
from medeval_assets.statistics.metric_table import metric_table
from medeval_assets_tests.core.metrics.cases import EXAMPLES, generation, task


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
