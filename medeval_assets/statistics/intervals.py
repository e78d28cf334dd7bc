"""Intervals: how far a metric's value may be from what more examples of the same kind would give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from medeval_assets.statistics.clusters import cluster_codes, cluster_sums
from medeval_assets.statistics.resampling import bootstrap_sums, percentile_ends
from medeval_assets.statistics.student import CONFIDENCE, student_quantile

WILSON = "wilson"
CLUSTERED = "clustered_ratio"
BOOTSTRAP = "bootstrap"
WILSON_CLUSTERS = "wilson_clusters"
NONE = "none"

# A standard error below this is rounding: metrics that neural networks compute carry seven digits.
ROUNDING = 1e-6

# Denominators that vary by less, relative to their mean, are weights of a mean.
_EVEN = 0.25

# The fewest clusters from which percentiles of resamples are taken: the draws of fewer are too much alike.
_ENOUGH = 10

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
    return _score_interval(successes / n, n, _Z)


def _score_interval(p: float, n: float, z: float) -> tuple[float, float]:
    middle = p + z**2 / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    # At 0 and at 1 one end is the boundary itself, which rounding may miss.
    low = 0.0 if p <= 0 else max(0.0, (middle - half) / scale)
    high = 1.0 if p >= 1 else min(1.0, (middle + half) / scale)
    return low, high


def ratio(numerators: Sequence[float], denominators: Sequence[float], clusters: Sequence[str]) -> Estimate:
    """R = sum(numerators) / sum(denominators) with its standard error and 95 % interval, all within [0, 1].

    One entry an example, 0 ≤ numerator ≤ denominator; clusters: examples with the same name are not independent. An
    example with denominator 0 says nothing: it counts in `n` and nowhere else.

    Where numerators are 0 or 1, denominators 1 and no two examples in a cluster, the standard error is sqrt(p(1-p)/n)
    and the interval Wilson's ("wilson"). Otherwise the standard error is that of the linearised ratio estimator
    (Cochran 1977, Sampling Techniques, 3rd ed., ch. 6): with E_c the sums over the C clusters of the residuals
    numerator - R·denominator, SE² = C/(C-1) · ΣE_c² / (Σ denominators)². With denominators of 1 these are the clustered
    standard errors of Miller 2024 (arXiv 2411.00640), but with the finite-cluster correction C/(C-1), which the paper
    leaves out. Of three intervals one then applies:

    - "wilson_clusters" where SE is 0, as when every cluster scores 1. The residuals say nothing about how far R may be
      from the truth. With w Wilson's upper end for 0 of C, at most the share w of clusters would differ from those
      seen, by 1 at most: [R - w·R, R + w·(1 - R)]. At R = 0 and 1 this is Wilson's interval for C trials.
    - "bootstrap" where denominators vary by more than a quarter of their mean, as those of a micro-averaged F1 do, and
      there are 10 clusters: the sums over each of 10,000 draws of C clusters give a ratio; the interval is between
      expanded percentiles of these (see `percentile_ends`).
    - "clustered_ratio" otherwise: Wilson's interval for the n at which sqrt(R(1-R)/n) is SE, with the t quantile of C-1
      degrees for z (C. Franco et al. 2019, J. Survey Statistics and Methodology 7:334-364). It is R ± t·SE, but for
      the variance, which is taken at the end of the interval and not at R. R ± t·SE itself is too short at that end:
      with 40 clusters of 5 it holds a proportion of 0.05 in 89 % instead of 95 %.

    No example, or denominators that sum to 0: everything is None ("none"). One cluster: only the value is known.
    """
    n = len(numerators)
    given = np.array(denominators, dtype=np.float64)
    telling = np.flatnonzero(given).tolist()
    over, under = np.array(numerators, dtype=np.float64)[telling], given[telling]
    codes = cluster_codes(clusters[index] for index in telling)
    count = int(codes.max(initial=-1)) + 1
    if not count:
        return Estimate(n, count, None, None, None, None, NONE)
    total = math.fsum(under)
    value = math.fsum(over) / total
    if count == len(telling) and bool((np.isin(over, (0, 1)) & (under == 1)).all()):
        low, high = wilson(math.fsum(over), count)
        return Estimate(n, count, value, math.sqrt(value * (1 - value) / count), low, high, WILSON)
    if count < 2:
        return Estimate(n, count, value, None, None, None, NONE)
    sums = cluster_sums(np.stack([over, under]), codes)
    error = math.sqrt(count / (count - 1) * math.fsum((sums[0] - value * sums[1]) ** 2)) / total
    low, high, method = _interval(sums, value, error, uneven=bool(under.std() > _EVEN * under.mean()))
    return Estimate(n, count, value, error, low, high, method)


def _interval(sums: NDArray[np.float64], value: float, error: float, *, uneven: bool) -> tuple[float, float, str]:
    """Low, high and method from (2, C) sums of numerators and denominators, C ≥ 2."""
    count = sums.shape[1]
    # A similarity of a text with itself may be above 1 by a rounding error.
    level = min(max(value, 0.0), 1.0)
    if error < ROUNDING or level in (0.0, 1.0):
        _, unseen = wilson(0, count)
        return level * (1 - unseen), level + unseen * (1 - level), WILSON_CLUSTERS
    if uneven and count >= _ENOUGH:
        over, under = bootstrap_sums(sums)
        low, high = percentile_ends((over / under)[None], np.array([count]))[:, 0].tolist()
        return low, high, BOOTSTRAP
    low, high = _score_interval(level, level * (1 - level) / error**2, student_quantile(count - 1))
    return low, high, CLUSTERED
