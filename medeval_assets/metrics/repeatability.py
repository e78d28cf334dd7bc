"""Repeatability: how far a metric moves when the same model is asked the same again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medeval_assets.catalog.task_spec import Example, TaskSpec
from medeval_assets.metrics.metric import CLUE, CORRECTED, Metric
from medeval_assets.metrics.score import score
from medeval_assets.statistics.intervals import ROUNDING, wilson

Rows = Sequence[Mapping[str, Any]]


def repeat_rows(
    task: TaskSpec,
    metrics: Sequence[Metric],
    examples: Iterable[Example],
    first: Rows,
    variants: Mapping[str, Rows],
) -> list[dict[str, Any]]:
    """One row a variant, metric and whole profile, by variant as given and by metric as shown.

    first: generations of the cell. variants: how they were asked again → the generations then, of some of its examples.

    An example flips where its score is another one, by more than a rounding error. `shift` is how far the metric would
    move if all changes had one direction: Σ|change of the numerator| / Σ denominators.
    """
    dataset = list(examples)
    rows: list[dict[str, Any]] = []
    for variant, again in variants.items():
        asked = {row["example_id"] for row in again}
        before = [row for row in first if row["example_id"] in asked]
        compared = [
            (_by_example(score(task, [metric], dataset, before)), _by_example(score(task, [metric], dataset, again)))
            for metric in metrics
            if metric.profile in (CORRECTED, CLUE)
        ]
        texts = {row["example_id"]: row["text"] for row in before}
        changed = sum(texts[row["example_id"]] != row["text"] for row in again)
        likelihood = _largest_likelihood_difference(before, again)
        for old, new in compared:
            shared = [(old[key], new[key]) for key in old if key in new]
            if not shared:
                continue
            moved = [abs(one["numerator"] - other["numerator"]) for one, other in shared]
            flips = sum(
                distance > ROUNDING or abs(one["denominator"] - other["denominator"]) > ROUNDING
                for distance, (one, other) in zip(moved, shared, strict=True)
            )
            low, high = wilson(flips, len(shared))
            total = math.fsum(one["denominator"] for one, _ in shared)
            rows.append(
                {
                    "variant": variant,
                    "metric": shared[0][0]["metric"],
                    "title": shared[0][0]["title"],
                    "profile": shared[0][0]["profile"],
                    "n": len(shared),
                    "changed_texts": changed,
                    "flips": flips,
                    "flip_rate": flips / len(shared),
                    "flip_low": low,
                    "flip_high": high,
                    "shift": math.fsum(moved) / total if total else None,
                    "likelihood_difference": likelihood,
                }
            )
    return rows


def _by_example(rows: Rows) -> dict[str, Mapping[str, Any]]:
    return {row["example_id"]: row for row in rows}


def _largest_likelihood_difference(first: Rows, again: Rows) -> float | None:
    """Nats; None where no options were scored."""
    before = {row["example_id"]: row["option_logprobs"] or () for row in first}
    apart = [
        abs(one - other)
        for row in again
        for one, other in zip(before[row["example_id"]], row["option_logprobs"] or (), strict=False)
    ]
    return max(apart, default=None)
