"""Scores of several models as the lake gives them, made by the real scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from medeval_assets.catalog.task_spec import Example, TaskSpec
from medeval_assets.comparisons.comparison import Pair, compare_on_task
from medeval_assets.comparisons.task_scores import COLUMNS, task_scores
from medeval_assets.metrics.metric import Metric
from medeval_assets.metrics.score import score

PROMPT = "a" * 64
OTHER_PROMPT = "b" * 64


def answer(example_id: str, text: str, **given: Any) -> dict[str, Any]:
    """A generation; `given` overrides any of its columns."""
    return {
        "example_id": example_id,
        "text": text,
        "finish_reason": "stop",
        "option_logprobs": (),
        "prompt_sha256": PROMPT,
        "fitting": "",
        **given,
    }


def scores_table(
    task: TaskSpec,
    metrics: Sequence[Metric],
    examples: Sequence[Example],
    answers: Mapping[str, Sequence[Mapping[str, Any]]],
) -> pa.Table:
    """The scores of each model's answers, one model after the other, as `Lake.read_models` returns them."""
    rows = [
        {**{column: row[column] for column in COLUMNS}, "model": model}
        for model, generations in answers.items()
        for row in score(task, metrics, examples, generations)
    ]
    return pa.Table.from_pylist(rows)


def compared(
    task: TaskSpec,
    metrics: Sequence[Metric],
    examples: Sequence[Example],
    answers: Mapping[str, Sequence[Mapping[str, Any]]],
    pairs: Sequence[Pair] = (("bio", "base"),),
) -> list[dict[str, Any]]:
    table = scores_table(task, metrics, examples, answers)
    return compare_on_task(task, task_scores(task.name, table), pairs, margin=0.02, synthetic=frozenset())
