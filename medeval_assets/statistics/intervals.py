"""Intervals: how far a metric's value may be from what more examples of the same kind would give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from medeval_assets.statistics.clusters import cluster_codes, cluster_sums
from medeval_assets.statistics.resampling import bootstrap_sums
from medeval_assets.statistics.student import CONFIDENCE, percentile_tail, student_quantile

WILSON = "wilson"
CLUSTERED = "clustered_ratio"
BOOTSTRAP = "bootstrap"
WILSON_CLUSTERS = "wilson_clusters"
NONE = "none"

# Up to this coefficient of variation denominators are weights and the t interval is as good as the bootstrap's.
_EVEN = 0.25

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


def ratio(numerators: Sequence[float], denominators: Sequence[float], clusters: Sequence[str]) -> Estimate:
    """R = sum(numerators) / sum(denominators) with its standard error and 95 % interval, all within [0, 1].

    One entry an example, the same length each; clusters: examples with the same name are not independent. An example
    with denominator 0 says nothing: it counts in `n` and nowhere else.

    Numerators of 0 or 1, denominators of 1 and no two examples in a cluster: the standard error is sqrt(p(1-p)/n) and
    the interval Wilson's ("wilson").

    Otherwise the standard error is that of the linearised ratio estimator (Cochran 1977, Sampling Techniques, 3rd ed.,
    ch. 6) with residuals e_i = numerator_i - R·denominator_i. Their sums E_c over the C clusters give
    SE² = C/(C-1) · ΣE_c² / (Σ denominators)². With denominators of 1 these are the clustered standard errors of Miller
    2024 (arXiv 2411.00640), but with the finite-cluster correction C/(C-1), which the paper leaves out.

    The interval is R ± t·SE with C-1 degrees of freedom, clipped to [0, 1], where the denominators are alike, as in a
    mean ("clustered_ratio").
    """
    n = len(numerators)
    given = np.array(denominators, dtype=np.float64)
    telling = np.flatnonzero(given).tolist()
    over = np.array(numerators, dtype=np.float64)[telling]
    under = given[telling]
    codes = cluster_codes(clusters[index] for index in telling)
    count = int(codes.max(initial=-1)) + 1
    if not count:
        return Estimate(n, count, None, None, None, None, NONE)
    total = math.fsum(under)
    value = math.fsum(over) / total
    if count == len(telling) and _is_zero_or_one(over) and bool((under == 1).all()):
        low, high = wilson(math.fsum(over), count)
        return Estimate(n, count, value, math.sqrt(value * (1 - value) / count), low, high, WILSON)
    if count < 2:
        return Estimate(n, count, value, None, None, None, NONE)
    sums = cluster_sums(np.stack([over, under]), codes)
    error = math.sqrt(count / (count - 1) * math.fsum((sums[0] - value * sums[1]) ** 2)) / total
    if value in (0.0, 1.0):
        low, high = wilson(value * count, count)
        return Estimate(n, count, value, error, low, high, WILSON_CLUSTERS)
    if under.std() > _EVEN * under.mean():
        tail = percentile_tail(count)
        over_drawn, under_drawn = bootstrap_sums(sums)
        low, high = np.quantile(over_drawn / under_drawn, [tail, 1 - tail]).tolist()
        return Estimate(n, count, value, error, low, high, BOOTSTRAP)
    half = student_quantile(count - 1) * error
    return Estimate(n, count, value, error, max(0.0, value - half), min(1.0, value + half), CLUSTERED)


def _is_zero_or_one(values: NDArray[np.float64]) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all())
