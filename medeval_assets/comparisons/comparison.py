"""Comparison: two models on one task by one metric, on the examples that both answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medeval_assets.catalog.task_spec import Output, TaskSpec
from medeval_assets.comparisons.decomposition import decomposition
from medeval_assets.comparisons.noise import NoiseOfMetrics, noise_floor
from medeval_assets.comparisons.task_scores import NOT_ANSWERED, MetricKey, TaskScores
from medeval_assets.metrics.metric import CLUE, CORRECTED
from medeval_assets.statistics.paired import PairedEstimate, PairedScores, compare
from medeval_assets.statistics.verdict import no_better, non_inferior, verdict

PLANNED, EXPLORATORY = "planned", "exploratory"

Pair = tuple[str, str]
"""A model and the one it is compared with."""

# Three ways to read the same answers: a difference that changes its sign between them is not about knowledge.
_READINGS = {"accuracy_lenient": "lenient", "accuracy_strict": "strict", "accuracy_likelihood": "likelihood"}


def compare_on_task(
    task: TaskSpec,
    scores: TaskScores,
    pairs: Sequence[Pair],
    *,
    margin: float,
    synthetic: frozenset[str],
    noise: Mapping[str, NoiseOfMetrics] | None = None,
) -> list[dict[str, Any]]:
    """One row a pair, metric and whole profile, by pair as given and by metric as shown; without those not scored.

    margin: the difference, as a fraction, below which it does not matter.
    synthetic: the models whose scores on this task rest on synthetic samples.
    noise: of the models that were asked again.

    Columns: those of the comparisons table but the adjusted p values. Compared are examples that both models answered
    under the same prompt, by the hash it had before it was fitted to a context. Where there is none, the row says why
    in `refused` and has no difference.
    """
    known = [pair for pair in pairs if all(model in scores.places for model in pair)]
    rows: dict[Pair, list[dict[str, Any]]] = {pair: [] for pair in known}
    for number, metric in enumerate(scores.metrics):
        # The rungs between the two profiles are there to explain a value; they are no results of their own.
        if metric.profile not in (CORRECTED, CLUE):
            continue
        shared: dict[bytes, list[tuple[Pair, NDArray[np.bool_]]]] = {}
        for pair in known:
            usable = _usable(scores, pair, number)
            if usable is not None:
                shared.setdefault(usable.tobytes(), []).append((pair, usable))
        # Pairs that share their examples are computed together.
        for group in shared.values():
            examples = group[0][1]
            members = [pair for pair, _ in group]
            for pair, estimate in zip(members, _estimates(scores, members, number, examples), strict=True):
                rows[pair].append(
                    {
                        **_identity(task, metric, pair, planned=number == 0 and metric.profile == CORRECTED),
                        **_basis(scores, pair, examples),
                        **_result(estimate, margin),
                        **_noise(noise or {}, pair, metric),
                        **_causes(task, scores, pair, number, examples),
                        "sign_change": "",
                        "synthetic": any(model in synthetic for model in pair),
                    }
                )
    for of_pair in rows.values():
        _flag_sign_changes(of_pair)
    return [row for of_pair in rows.values() for row in of_pair]


def _indices(scores: TaskScores, pair: Pair) -> list[int]:
    return [scores.places[model] for model in pair]


def _usable(scores: TaskScores, pair: Pair, metric: int) -> NDArray[np.bool_] | None:
    """(E,) the examples to compare on; None where one of the two has no score by this metric at all."""
    both = _indices(scores, pair)
    scored = ~np.isnan(scores.numerators[both, metric])
    if not scored.any(axis=1).all():
        return None
    return np.asarray(_same_prompt(scores, both) & ~scores.skipped[both].any(axis=0) & scored.all(axis=0))


def _same_prompt(scores: TaskScores, both: Sequence[int]) -> NDArray[np.bool_]:
    left, right = scores.prompts[both]
    return np.asarray((left == right) & (left > 0))


def _estimates(
    scores: TaskScores, pairs: Sequence[Pair], metric: int, examples: NDArray[np.bool_]
) -> list[PairedEstimate]:
    models, bases = np.array([_indices(scores, pair) for pair in pairs]).T
    _, clusters = np.unique(scores.clusters[examples], return_inverse=True)

    def of(values: NDArray[np.float64], which: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(values[which, metric][:, examples])

    return compare(
        PairedScores(
            numerators_a=of(scores.numerators, models),
            denominators_a=of(scores.denominators, models),
            numerators_b=of(scores.numerators, bases),
            denominators_b=of(scores.denominators, bases),
            clusters=clusters.astype(np.int64),
        )
    )


def _identity(task: TaskSpec, metric: MetricKey, pair: Pair, *, planned: bool) -> dict[str, Any]:
    return {
        "model": pair[0],
        "base": pair[1],
        "task": task.name,
        "group": task.group.value,
        "metric": metric.name,
        "title": metric.title,
        "profile": metric.profile,
        "family": PLANNED if planned else EXPLORATORY,
    }


def _basis(scores: TaskScores, pair: Pair, compared: NDArray[np.bool_]) -> dict[str, Any]:
    """On which examples the comparison rests, and why on no others."""
    both = _indices(scores, pair)
    answered = (scores.prompts[both] != NOT_ANSWERED).all(axis=0)
    same = _same_prompt(scores, both) & answered
    skipped = same & scores.skipped[both].any(axis=0)
    examples, other = int(answered.sum()), int((answered & ~same).sum())
    refused = ""
    if not compared.any():
        if not examples:
            refused = "no example was answered by both"
        elif other == examples:
            refused = f"none of the {examples} examples that both answered had the same prompt"
        else:
            refused = f"of the {examples} examples that both answered, {other} had another prompt, the others no score"
    return {
        "refused": refused,
        "examples": examples,
        "other_prompt": other,
        "skipped": int(skipped.sum()),
        "fitted_differently": int((compared & (scores.fittings[both[0]] != scores.fittings[both[1]])).sum()),
    }


def _result(estimate: PairedEstimate, margin: float) -> dict[str, Any]:
    known = estimate.difference is not None
    return {
        "n": estimate.n,
        "clusters": estimate.clusters,
        "value": estimate.value_a,
        "base_value": estimate.value_b,
        "difference": estimate.difference,
        "standard_error": estimate.standard_error,
        "low": estimate.low,
        "high": estimate.high,
        "bootstrap_low": estimate.bootstrap_low,
        "bootstrap_high": estimate.bootstrap_high,
        "test": estimate.test,
        "p": estimate.p,
        "verdict": verdict(estimate.low, estimate.high, margin).value if known else "",
        "margin": margin,
        "non_inferior": non_inferior(estimate.low, margin),
        "base_non_inferior": no_better(estimate.high, margin),
        "detectable": estimate.detectable,
        "both_right": estimate.both_right,
        "only_model": estimate.only_a,
        "only_base": estimate.only_b,
        "neither": estimate.neither,
    }


def _noise(noise: Mapping[str, NoiseOfMetrics], pair: Pair, metric: MetricKey) -> dict[str, Any]:
    floor = noise_floor([noise.get(model, {}).get((metric.name, metric.profile)) for model in pair])
    return {"noise": floor and floor.shift, "noise_examples": floor.n if floor else 0}


def _causes(task: TaskSpec, scores: TaskScores, pair: Pair, metric: int, examples: NDArray[np.bool_]) -> dict[str, Any]:
    both = _indices(scores, pair)
    numerators = scores.numerators[both, metric][:, examples]
    totals = scores.denominators[both, metric][:, examples].sum(axis=1)
    if not totals.all():
        empty: Mapping[str, float | None] = dict.fromkeys(
            ("from_answers", "from_length", "from_format", "from_truncation")
        )
        return {**empty, "format_examples": 0, "truncated_examples": 0}
    parts = decomposition(
        numerators[0] / totals[0] - numerators[1] / totals[1],
        scores.failed[both, metric][:, examples],
        scores.cut[both][:, examples],
        scores.characters[both][:, examples],
        free_text=task.output is Output.TEXT,
    )
    return {
        "from_answers": parts.answers,
        "from_length": parts.length,
        "from_format": parts.format,
        "from_truncation": parts.truncation,
        "format_examples": parts.format_examples,
        "truncated_examples": parts.truncated_examples,
    }


def _flag_sign_changes(rows: Sequence[dict[str, Any]]) -> None:
    """Note in each reading of the same answers under which others the difference has the other sign."""
    readings = {
        row["metric"]: row
        for row in rows
        if row["metric"] in _READINGS and row["profile"] == CORRECTED and row["difference"] is not None
    }
    for row in readings.values():
        others = [_READINGS[other] for other, that in readings.items() if row["difference"] * that["difference"] < 0]
        row["sign_change"] = ", ".join(others)
