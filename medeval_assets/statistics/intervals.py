"""Intervals: how far a metric's value may be from what more examples of the same kind would give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95

WILSON = "wilson"
CLUSTERED = "clustered_ratio"
WILSON_CLUSTERS = "wilson_clusters"
NONE = "none"

_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class Estimate:
    """A ratio with its uncertainty.

    n: examples; clusters: independent groups of them.
    value, standard_error, low, high: fractions; None where the data do not determine them.
    method: how low and high were made: one of the module's constants.
    """

    n: int
    clusters: int
    value: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    method: str


def wilson(successes: float, n: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion (E. B. Wilson 1927, JASA 22:209-212), within [0, 1]; n > 0.

    With p = successes/n: (p + z²/2n ± z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n).
    """
    p = successes / n
    middle = p + _Z**2 / (2 * n)
    half = _Z * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
    scale = 1 + _Z**2 / n
    # At 0 and at n successes one end is the boundary itself, which rounding may miss.
    low = 0.0 if successes <= 0 else max(0.0, (middle - half) / scale)
    high = 1.0 if successes >= n else min(1.0, (middle + half) / scale)
    return low, high


def ratio(
    numerators: Sequence[float], denominators: Sequence[float], clusters: Sequence[str], *, proportion: bool
) -> Estimate:
    """R = sum(numerators) / sum(denominators) with its standard error and 95 % interval, all within [0, 1].

    One entry an example, the same length each; clusters: examples with the same name are not independent.

    proportion: every numerator is 0 or 1 and every denominator 1. Where also no two examples share a cluster, the
    standard error is sqrt(p(1-p)/n) and the interval Wilson's ("wilson").

    Otherwise ("clustered_ratio"): the linearised ratio estimator (Cochran 1977, Sampling Techniques, 3rd ed., ch. 6)
    with residuals e_i = numerator_i - R·denominator_i. Their sums E_c over the C clusters give
    SE² = C/(C-1) · ΣE_c² / (Σ denominators)². With denominators of 1 these are the clustered standard errors of Miller
    2024 (arXiv 2411.00640), but with the finite-cluster correction C/(C-1), which the paper leaves out. The interval is
    R ± t·SE with C-1 degrees of freedom, clipped to [0, 1].

    Where every cluster scores 0, or every cluster 1, the residuals vanish and say nothing about how far R may be from
    the truth. The interval is then Wilson's for C trials without, or only with, success ("wilson_clusters"). It holds
    for any scores in [0, 1]: their mean is at most the probability of scoring above 0.

    No example, or denominators that sum to 0: everything is None ("none"). One cluster: only the value is known.
    """
    n, count = len(numerators), len(set(clusters))
    total = math.fsum(denominators)
    if not total:
        return Estimate(n, count, None, None, None, None, NONE)
    value = math.fsum(numerators) / total
    if proportion and count == n:
        low, high = wilson(math.fsum(numerators), n)
        return Estimate(n, count, value, math.sqrt(value * (1 - value) / n), low, high, WILSON)
    if count < 2:
        return Estimate(n, count, value, None, None, None, NONE)
    residuals: dict[str, list[float]] = {}
    for numerator, denominator, cluster in zip(numerators, denominators, clusters, strict=True):
        residuals.setdefault(cluster, []).append(numerator - value * denominator)
    squares = math.fsum(math.fsum(members) ** 2 for members in residuals.values())
    error = math.sqrt(count / (count - 1) * squares) / total
    if value in (0.0, 1.0):
        low, high = wilson(value * count, count)
        return Estimate(n, count, value, error, low, high, WILSON_CLUSTERS)
    half = _student(count - 1) * error
    return Estimate(n, count, value, error, max(0.0, value - half), min(1.0, value + half), CLUSTERED)


def _student(degrees: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, degrees))
