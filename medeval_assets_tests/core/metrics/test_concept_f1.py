"""Open-vocabulary concepts: agreement of two sets of phrases, and what counts where one is empty."""

from __future__ import annotations

import pytest

from medeval_assets.catalog.task_spec import Example
from medeval_assets.metrics.concept_f1 import CONCEPTS
from medeval_assets.metrics.metric import Response, Score


@pytest.mark.parametrize(
    ("text", "targets", "f1", "precision", "recall"),
    [
        # Said: leg edema, sepsis, fever. Meant: sepsis, leg edema. Both: 2, so P 2/3, R 2/2, F1 4/5.
        ("Leg edema, sepsis and fever", ("Sepsis, leg edemas",), Score(4 / 5), Score(2 / 3), Score(1.0)),
        # A part of a phrase is another phrase.
        ("edema", ("leg edema",), Score(0.0), Score(0.0), Score(0.0)),
        # The best reference counts: with the second F1 is 2·1/(1+1), with the first 2·1/(1+2).
        ("sepsis", ("sepsis, fever", "sepsis"), Score(1.0), Score(1.0), Score(1.0)),
        ("\u200b", ("sepsis",), *[Score(0.0, failure="empty")] * 3),
        ("It is not.", ("sepsis",), *[Score(0.0)] * 3),
        # Nothing to find in the reference: the example says nothing, for any answer.
        ("sepsis", ("What is it?",), *[Score(0.0, 0.0, perfect=0.0)] * 3),
        ("It is.", ("What is it?",), *[Score(0.0, 0.0, perfect=0.0)] * 3),
        ("\n", ("What is it?",), *[Score(0.0, 0.0, failure="empty", perfect=0.0)] * 3),
        ("sepsis", ("What is it?", "sepsis"), *[Score(1.0)] * 3),
    ],
)
def test_scores(text: str, targets: tuple[str, ...], f1: Score, precision: Score, recall: Score) -> None:
    response = Response(Example("e1", "e1", {}, targets), text)
    assert [metric.scores([response]) for metric in CONCEPTS] == [[f1], [precision], [recall]]


def test_the_names_are_its_own() -> None:
    assert [metric.name for metric in CONCEPTS] == ["phrase_f1", "phrase_precision", "phrase_recall"]
