"""Intact outputs as a metric: their rate, and the others' counts by kind."""

from __future__ import annotations

from medeval_assets.catalog.task_spec import Example
from medeval_assets.metrics.intact import INTACT
from medeval_assets.metrics.metric import Response, Score


def test_a_degenerate_answer_counts_0_and_has_its_kind_as_the_rule() -> None:
    example = Example("e1", "e1", {"question": "Why is my knee swollen?"}, ("Gout?",))
    answers = ["", "<|im_start|>assistant", "What causes a swollen knee?"]
    assert INTACT.scores([Response(example, answer) for answer in answers]) == [
        Score(0, 1, "empty"),
        Score(0, 1, "role_tokens"),
        Score(1, 1, ""),
    ]
