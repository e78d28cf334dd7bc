"""Paired comparisons: two models, the same examples, and whether their difference is more than chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medeval_assets.statistics.clusters import cluster_sums
from medeval_assets.statistics.intervals import ROUNDING, wilson
from medeval_assets.statistics.power import detectable_difference
from medeval_assets.statistics.resampling import RESAMPLES, bootstrap_sums, exhaustive, flipped_sums, percentile_ends
from medeval_assets.statistics.student import student_quantile

MCNEMAR = "mcnemar_exact"
SIGN_FLIP = "sign_flip"
NONE = "none"

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# So many comparisons are resampled at once: of each, 10,000 values of up to four quantities are held.
_BATCH = 128

# No p is 0: this stands for those that are too small to be written.
_LEAST_P = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class PairedScores:
    """k comparisons of a model A with a model B over the same n examples.

    Numerators and denominators: (k, n), as metrics give them: 0 ≤ numerator ≤ denominator.
    clusters: (n,) codes; each of 0 … C-1 occurs; examples with the same code are not independent.
    """

    numerators_a: Array
    denominators_a: Array
    numerators_b: Array
    denominators_b: Array
    clusters: NDArray[np.int64]


@dataclass(frozen=True)
class PairedEstimate:
    """One comparison; see `compare` for the formulas. Fractions; None where the data do not determine a value.

    n: examples; clusters: the independent groups of those with a denominator on either side.
    low, high: the 95 % interval of the difference A - B by the clustered standard error.
    bootstrap_low, bootstrap_high: the same by resampling clusters; None where McNemar's test is exact.
    p: two-sided, of no difference; test: how it was made: one of the module's constants.
    mcnemar_p: McNemar's, also where examples share clusters, which it ignores.
    detectable: the smallest true difference that a comparison like this finds with 80 % power at 5 %, two-sided.
    both_right, only_a, only_b, neither: examples. These and mcnemar_p only where each example is right or wrong.
    """

    n: int
    clusters: int
    value_a: float | None
    value_b: float | None
    difference: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    bootstrap_low: float | None
    bootstrap_high: float | None
    p: float | None
    test: str
    mcnemar_p: float | None
    detectable: float | None
    both_right: int | None
    only_a: int | None
    only_b: int | None
    neither: int | None


def compare(scores: PairedScores) -> list[PairedEstimate]:
    """One estimate for each of the k comparisons, in order.

    Values: R = Σ numerator / Σ denominator on each side.

    Interval: the residuals e_i = (a_i - R_A·da_i)/Σda - (b_i - R_B·db_i)/Σdb add up to E_c over the C clusters with a
    denominator. SE² = C/(C-1)·ΣE_c², and the interval is R_A - R_B ± t·SE with C-1 degrees of freedom, within [-1, 1].
    For means these are the paired clustered errors of Miller 2024 (arXiv 2411.00640) with the finite-cluster
    correction. Where all residuals vanish, as when both models did the same everywhere, they say nothing about how far
    the difference d may be from the truth. With w Wilson's upper bound for 0 of C, at most the share w of clusters
    would differ from those seen, by at most 1 ± d: the interval is [d - w·(1 + d), d + w·(1 - d)].

    Bootstrap: 10,000 draws of C clusters, R_A - R_B of each, and its expanded percentiles (see `percentile_ends`). Not
    where McNemar's test is exact: the counts of who is right say everything there, and drawing them again adds noise.

    p: where every example is right or wrong, counts once and is its own cluster, the exact test of McNemar
    ("mcnemar_exact"): binomial, with a half, in the examples only one model got right. Otherwise ("sign_flip") A and B
    change places in every cluster, by the toss of a coin, all at once in 10,000 ways, or in all 2^C where these are
    fewer; p = (1 + ways with a difference as large)/(1 + 10,000). Where no way reaches it, that floor would hide
    how far out it lies. For denominators that A and B share, with D_c the sum of a_i - b_i, Hoeffding (1963, JASA
    58:13-30) bounds the exact p by 2·exp(-(ΣD_c)²/(2·ΣD_c²)); p is the smaller of the two.

    No example, or denominators on one side that sum to 0: no difference and no test ("none"). One cluster: no interval.
    """
    return [
        estimate
        for start in range(0, len(scores.numerators_a), _BATCH)
        for estimate in _batch(
            scores.numerators_a[start : start + _BATCH],
            scores.denominators_a[start : start + _BATCH],
            scores.numerators_b[start : start + _BATCH],
            scores.denominators_b[start : start + _BATCH],
            scores.clusters,
        )
    ]


def _batch(a: Array, da: Array, b: Array, db: Array, codes: NDArray[np.int64]) -> list[PairedEstimate]:
    """`compare` of at most `_BATCH` comparisons. What is not determined is NaN until it becomes None."""
    telling = (da > 0) | (db > 0)
    shared = (da == db).all(axis=1)
    binary = shared & telling.any(axis=1) & (((a == 0) | (a == da)) & ((b == 0) | (b == db))).all(axis=1)
    right_a, right_b = telling & (a == da), telling & (b == db)
    flips = np.stack([right_a & right_b, right_a & ~right_b, ~right_a & right_b, telling & ~right_a & ~right_b])
    outcomes = dict(zip(("both_right", "only_a", "only_b", "neither"), flips.sum(axis=2), strict=True))

    sums = np.stack([cluster_sums(values, codes) for values in (a, da, b, db)])
    clusters = (sums[1] + sums[3] > 0).sum(axis=1)
    single = binary & ((da == 1) | ~telling).all(axis=1) & (clusters == telling.sum(axis=1))
    known = (sums[[1, 3]].sum(axis=2) > 0).all(axis=0)
    spread = known & (clusters > 1)

    with np.errstate(invalid="ignore", divide="ignore"):
        value_a, value_b = sums[[0, 2]].sum(axis=2) / sums[[1, 3]].sum(axis=2)
    error, low, high = _placed(spread, _interval(np.compress(spread, sums, axis=1), clusters[spread]))
    drawn = spread & ~single
    drawn_low, drawn_high = _placed(drawn, _bootstrap(np.compress(drawn, sums, axis=1), shared[drawn], clusters[drawn]))
    mcnemar = np.where(binary, _mcnemar(outcomes["only_a"], outcomes["only_b"]), np.nan)
    flipped = known & ~single
    p = np.where(single, mcnemar, _placed(flipped, _sign_flip(np.compress(flipped, sums, axis=1), shared[flipped])))

    columns: dict[str, Array] = {
        "value_a": value_a,
        "value_b": value_b,
        "difference": value_a - value_b,
        "standard_error": error,
        "low": low,
        "high": high,
        "bootstrap_low": drawn_low,
        "bootstrap_high": drawn_high,
        "p": np.maximum(p, _LEAST_P),
        "mcnemar_p": np.maximum(mcnemar, _LEAST_P),
        "detectable": _detectable(error, clusters),
    }
    return [
        PairedEstimate(
            n=a.shape[1],
            clusters=int(clusters[row]),
            test=MCNEMAR if single[row] else SIGN_FLIP if known[row] else NONE,
            **_at(row, columns),
            **{name: int(values[row]) if binary[row] else None for name, values in outcomes.items()},
        )
        for row in range(len(a))
    ]


def _at(row: int, columns: Mapping[str, Array]) -> dict[str, Any]:
    return {name: float(values[row]) if np.isfinite(values[row]) else None for name, values in columns.items()}


def _placed(rows: Mask, values: Array) -> Array:
    """(…, k): the values at the rows they belong to, NaN elsewhere."""
    places = np.full((*values.shape[:-1], len(rows)), np.nan)
    places[..., rows] = values
    return places


def _interval(sums: Array, clusters: NDArray[np.int64]) -> Array:
    """(3, k): standard error, low and high."""
    totals = sums.sum(axis=2, keepdims=True)
    value_a, value_b = totals[0] / totals[1], totals[2] / totals[3]
    residuals = (sums[0] - value_a * sums[1]) / totals[1] - (sums[2] - value_b * sums[3]) / totals[3]
    error = np.sqrt(clusters / (clusters - 1) * (residuals**2).sum(axis=1))
    difference = (value_a - value_b)[:, 0]
    half = np.array([student_quantile(count - 1) for count in clusters.tolist()]) * error
    flat = error < ROUNDING
    other = np.array([wilson(0, count)[1] for count in clusters.tolist()])
    low = np.where(flat, difference - other * (1 + difference), np.maximum(difference - half, -1.0))
    high = np.where(flat, difference + other * (1 - difference), np.minimum(difference + half, 1.0))
    return np.stack([np.where(flat, 0.0, error), low, high])


def _detectable(error: Array, clusters: NDArray[np.int64]) -> Array:
    pairs = zip(error.tolist(), clusters.tolist(), strict=True)
    return np.array([detectable_difference(each, count - 1) if each > 0 else np.nan for each, count in pairs])


def _bootstrap(sums: Array, shared: Mask, clusters: NDArray[np.int64]) -> Array:
    """(2, k): low and high."""
    drawn = np.empty((len(shared), RESAMPLES))
    # A draw may hold no denominator at all: it has no value and is left out.
    with np.errstate(invalid="ignore", divide="ignore"):
        if shared.any():
            over_a, under, over_b, _ = sums[:, shared]
            # Most metrics of a task have the same denominators: these are resampled once.
            distinct = {row.tobytes(): row for row in under}
            drawn_under = dict(zip(distinct, bootstrap_sums(np.stack(list(distinct.values()))), strict=True))
            drawn[shared] = bootstrap_sums(over_a - over_b) / np.stack([drawn_under[row.tobytes()] for row in under])
        if not shared.all():
            over_a, under_a, over_b, under_b = (bootstrap_sums(part) for part in sums[:, ~shared])
            drawn[~shared] = over_a / under_a - over_b / under_b
    return percentile_ends(drawn, clusters)


def _mcnemar(only_a: NDArray[np.int64], only_b: NDArray[np.int64]) -> Array:
    from scipy.special import bdtr

    fewer = np.minimum(only_a, only_b).astype(np.float64)
    p: Array = np.minimum(2 * bdtr(fewer, only_a + only_b, 0.5), 1.0)
    return p


def _sign_flip(sums: Array, shared: Mask) -> Array:
    """(k,) p values."""
    over, under = sums[0] - sums[2], sums[1] - sums[3]
    all_over, all_under = (sums[:2] + sums[2:]).sum(axis=2)
    flipped_over = flipped_sums(over)
    flipped_under = np.zeros_like(flipped_over)
    if not shared.all():
        flipped_under[~shared] = flipped_sums(under[~shared])
    seen = _difference(over.sum(axis=1), under.sum(axis=1), all_over, all_under)
    flipped = _difference(flipped_over.T, flipped_under.T, all_over, all_under)
    # Written so that a way that leaves one side without denominators counts as reaching.
    reached = (~(np.abs(flipped) < np.abs(seen) - ROUNDING)).sum(axis=0)
    if exhaustive(sums.shape[2]):
        share: Array = reached / len(flipped)
        return share
    p: Array = (1 + reached) / (1 + len(flipped))
    beyond = shared & (reached == 0)
    bound = 2 * np.exp(-(over[beyond].sum(axis=1) ** 2) / (2 * (over[beyond] ** 2).sum(axis=1)))
    p[beyond] = np.minimum(p[beyond], bound)
    return p


def _difference(over: Array, under: Array, all_over: Array, all_under: Array) -> Array:
    """R_A - R_B from the differences of the sides' numerators and denominators, and from what both add up to."""
    with np.errstate(invalid="ignore", divide="ignore"):
        value: Array = (all_over + over) / (all_under + under) - (all_over - over) / (all_under - under)
    return value
