"""A small choice task, its dataset and generations, for tests of what is computed from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medeval_assets.catalog.task_spec import Access, Decoding, Example, Group, Output, TaskSpec
from medeval_assets.metrics.metric import Metric

OPTIONS = {"A": "Gout", "B": "Asthma"}
EXAMPLES = [
    Example("e1", "p1", {}, ("A",), OPTIONS),
    Example("e2", "p1", {}, ("B",), OPTIONS),
    Example("e3", "p2", {}, ("B",), OPTIONS),
    Example("d1", "p3", {}, ("B",), OPTIONS, split="dev"),
]


def task(metrics: tuple[Metric, ...]) -> TaskSpec:
    return TaskSpec(
        name="cases",
        title="Cases",
        about="",
        group=Group.CASES,
        output=Output.CHOICE,
        access=Access.PUBLIC,
        licence="",
        homepage="",
        folder="cases",
        read=lambda folder: EXAMPLES,
        template=Path("cases.jinja"),
        decoding=Decoding(5),
        metrics=metrics,
    )


def generation(example_id: str, text: str, logprobs: Any = (), reason: str = "stop") -> dict[str, Any]:
    return {
        "example_id": example_id,
        "text": text,
        "finish_reason": reason,
        "option_logprobs": logprobs,
        "prompt_sha256": "0" * 64,
        "fitting": "",
    }
