"""How far a metric moves when some answers are others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from medeval_assets.catalog.task_spec import Example
from medeval_assets.metrics.repeatability import repeat_rows
from medeval_assets.tasks.mednli import TASKS

TASK = TASKS[0]
OPTIONS = {label: label for label in ("entailment", "contradiction", "neutral")}
EXAMPLES = [Example(f"e{n}", f"e{n}", {}, ("entailment",), OPTIONS) for n in range(4)]
LIKELIHOODS = [-1.0, -2.0, -3.0]


def answers(texts: Sequence[str], likelihoods: Sequence[Sequence[float]] = ()) -> list[dict[str, Any]]:
    return [
        {
            "example_id": f"e{number}",
            "text": text,
            "finish_reason": "stop",
            "option_logprobs": list(likelihoods[number] if likelihoods else LIKELIHOODS),
            "prompt_sha256": "0" * 64,
            "fitting": "",
        }
        for number, text in enumerate(texts)
    ]


def rows_of(again: list[dict[str, Any]], first: Sequence[str] = ("entailment", "neutral", "entailment", "x")) -> Any:
    rows = repeat_rows(TASK, TASK.metrics, EXAMPLES, answers(first), {"alone": again})
    return {row["metric"]: row for row in rows if row["profile"] == "corrected"}


def test_the_same_answers_flip_nothing() -> None:
    row = rows_of(answers(["entailment", "neutral", "entailment", "x"]))["accuracy_strict"]
    assert (row["n"], row["changed_texts"], row["flips"], row["shift"]) == (4, 0, 0, 0.0)
    # Wilson's interval for 0 of 4.
    assert (row["flip_low"], row["flip_high"]) == pytest.approx((0.0, 0.4899), abs=1e-4)


def test_flips_are_counted_whichever_way_they_go_and_only_where_the_score_changes() -> None:
    # The first goes wrong, the second right, the third has another text and the same score.
    row = rows_of(answers(["neutral", "entailment", "Entailment.", "x"]))["accuracy_strict"]
    assert (row["n"], row["changed_texts"], row["flips"], row["flip_rate"]) == (4, 3, 2, 0.5)
    assert row["shift"] == 0.5


def test_only_the_examples_asked_again_are_compared() -> None:
    row = rows_of(answers(["neutral", "neutral"]))["accuracy_strict"]
    assert (row["n"], row["flips"]) == (2, 1)


def test_likelihoods_are_compared_too() -> None:
    moved = [LIKELIHOODS, [-2.5, -2.0, -3.0], LIKELIHOODS, LIKELIHOODS]
    rows = rows_of(answers(["entailment", "neutral", "entailment", "x"], moved))
    assert rows["accuracy_strict"]["flips"] == 0
    assert rows["accuracy_likelihood"]["flips"] == 1
    assert rows["accuracy_likelihood"]["likelihood_difference"] == pytest.approx(1.5)
