"""The metric table of a cell: what its scores add up to, and how sure that is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medeval_assets.metrics.score import SKIPPED
from medeval_assets.statistics.intervals import ratio, wilson


def metric_table(scores: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each metric and profile, in the order of the scores.

    scores: rows as `score` makes them.

    Columns: metric, title, profile, headline (the first metric), n (examples scored), clusters, value, standard_error,
    low, high, method (see `ratio`); rules (parse rule → answers it read); failures (answers that could not be read;
    they are scored, as 0) with failure_kinds (why → answers), failure_rate = failures / n, failure_low and failure_high
    (Wilson); if_wrong and if_right, the value if all of them were wrong or right; cut (answers that ended at the most
    tokens they may have); skipped (prompts that were not asked; they are in none of the other columns).
    """
    by_metric: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in scores:
        by_metric.setdefault((row["metric"], row["profile"]), []).append(row)
    return [_row(rows, headline=number == 0) for number, rows in enumerate(by_metric.values())]


def _row(rows: Sequence[Mapping[str, Any]], *, headline: bool) -> dict[str, Any]:
    scored = [row for row in rows if row["failure"] != SKIPPED]
    estimate = ratio(
        [row["numerator"] for row in scored],
        [row["denominator"] for row in scored],
        [row["cluster_id"] for row in scored],
    )
    failures = sum(bool(row["failure"]) for row in scored)
    failure_low, failure_high = wilson(failures, len(scored)) if scored else (None, None)
    return {
        "metric": rows[0]["metric"],
        "title": rows[0]["title"],
        "profile": rows[0]["profile"],
        "headline": headline,
        "n": estimate.n,
        "clusters": estimate.clusters,
        "value": estimate.value,
        "standard_error": estimate.standard_error,
        "low": estimate.low,
        "high": estimate.high,
        "method": estimate.method,
        "rules": _counts(row["parse_rule"] for row in scored if not row["failure"]),
        "failures": failures,
        "failure_kinds": _counts(row["failure"] for row in scored),
        "failure_rate": failures / len(scored) if scored else None,
        "failure_low": failure_low,
        "failure_high": failure_high,
        "if_wrong": _if_failures(scored, right=False),
        "if_right": _if_failures(scored, right=True),
        "cut": sum(row["cut"] for row in scored),
        "skipped": len(rows) - len(scored),
    }


def _counts(names: Iterable[str]) -> dict[str, int]:
    """How often each name that is not empty occurs, the most frequent first, then by name."""
    return dict(sorted(Counter(filter(None, names)).items(), key=lambda item: (-item[1], item[0])))


def _if_failures(rows: Sequence[Mapping[str, Any]], *, right: bool) -> float | None:
    """The metric with every unreadable answer taken as wrong or as right; None where the denominators sum to 0."""

    def part(row: Mapping[str, Any], column: str, wrong: float) -> float:
        if not row["failure"]:
            return float(row[column])
        return float(row["perfect"]) if right else wrong

    numerator = math.fsum(part(row, "numerator", 0.0) for row in rows)
    denominator = math.fsum(part(row, "denominator", row["denominator"]) for row in rows)
    return numerator / denominator if denominator else None
