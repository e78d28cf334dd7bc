"""The noise of the machinery under a difference."""

from __future__ import annotations

from typing import Any

from medeval_assets.catalog.task_spec import Example
from medeval_assets.comparisons.comparison import compare_on_task
from medeval_assets.comparisons.noise import Noise, noise_floor, noise_of
from medeval_assets.comparisons.task_scores import task_scores
from medeval_assets.reports.points import noise
from medeval_assets.tasks.mednli import TASKS
from medeval_assets_tests.core.comparisons.score_tables import answer, scores_table

KEY = ("accuracy_strict", "corrected")


def row(variant: str, shift: float | None, n: int, metric: str = KEY[0], profile: str = KEY[1]) -> dict[str, Any]:
    return {"variant": variant, "metric": metric, "profile": profile, "shift": shift, "n": n}


def test_the_noise_of_a_metric_is_the_largest_of_all_ways_of_asking_again() -> None:
    rows = [row("alone", 0.05, 20), row("vllm", 0.1, 19), row("alone", 0.2, 20, "other"), row("vllm", None, 0, "none")]
    assert noise_of(rows) == {KEY: Noise(0.1, 19), ("other", KEY[1]): Noise(0.2, 20)}


def test_the_noise_under_a_difference_is_that_of_both() -> None:
    assert noise_floor([Noise(0.125, 20), Noise(0.25, 16)]) == Noise(0.375, 16)
    assert noise_floor([Noise(0.1, 20), None]) is None


def test_a_comparison_tells_its_noise_where_both_models_were_asked_again() -> None:
    task = TASKS[0]
    options = {label: label for label in ("entailment", "contradiction", "neutral")}
    examples = [Example(f"e{n}", f"e{n}", {}, ("neutral",), options) for n in range(6)]
    answers = {model: [answer(f"e{n}", "neutral") for n in range(6)] for model in ("bio", "base")}
    scores = task_scores(task.name, scores_table(task, task.metrics, examples, answers))

    def compared(known: dict[str, dict[tuple[str, str], Noise]]) -> dict[str, Any]:
        rows = compare_on_task(task, scores, [("bio", "base")], margin=0.02, synthetic=frozenset(), noise=known)
        return next(one for one in rows if (one["metric"], one["profile"]) == KEY)

    both = compared({"bio": {KEY: Noise(0.05, 20)}, "base": {KEY: Noise(0.0, 10)}})
    assert (both["noise"], both["noise_examples"]) == (0.05, 10)
    assert noise(both) == "noise ±5.0 (10)"
    one = compared({"bio": {KEY: Noise(0.05, 20)}})
    assert (one["noise"], one["noise_examples"], noise(one)) == (None, 0, "")
