"""ROUGE: the same numbers, bit for bit, as the package that the field reports."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from medeval_assets.catalog.task_spec import Example
from medeval_assets.metrics.metric import Response, Score
from medeval_assets.metrics.rouge import ROUGE

NAMES = [metric.name for metric in ROUGE]
REFERENCE = RougeScorer(NAMES)
WORD = st.sampled_from(
    ["the", "patient", "Pain,", "has", "fever.", "COVID-19", "a", "1.5mg", "naïve", "\u00b5g", "x_y"]
)
TEXT = st.lists(WORD, max_size=12).map(" ".join) | st.text(max_size=24)


def values(text: str, *references: str) -> list[float]:
    response = Response(Example("e1", "e1", {}, references), text)
    return [score.numerator for metric in ROUGE for score in metric.scores([response]) if score]


@settings(max_examples=400, deadline=None)
@given(TEXT, TEXT)
@example("", "")
@example("", "fever")
@example("...", "fever")
@example("fever", "fever")
@example("a a a b", "a b b a")
@example("\ud800 fever", "fever \udfff")
@example("\u0130stanbul \u017f \u212a", "istanbul s k")
@example("fever\x00pain\u2028cough", "fever pain cough")
def test_equal_to_rouge_score(text: str, reference: str) -> None:
    theirs = REFERENCE.score(reference, text)
    assert values(text, reference) == [theirs[name].fmeasure for name in NAMES]


def test_worked_by_hand() -> None:
    # 3 of 4 answer words and 3 of 3 reference words agree: F1 = 2·3/(4+3). Of the pairs, "pain after" and "after meals"
    # agree: 2·2/(3+2). In order, all three agree again.
    assert values("pain mostly after meals", "pain after meals") == pytest.approx([6 / 7, 6 / 7, 2 * 1 / (3 + 2)])


def test_the_best_of_several_references_counts() -> None:
    assert values("fever", "pain", "fever and cough", "cough") == values("fever", "fever and cough")


def test_an_empty_answer_is_a_failure_and_an_unrelated_one_is_not() -> None:
    first = ROUGE[0]
    example = Example("e1", "e1", {}, ("fever",))
    assert first.scores([Response(example, " \n"), Response(example, "gout")]) == [Score(0, failure="empty"), Score(0)]
    assert first.scores([]) == []
