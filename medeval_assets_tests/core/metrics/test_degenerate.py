"""Degenerate outputs as a metric: their rate and their counts by kind."""

from __future__ import annotations

from medeval_assets.catalog.task_spec import Example
from medeval_assets.metrics.degenerate import DEGENERATE
from medeval_assets.metrics.metric import Response, Score


def test_one_for_a_degenerate_answer_with_its_kind_as_the_rule() -> None:
    example = Example("e1", "e1", {"question": "Why is my knee swollen?"}, ("Gout?",))
    answers = ["", "<|im_start|>assistant", "What causes a swollen knee?"]
    assert DEGENERATE.scores([Response(example, answer) for answer in answers]) == [
        Score(1, 1, "empty"),
        Score(1, 1, "role_tokens"),
        Score(0, 1, ""),
    ]
