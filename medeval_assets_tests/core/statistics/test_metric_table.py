"""Metric tables: what the scores of a cell add up to."""

from __future__ import annotations

from typing import Any

import pytest

from medeval_assets.metrics.accuracy import CHOICE
from medeval_assets.metrics.entity_f1 import ENTITY_F1
from medeval_assets.metrics.metric import Metric
from medeval_assets.statistics.intervals import wilson
from medeval_assets.statistics.metric_table import metric_table
from medeval_assets_tests.core.metrics.cases import task


def row(metric: Metric, example: str, numerator: float, denominator: float = 1, failure: str = "") -> dict[str, Any]:
    return {
        "example_id": example,
        "cluster_id": example,
        "metric": metric.name,
        "profile": metric.profile,
        "numerator": numerator,
        "denominator": denominator,
        "failure": failure,
    }


def test_failures_are_scored_and_skipped_prompts_are_not() -> None:
    lenient, strict, _ = CHOICE
    scores = [
        row(strict, "e1", 0),
        row(lenient, "e1", 1),
        row(lenient, "e2", 0, failure="no_match"),
        row(lenient, "e3", 0),
        row(lenient, "e4", 1),
        row(lenient, "e5", 0, 0, "skipped"),
    ]
    first, second = metric_table(task(CHOICE), scores)
    assert (first["metric"], first["headline"], second["metric"], second["headline"]) == (
        "accuracy_lenient",
        True,
        "accuracy_strict",
        False,
    )
    assert (first["n"], first["clusters"], first["value"], first["skipped"]) == (4, 4, 0.5, 1)
    assert (first["low"], first["high"], first["method"]) == (*wilson(2, 4), "wilson")
    assert (first["failures"], first["failure_rate"]) == (1, 0.25)
    assert (first["failure_low"], first["failure_high"]) == wilson(1, 4)


def test_micro_averages_are_ratios_of_sums() -> None:
    # e1: tp 1, fp 0, fn 0; e2: tp 1, fp 3, fn 1; e3: nothing annotated, nothing found.
    scores = [row(ENTITY_F1[0], *parts) for parts in (("e1", 2, 2), ("e2", 2, 6), ("e3", 0, 0))]
    (table,) = metric_table(task(ENTITY_F1), scores)
    assert (table["n"], table["value"]) == (3, pytest.approx(4 / 8))


def test_a_cell_of_skipped_prompts_has_no_value() -> None:
    (table,) = metric_table(task(CHOICE), [row(CHOICE[0], "e1", 0, 0, "skipped")])
    assert (table["n"], table["skipped"], table["value"], table["failure_rate"], table["low"]) == (
        0,
        1,
        None,
        None,
        None,
    )
