"""The metric table of a cell: what its scores add up to, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.metrics.metric import Metric
from medeval_assets.metrics.score import SKIPPED
from medeval_assets.statistics.intervals import ratio, wilson


def metric_table(task: TaskSpec, scores: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each of the task's metrics that has scores, in the task's order.

    scores: rows as `score` makes them.

    Columns: metric, title, profile, headline (the task's first metric), n (examples scored), clusters, value,
    standard_error, low, high, method (see `ratio`), failures (answers that could not be read; they are scored, as 0),
    failure_rate = failures / n with failure_low and failure_high (Wilson), skipped (prompts that were not asked; they
    are in none of the other columns).
    """
    by_metric: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in scores:
        by_metric.setdefault((row["metric"], row["profile"]), []).append(row)
    return [
        _row(metric, by_metric[metric.name, metric.profile], headline=metric is task.metrics[0])
        for metric in task.metrics
        if (metric.name, metric.profile) in by_metric
    ]


def _row(metric: Metric, rows: Sequence[Mapping[str, Any]], *, headline: bool) -> dict[str, Any]:
    scored = [row for row in rows if row["failure"] != SKIPPED]
    estimate = ratio(
        [row["numerator"] for row in scored],
        [row["denominator"] for row in scored],
        [row["cluster_id"] for row in scored],
        proportion=metric.proportion,
    )
    failures = sum(bool(row["failure"]) for row in scored)
    failure_low, failure_high = wilson(failures, len(scored)) if scored else (None, None)
    return {
        "metric": metric.name,
        "title": metric.title,
        "profile": metric.profile,
        "headline": headline,
        "n": estimate.n,
        "clusters": estimate.clusters,
        "value": estimate.value,
        "standard_error": estimate.standard_error,
        "low": estimate.low,
        "high": estimate.high,
        "method": estimate.method,
        "failures": failures,
        "failure_rate": failures / len(scored) if scored else None,
        "failure_low": failure_low,
        "failure_high": failure_high,
        "skipped": len(rows) - len(scored),
    }
