"""Accuracy: right, wrong and unreadable are three things."""

from __future__ import annotations

import math

import pytest

from medeval_assets.catalog.task_spec import Example
from medeval_assets.metrics.accuracy import CHOICE, LABEL
from medeval_assets.metrics.metric import Response, Score

EXAMPLE = Example("e1", "e1", {}, ("B",), {"A": "Gout", "B": "Asthma", "C": "Colitis"})
LENIENT, STRICT, LIKELIHOOD = CHOICE


@pytest.mark.parametrize(
    ("text", "lenient", "strict"),
    [
        ("B", Score(1, rule="strict"), Score(1, rule="strict")),
        ("A.", Score(0, rule="strict"), Score(0, rule="strict")),
        ("The answer is B", Score(1, rule="stated"), Score(0, failure="no_match")),
        ("gout or asthma", Score(0, rule="option_text", failure="ambiguous"), Score(0, failure="no_match")),
        ("", Score(0, failure="empty"), Score(0, failure="empty")),
    ],
)
def test_choice(text: str, lenient: Score, strict: Score) -> None:
    assert LENIENT.scores([Response(EXAMPLE, text)]) == [lenient]
    assert STRICT.scores([Response(EXAMPLE, text)]) == [strict]


@pytest.mark.parametrize(
    ("logprobs", "numerator"),
    [
        ((-3.0, -1.0, -2.0), 1.0),
        ((-1.0, -3.0, -2.0), 0.0),
        ((-1.0, -1.0, -2.0), 0.5),
        ((-1.0, -1.0, -1.0), 1 / 3),
        ((-1.0, -2.0, -1.0), 0.0),
        ((-math.inf, -1.0, -math.inf), 1.0),
    ],
)
def test_tied_likelihoods_share_the_point(logprobs: tuple[float, ...], numerator: float) -> None:
    assert LIKELIHOOD.scores([Response(EXAMPLE, "A", logprobs)]) == [Score(numerator, rule="likeliest")]


def test_likelihood_without_numbers() -> None:
    responses = [Response(EXAMPLE, "B"), Response(EXAMPLE, "B", (math.nan, -1.0, -2.0))]
    assert LIKELIHOOD.scores(responses) == [None, Score(0, failure="not_a_number")]


def test_labels() -> None:
    example = Example("e1", "e1", {}, ("neutral",), {word: word for word in ("entailment", "contradiction", "neutral")})
    texts = ["neutral", "It is neutral", "not neutral", "entailment"]
    lenient, strict = (
        [score and score.numerator for score in metric.scores([Response(example, t) for t in texts])]
        for metric in LABEL[:2]
    )
    assert lenient == [1, 1, 0, 0]
    assert strict == [1, 0, 0, 0]
