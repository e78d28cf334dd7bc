"""Whatever a model returns, every metric of every task gives a value between 0 and 1, and soon."""

from __future__ import annotations

import math
import random
from functools import cache
from pathlib import Path

import pytest

from medeval_assets.catalog.task_spec import Example, TaskSpec
from medeval_assets.metrics.available import available_metrics
from medeval_assets.metrics.concept_f1 import CONCEPTS
from medeval_assets.metrics.intact import INTACT
from medeval_assets.metrics.metric import CORRECTED, Metric, Response, Score
from medeval_assets.settings import Settings
from medeval_assets.sources.dataset import read_dataset
from medeval_assets.tasks import all_tasks

NOWHERE = Path(__file__).parent / "nowhere"
SETTINGS = Settings(home=NOWHERE, sources=NOWHERE)

BLANK = ["", " \n\t\u00a0", "\x00\x07\x1b\x7f", "\u200f\u202b\u2066\ufeff"]
STRANGE = [
    "\ud800 B \udfff",
    "\udcffneutral\x00",
    "\u202e(B) rewsna eht\u202c",
    "\u202b\u05d4\u05ea\u05e9\u05d5\u05d1\u05d4 (B) \u05d0\u05d5 I10\u202c",
    "[" * 5_000,
    "The answer is (" * 2_000,
    "E11." * 5_000,
    "not " * 5_000 + "B",
    "{{ 7 * 7 }} %s {0} ${HOME} <script>alert(1)</script> ; rm -rf /",
]
# Words on which parsers do their work: letters, statements, labels, codes, bullets, role tokens.
WORDS = "A B (C) **D** the answer is not neutral entailment gout, pain; - none I10 E11.9 B12 <|user|> assistant\n1. mg."
LENGTH = 10_000_000


@cache
def varied_words() -> str:
    draw = random.Random(1)
    words = WORDS.split(" ") + [f"w{number}" for number in range(3000)]
    return " ".join(draw.choices(words, k=LENGTH // 5))[:LENGTH]


@cache
def first_example(name: str) -> Example:
    return next(one for one in read_dataset(all_tasks()[name], SETTINGS).examples if one.split == "test")


TASK_OF: dict[Metric, TaskSpec] = {}
for _task in all_tasks().values():
    for _metric in (*available_metrics(_task, SETTINGS), *CONCEPTS, INTACT):
        TASK_OF.setdefault(_metric, _task)

every_metric = pytest.mark.parametrize(
    "metric", [pytest.param(one, id=f"{task.name} {one.name} {one.profile}") for one, task in TASK_OF.items()]
)


def score_of(metric: Metric, text: str, logprob: float = -1.0) -> Score:
    """The score of the text, its fraction and what a right answer would add checked."""
    example = first_example(TASK_OF[metric].name)
    logprobs = (logprob, *[-1.0] * (len(example.options) - 1)) if example.options else ()
    (score,) = metric.scores([Response(example, text, logprobs)])
    assert score is not None
    assert 0 <= score.numerator <= score.denominator < math.inf
    assert 0 <= score.perfect < math.inf
    return score


@every_metric
def test_nothing_visible(metric: Metric) -> None:
    for text in BLANK:
        score = score_of(metric, text)
        if metric is not INTACT and not metric.reads_likelihood:
            assert score.numerator == 0
            assert metric.profile != CORRECTED or score.failure == "empty"


@every_metric
@pytest.mark.timeout(60)
def test_strange_characters_and_unclosed_structures(metric: Metric) -> None:
    for text in STRANGE:
        score_of(metric, text)


@every_metric
@pytest.mark.timeout(60)
@pytest.mark.parametrize("words", [False, True], ids=["one letter", "words"])
def test_ten_megabytes(metric: Metric, words: bool) -> None:
    score_of(metric, varied_words() if words else "a" * LENGTH)


@pytest.mark.parametrize("metric", [metric for metric in TASK_OF if metric.reads_likelihood])
def test_log_probabilities_that_are_no_numbers(metric: Metric) -> None:
    assert score_of(metric, "", math.nan) == Score(0.0, failure="not_a_number")
    for logprob in (-math.inf, math.inf, 0.0, -1e308):
        assert not score_of(metric, "", logprob).failure
