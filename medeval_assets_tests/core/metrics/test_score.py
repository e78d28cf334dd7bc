"""The scores of a cell: what has a row, what is left out, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from medeval_assets.catalog.task_spec import Example
from medeval_assets.errors import BadInput
from medeval_assets.metrics.accuracy import CHOICE
from medeval_assets.metrics.entity_f1 import ENTITY_F1
from medeval_assets.metrics.score import score
from medeval_assets_tests.core.metrics.cases import EXAMPLES, generation, task


def summary(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(row["metric"], row["example_id"], row["numerator"], row["denominator"], row["failure"]) for row in rows]


def test_rows_follow_the_metrics_and_the_dataset_whatever_the_order_of_generations() -> None:
    generations = [
        generation("e3", "", [-1.0, -2.0]),
        generation("e2", "", None, "skipped"),
        generation("e1", "A", [-1.0, -2.0]),
    ]
    rows = score(task(CHOICE), CHOICE, EXAMPLES, generations)
    assert summary(rows) == [
        (metric, *rest)
        for metric, failure in (
            ("accuracy_lenient", "empty"),
            ("accuracy_strict", "empty"),
            ("accuracy_likelihood", ""),
        )
        for rest in (("e1", 1.0, 1.0, ""), ("e2", 0.0, 0.0, "skipped"), ("e3", 0.0, 1.0, failure))
    ]
    assert [row["value"] for row in rows[:3]] == [1.0, None, 0.0]
    assert rows[0] == {
        "example_id": "e1",
        "cluster_id": "p1",
        "metric": "accuracy_lenient",
        "title": "Accuracy (lenient)",
        "profile": "corrected",
        "numerator": 1.0,
        "denominator": 1.0,
        "perfect": 1.0,
        "value": 1.0,
        "parse_rule": "strict",
        "failure": "",
        "prompt_sha256": "0" * 64,
        "fitting_sha256": "",
        "cut": False,
        "characters": 1,
    }


def test_likelihood_has_no_rows_where_none_was_computed() -> None:
    rows = score(task(CHOICE), CHOICE, EXAMPLES, [generation("e1", "A"), generation("e2", "", reason="skipped")])
    assert {row["metric"] for row in rows} == {"accuracy_lenient", "accuracy_strict"}


def test_a_denominator_of_zero_has_no_value() -> None:
    rows = score(task(ENTITY_F1), ENTITY_F1[:3], [Example("e1", "e1", {}, ())], [generation("e1", "none")])
    assert [(row["denominator"], row["value"], row["failure"]) for row in rows] == [(0.0, None, "")] * 3


def test_every_bad_generation_is_named_and_no_text_is_shown() -> None:
    bad = [
        generation("e1", "secret"),
        generation("e1", "secret"),
        generation("e9", "secret"),
        generation("d1", "secret"),
        generation("e2", "secret", [-1.0]),
    ]
    with pytest.raises(BadInput) as caught:
        score(task(CHOICE), CHOICE, EXAMPLES, bad)
    assert [problem.where for problem in caught.value.problems] == [
        f"cases generation '{key}'" for key in ("e1", "e9", "d1", "e2")
    ]
    assert "secret" not in str(caught.value)
