"""ROUGE: the same numbers, bit for bit, as the package that the field reports."""

from __future__ import annotations

import random

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
    ["the", "patient", "Pain,", "has", "fever.", "COVID-19", "a", "1.5mg", "naïve", "\u00b5g", "x_y", "_", "2", "٣"]
)
GAP = st.sampled_from([" ", "  ", "\n", "\r\n", "\t", "\x00", "\x1b", "\u2028", "\u00a0", "\u200f", ""])
PROSE = st.lists(st.tuples(WORD, GAP), max_size=12).map(lambda parts: "".join(word + gap for word, gap in parts))
REPEATED = st.text("ab ", max_size=120)
TEXT = (
    PROSE | REPEATED | st.text(max_size=24) | st.text(st.characters(categories=("Cs", "Cc", "Lu", "Nd")), max_size=24)
)


def values(text: str, *references: str) -> list[float]:
    response = Response(Example("e1", "e1", {}, references), text)
    return [score.numerator for metric in ROUGE for score in metric.scores([response]) if score]


@settings(max_examples=3000)
@given(TEXT, st.lists(TEXT, min_size=1, max_size=3))
@example("", [""])
@example("", ["fever"])
@example("...", ["fever"])
@example("fever", ["fever"])
@example("a a a b", ["a b b a"])
@example("\ud800 fever", ["fever \udfff"])
@example("\u0130stanbul \u017f \u212a", ["istanbul s k"])
@example("fever\x00pain\u2028cough", ["fever pain cough"])
def test_equal_to_rouge_score(text: str, references: list[str]) -> None:
    theirs = REFERENCE.score_multi(references, text)
    assert values(text, *references) == [theirs[name].fmeasure for name in NAMES]


@pytest.mark.parametrize(
    ("answer", "reference", "words"), [(900, 300, 40), (300, 900, 2000), (700, 1, 5), (1500, 40, 2)]
)
def test_equal_to_rouge_score_where_texts_are_long(answer: int, reference: int, words: int) -> None:
    draw = random.Random(answer)
    text, target = (" ".join(f"w{draw.randrange(words)}" for _ in range(length)) for length in (answer, reference))
    theirs = REFERENCE.score(target, text)
    assert values(text, target) == [theirs[name].fmeasure for name in NAMES]


def test_worked_by_hand() -> None:
    # 3 of 4 answer words and 3 of 3 reference words agree, in this order too: F1 = 2·3/(4+3). Of 3 and 2 pairs only
    # "after meals" agrees: 2·1/(3+2).
    assert values("pain mostly after meals", "pain after meals") == pytest.approx([6 / 7, 6 / 7, 2 * 1 / (3 + 2)])


def test_the_best_of_several_references_counts() -> None:
    assert values("fever", "pain", "fever and cough", "cough") == values("fever", "fever and cough")


def test_responses_keep_their_own_scores() -> None:
    references = [("fever",), (), ("gout", "fever"), ("pain",)]
    responses = [Response(Example(str(n), str(n), {}, targets), "fever") for n, targets in enumerate(references)]
    for metric in ROUGE[:2]:
        assert metric.scores(responses) == [Score(1), Score(0), Score(1), Score(0)]
        assert metric.scores(responses[::-1]) == [Score(0), Score(1), Score(0), Score(1)]


def test_an_empty_answer_is_a_failure_and_an_unrelated_one_is_not() -> None:
    first = ROUGE[0]
    example = Example("e1", "e1", {}, ("fever",))
    empty = [first.scores([Response(example, text)]) for text in ("", " \n", "\x00\x1b", "\u200f")]
    assert empty == [[Score(0, failure="empty")]] * 4
    assert first.scores([Response(example, "gout"), Response(example, "热")]) == [Score(0), Score(0)]
    assert first.scores([]) == []
