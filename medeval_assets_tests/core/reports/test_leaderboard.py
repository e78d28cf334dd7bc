"""The leaderboard's rows: cells, level scores, and published values beside them."""

from __future__ import annotations

from typing import Any

import pytest

from medeval_assets.metrics.accuracy import CHOICE
from medeval_assets.metrics.clue_level import LEVEL_1
from medeval_assets.metrics.metric import CLUE
from medeval_assets.metrics.score import score
from medeval_assets.reports.leaderboard import leaderboard
from medeval_assets.reports.published import Published
from medeval_assets.reports.rule_effects import rule_effects
from medeval_assets.statistics.metric_table import metric_table
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.core.metrics.cases import EXAMPLES, generation, task


def test_rows_are_the_metric_tables_with_published_values_beside_them() -> None:
    spec = task(CHOICE)
    generations = [generation("e1", "A"), generation("e2", "?", reason="skipped")]
    table = metric_table(score(spec, CHOICE, EXAMPLES, generations))
    known = {
        ("m1", "cases", "accuracy_strict", "corrected"): Published(0.643, "a paper"),
        ("m2", "cases", "accuracy_lenient", "corrected"): Published(1.0, "another"),
        ("m1", "cases", "accuracy_lenient", CLUE): Published(0.1, "of another profile"),
    }
    cells = [("m2", "cases", True, table), ("m1", "cases", False, table)]
    rows = leaderboard(cells, {"cases": spec}, known, {"cases": 0.5})
    columns = ("model", "metric", "synthetic", "chance", "published", "source", "agreement")
    assert [tuple(row[column] for column in columns) for row in rows] == [
        ("m2", "accuracy_lenient", True, 0.5, 1.0, "another", ""),
        ("m2", "accuracy_strict", True, None, None, "", ""),
        ("m1", "accuracy_lenient", False, 0.5, None, "", ""),
        # One right answer of one: Wilson's interval is 0.21 to 1, which holds the published value.
        ("m1", "accuracy_strict", False, None, 0.643, "a paper", "agrees"),
    ]
    assert {(row["group"], row["n"], row["value"], row["skipped"]) for row in rows} == {("case challenges", 1, 1.0, 1)}


def measured(metric: str, value: float, profile: str = CLUE) -> dict[str, Any]:
    return {
        "metric": metric,
        "title": metric,
        "profile": profile,
        "headline": False,
        "n": 100,
        "value": value,
        "standard_error": 0.03,
        "low": value - 0.06,
        "high": value + 0.06,
        "failure_rate": 0.0,
        "if_wrong": value,
        "if_right": value,
        "skipped": 0,
    }


def test_a_level_score_stands_where_all_its_components_do() -> None:
    values = [0.6, 0.3, 0.45]  # every metric of a part has the same value, so that the part's mean is known
    parts = [
        (part[0][0], [measured(metric, value) for _, metric in part])
        for part, value in zip(LEVEL_1, values, strict=True)
    ]
    cells = [("m1", name, False, rows) for name, rows in parts]
    published = {("m1", "clue", "level1_score", CLUE): Published(0.5, "the benchmark")}
    (level,) = [row for row in leaderboard(cells, all_tasks(), published, {}) if row["task"] == "clue"]
    assert (level["metric"], level["value"], level["n"]) == ("level1_score", pytest.approx(0.45), 100)
    # Three independent parts whose errors are 0.03 each: sqrt(3)·0.03/3.
    assert level["standard_error"] == pytest.approx(3**0.5 * 0.03 / 3)
    assert level["low"] == pytest.approx(0.45 - 1.96 * 3**0.5 * 0.01, abs=1e-5)
    assert level["agreement"] == "lower"
    without_one = [*cells[:2], ("m1", parts[2][0], False, parts[2][1][1:])]
    assert not [row for row in leaderboard(without_one, all_tasks(), {}, {}) if row["task"] == "clue"]


def test_every_rule_shows_what_it_changes() -> None:
    steps = [("corrected", 0.5), (f"{CLUE}.label_once", 0.52), (f"{CLUE}.nothing", 0.52), (CLUE, 0.515)]
    table = [measured("accuracy_lenient", value, profile) for profile, value in steps]
    published = {("m1", "mednli", "accuracy_lenient", CLUE): Published(0.62, "the benchmark")}
    rows = leaderboard([("m1", "mednli", False, table)], all_tasks(), published, {})
    page = rule_effects(rows, {("mednli", "accuracy_lenient"): "first_twice"})
    assert page.splitlines()[2] == (
        "| m1 | mednli (accuracy\\_lenient) | 100 | 50.0 | label\\_once +2.0, first\\_twice −0.5 "
        "| 51.5 | 62.0 | lower |"
    )
    assert rule_effects([row for row in rows if row["profile"] == "corrected"], {}) == ""
