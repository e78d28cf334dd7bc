"""Metric tables: what the scores of a cell add up to."""

from __future__ import annotations

from typing import Any

import pytest

from medeval_assets.metrics.accuracy import CHOICE
from medeval_assets.metrics.entity_f1 import ENTITY_F1
from medeval_assets.metrics.metric import Metric
from medeval_assets.statistics.intervals import wilson
from medeval_assets.statistics.metric_table import metric_table


def row(metric: Metric, example: str, numerator: float, denominator: float = 1, **given: Any) -> dict[str, Any]:
    return {
        "example_id": example,
        "cluster_id": example,
        "metric": metric.name,
        "title": metric.title,
        "profile": metric.profile,
        "numerator": numerator,
        "denominator": denominator,
        "perfect": 1.0,
        "parse_rule": "",
        "failure": "",
        "cut": False,
        **given,
    }


def test_failures_are_scored_and_skipped_prompts_are_not() -> None:
    lenient, strict, _ = CHOICE
    scores = [
        row(lenient, "e1", 1, parse_rule="strict"),
        row(lenient, "e2", 0, parse_rule="named", failure="ambiguous", cut=True),
        row(lenient, "e3", 0, parse_rule="stated"),
        row(lenient, "e4", 1, parse_rule="stated"),
        row(lenient, "e5", 0, 0, failure="skipped"),
        row(strict, "e1", 0),
    ]
    first, second = metric_table(scores)
    assert (first["metric"], first["headline"], second["metric"], second["headline"]) == (
        "accuracy_lenient",
        True,
        "accuracy_strict",
        False,
    )
    assert (first["n"], first["clusters"], first["value"], first["skipped"], first["cut"]) == (4, 4, 0.5, 1, 1)
    assert (first["low"], first["high"], first["method"]) == (*wilson(2, 4), "wilson")
    assert (first["failures"], first["failure_rate"]) == (1, 0.25)
    assert (first["failure_low"], first["failure_high"]) == wilson(1, 4)
    assert list(first["rules"].items()) == [("stated", 2), ("strict", 1)]
    assert first["failure_kinds"] == {"ambiguous": 1}
    # Two of four are right; the unreadable one could have been a third.
    assert (first["if_wrong"], first["if_right"]) == (0.5, 0.75)


def test_a_point_given_to_an_unreadable_answer_is_taken_back_by_the_lower_bound() -> None:
    # The benchmark's rule counts a label that occurs once, also where it is not the answer.
    (table,) = metric_table([row(CHOICE[0], "e1", 1, failure="ambiguous"), row(CHOICE[0], "e2", 1)])
    assert (table["value"], table["if_wrong"], table["if_right"]) == (1.0, 0.5, 1.0)


def test_micro_averages_are_ratios_of_sums() -> None:
    # e1: tp 1, fp 0, fn 0; e2: tp 1, fp 3, fn 1; e3: nothing annotated, nothing found.
    scores = [row(ENTITY_F1[0], *parts) for parts in (("e1", 2, 2), ("e2", 2, 6), ("e3", 0, 0))]
    (table,) = metric_table(scores)
    assert (table["n"], table["value"]) == (3, pytest.approx(4 / 8))


def test_the_bounds_of_a_micro_average_rest_on_what_a_right_answer_adds() -> None:
    # e1: tp 1, fp 1, fn 0. e2: an empty answer where 2 mentions are annotated; right, it would add 4 to both.
    scores = [row(ENTITY_F1[0], "e1", 2, 3, perfect=2.0), row(ENTITY_F1[0], "e2", 0, 2, perfect=4.0, failure="empty")]
    (table,) = metric_table(scores)
    assert (table["if_wrong"], table["value"], table["if_right"]) == (2 / 5, 2 / 5, (2 + 4) / (3 + 4))


def test_a_cell_of_skipped_prompts_has_no_value() -> None:
    (table,) = metric_table([row(CHOICE[0], "e1", 0, 0, failure="skipped")])
    columns = ("n", "skipped", "value", "failure_rate", "low", "if_wrong", "if_right")
    assert [table[column] for column in columns] == [0, 1, None, None, None, None, None]
