"""Paired comparisons: worked by hand, and against the packages that know the parts."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap, norm, permutation_test, t
from statsmodels.api import WLS
from statsmodels.stats.contingency_tables import mcnemar

from medeval_assets.statistics.intervals import wilson
from medeval_assets.statistics.paired import PairedEstimate, PairedScores, compare

Array = NDArray[np.float64]


def scores(a: ArrayLike, b: ArrayLike, clusters: ArrayLike | None = None) -> PairedScores:
    """Means: every denominator is 1."""
    over_a, over_b = np.atleast_2d(np.asarray(a, dtype=np.float64)), np.atleast_2d(np.asarray(b, dtype=np.float64))
    one = np.ones_like(over_a)
    return PairedScores(over_a, one, over_b, one, codes(over_a, clusters))


def counts(
    a: ArrayLike, under_a: ArrayLike, b: ArrayLike, under_b: ArrayLike, clusters: ArrayLike | None = None
) -> PairedScores:
    values = [np.atleast_2d(np.asarray(part, dtype=np.float64)) for part in (a, under_a, b, under_b)]
    return PairedScores(values[0], values[1], values[2], values[3], codes(values[0], clusters))


def codes(values: Array, clusters: ArrayLike | None) -> NDArray[np.int64]:
    return np.arange(values.shape[1]) if clusters is None else np.asarray(clusters, dtype=np.int64)


def only(given: PairedScores) -> PairedEstimate:
    (estimate,) = compare(given)
    return estimate


def right_or_wrong(both: int, only_a: int, only_b: int, neither: int) -> tuple[list[int], list[int]]:
    return (
        [1] * both + [1] * only_a + [0] * only_b + [0] * neither,
        [1] * both + [0] * only_a + [1] * only_b + [0] * neither,
    )


def f1_counts(generator: np.random.Generator, k: int, n: int) -> PairedScores:
    gold = generator.poisson(2, n)
    parts: list[Array] = []
    for chance in (0.7, 0.6):
        hits, wrong = generator.binomial(gold, chance, (k, n)), generator.poisson(0.8, (k, n))
        parts += [part.astype(np.float64) for part in (2 * hits, hits + wrong + gold)]
    return PairedScores(parts[0], parts[1], parts[2], parts[3], np.arange(n))


def test_right_and_wrong_by_hand() -> None:
    # Of 10, A alone is right in 3 and B alone in 1: d = 0.2. Σ(d_i - d)² = 4 - 10·0.04 = 3.6, so
    # SE² = 10/9 · 3.6/100 = 0.04. McNemar: of 4 tosses at most 1 or at least 3: 2·(1 + 4)/16.
    a, b = right_or_wrong(5, 3, 1, 1)
    estimate = only(scores(a, b))
    assert (estimate.both_right, estimate.only_a, estimate.only_b, estimate.neither) == (5, 3, 1, 1)
    assert (estimate.n, estimate.clusters, estimate.value_a, estimate.value_b) == (10, 10, 0.8, 0.6)
    assert (estimate.difference, estimate.standard_error) == pytest.approx((0.2, 0.2))
    half = 0.2 * t.ppf(0.975, 9)
    assert (estimate.low, estimate.high) == pytest.approx((0.2 - half, 0.2 + half))
    assert (estimate.test, estimate.p, estimate.mcnemar_p) == ("mcnemar_exact", 0.625, 0.625)


def test_clusters_change_places_as_one() -> None:
    # Differences 1, 1 | 1, -1, 1 | 0 | -1 in clusters of 2, 3, 1 and 1: D = 2, 1, 0, -1, and d = 2/7. Of the 16 ways to
    # flip them |±2 ±1 ±1| (0 flips in vain) is at least 2 unless the signs leave 0: 2 of 8. p = 6/8.
    # Residuals D_c - d·size: 10/7, 1/7, -2/7, -9/7: SE² = 4/3 · (100 + 1 + 4 + 81)/49 / 49.
    a, b = [1, 1, 1, 0, 1, 1, 0], [0, 0, 0, 1, 0, 1, 1]
    estimate = only(scores(a, b, [0, 0, 1, 1, 1, 2, 3]))
    assert estimate.clusters == 4
    assert estimate.difference == pytest.approx(2 / 7)
    assert estimate.standard_error == pytest.approx(math.sqrt(4 / 3 * 186) / 49)
    assert (estimate.test, estimate.p) == ("sign_flip", 0.75)
    # McNemar takes the six for independent: 4 against 2: 2·(1 + 6 + 15)/64.
    assert estimate.mcnemar_p == pytest.approx(2 * 22 / 64)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (0, 6), (7, 7), (30, 12), (300, 220)])
def test_mcnemar_agrees_with_statsmodels(only_a: int, only_b: int) -> None:
    estimate = only(scores(*right_or_wrong(20, only_a, only_b, 10)))
    theirs = mcnemar([[20, only_a], [only_b, 10]], exact=True).pvalue if only_a + only_b else 1.0
    assert estimate.p == pytest.approx(theirs)


@pytest.mark.parametrize("kind", ["means", "counts"])
def test_standard_errors_agree_with_statsmodels(kind: str) -> None:
    generator = np.random.default_rng(4)
    clusters = np.concatenate([np.arange(20), generator.integers(0, 20, 100)])
    if kind == "means":
        given = scores(generator.random(120), generator.random(120), clusters)
    else:
        given = replace(f1_counts(generator, 1, 120), clusters=clusters)
    under = np.concatenate([given.denominators_a[0], given.denominators_b[0]])
    over = np.concatenate([given.numerators_a[0], given.numerators_b[0]])
    kept = under > 0
    design = np.column_stack([np.ones(240), np.repeat([1.0, 0.0], 120)])[kept]
    fit = WLS(over[kept] / under[kept], design, under[kept]).fit(
        cov_type="cluster", cov_kwds={"groups": np.tile(clusters, 2)[kept]}
    )
    # Their correction is C/(C-1) · (N-1)/(N-2); ours is its first factor.
    extra = (kept.sum() - 1) / (kept.sum() - 2)
    estimate = only(given)
    assert estimate.difference == pytest.approx(fit.params[1])
    assert estimate.standard_error == pytest.approx(fit.bse[1] / math.sqrt(extra))


def test_exhaustive_sign_flips_agree_with_scipy() -> None:
    generator = np.random.default_rng(5)
    a, b = generator.random(9), generator.random(9) + 0.1
    theirs = permutation_test(
        (a, b), lambda x, y: float(np.mean(x - y)), permutation_type="samples", n_resamples=10_000
    )
    assert only(scores(a, b)).p == pytest.approx(theirs.pvalue)


def test_drawn_sign_flips_agree_with_scipy() -> None:
    generator = np.random.default_rng(6)
    a = generator.random(60)
    b = np.clip(a + generator.normal(0.08, 0.25, 60), 0, 1)
    theirs = permutation_test(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        rng=7,
    ).pvalue
    ours = only(scores(a, b)).p
    assert ours is not None and 0.01 < ours < 0.5
    assert ours == pytest.approx(theirs, abs=5 * math.sqrt(ours * (1 - ours) * (1 / 10_000 + 1 / 20_000)))


def test_flips_of_counts_change_numerators_and_denominators() -> None:
    a, under_a = [2, 4, 0, 2, 6], [3, 5, 2, 2, 9]
    b, under_b = [2, 2, 0, 4, 2], [4, 6, 0, 5, 8]

    def difference(swapped: tuple[bool, ...]) -> Fraction:
        sides = [
            ((y, dy), (x, dx)) if swap else ((x, dx), (y, dy))
            for swap, x, dx, y, dy in zip(swapped, a, under_a, b, under_b, strict=True)
        ]
        left, right = zip(*sides, strict=True)
        return Fraction(*map(sum, zip(*left, strict=True))) - Fraction(*map(sum, zip(*right, strict=True)))

    every = [abs(difference(swapped)) for swapped in itertools.product((False, True), repeat=5)]
    reached = sum(value >= every[0] for value in every)
    assert only(counts(a, under_a, b, under_b)).p == pytest.approx(reached / 32)


def test_far_out_p_is_bounded_and_not_cut_off() -> None:
    # A is better by a half in each of 40: only 2 of 2^40 ways reach it. Hoeffding: 2·exp(-20²/(2·40/4)) = 2·exp(-20).
    estimate = only(scores([0.75] * 40, [0.25] * 40))
    assert estimate.p == pytest.approx(2 * math.exp(-20))
    # 2^-3000 and exp(-1500) are less than a float can hold.
    for estimate in compare(scores([[1.0] * 3000, [0.75] * 3000], [[0.0] * 3000, [0.25] * 3000])):
        assert estimate.p is not None and 0 < estimate.p < 1e-300
    # Ratios of counts have no such bound.
    estimate = only(counts([2] * 40, [2] * 40, [2] * 40, [8] * 40))
    assert estimate.p == pytest.approx(1 / 10_001)


@pytest.mark.parametrize("kind", ["means", "counts"])
def test_bootstrap_agrees_with_scipy(kind: str) -> None:
    generator = np.random.default_rng(8)
    given = f1_counts(generator, 1, 100) if kind == "counts" else scores(generator.random(100), generator.random(100))
    estimate = only(given)
    level = 2 * norm.cdf(math.sqrt(100 / 99) * t.ppf(0.975, 99)) - 1
    theirs = bootstrap(
        (given.numerators_a[0], given.denominators_a[0], given.numerators_b[0], given.denominators_b[0]),
        lambda a, da, b, db, axis: a.sum(axis=axis) / da.sum(axis=axis) - b.sum(axis=axis) / db.sum(axis=axis),
        paired=True,
        n_resamples=30_000,
        confidence_level=float(level),
        method="percentile",
        rng=1,
    ).confidence_interval
    # 10,000 draws place an end within about 3 % of a standard error.
    assert estimate.standard_error is not None
    assert (estimate.bootstrap_low, estimate.bootstrap_high) == pytest.approx(
        (theirs.low, theirs.high), abs=0.12 * estimate.standard_error
    )


@pytest.mark.parametrize("kind", ["means", "clusters", "right or wrong", "counts"])
def test_the_other_way_round_is_the_same_the_other_way_round(kind: str) -> None:
    generator = np.random.default_rng(9)
    a, b = generator.random((5, 40)), generator.random((5, 40))
    given = {
        "means": scores(a, b),
        "clusters": scores(a, b, np.arange(40) // 3),
        "right or wrong": scores(np.rint(a), np.rint(b)),
        "counts": f1_counts(generator, 5, 40),
    }[kind]
    swapped = PairedScores(
        given.numerators_b, given.denominators_b, given.numerators_a, given.denominators_a, given.clusters
    )
    for one, other in zip(compare(given), compare(swapped), strict=True):
        assert one.difference == pytest.approx(-(other.difference or 0))
        assert one.low == pytest.approx(-(other.high or 0))
        assert (one.bootstrap_low is None) == (kind == "right or wrong")
        if one.bootstrap_low is not None:
            assert one.bootstrap_low == pytest.approx(-(other.bootstrap_high or 0))
        assert (one.p, one.standard_error) == pytest.approx((other.p, other.standard_error))
        assert (one.only_a, one.both_right) == (other.only_b, other.both_right)


def test_a_comparison_is_the_same_alone_and_among_others() -> None:
    # 150 are more than are resampled at once; means, counts and answers right or wrong go different ways.
    generator = np.random.default_rng(10)
    mixed = f1_counts(generator, 150, 50)
    one = np.ones((50, 50))
    for parts, values in (
        (mixed.numerators_a, generator.random((50, 50))),
        (mixed.numerators_b, generator.random((50, 50))),
    ):
        parts[:50] = values
        parts[50:100] = np.rint(values)
    for under in (mixed.denominators_a, mixed.denominators_b):
        under[:50] = under[50:100] = one
    together = compare(mixed)
    assert {estimate.test for estimate in together} == {"mcnemar_exact", "sign_flip"}
    for row in (0, 70, 120, 149):
        alone = PairedScores(
            mixed.numerators_a[row : row + 1],
            mixed.denominators_a[row : row + 1],
            mixed.numerators_b[row : row + 1],
            mixed.denominators_b[row : row + 1],
            mixed.clusters,
        )
        assert compare(alone) == [together[row]]


def test_examples_that_count_twice_are_flipped_and_not_tossed() -> None:
    # The first counts twice and A alone has it right; B alone has another. McNemar counts examples: 1 against 1.
    estimate = only(counts([2, 1, 0, 0], [2, 1, 1, 1], [0, 1, 1, 0], [2, 1, 1, 1]))
    assert (estimate.value_a, estimate.value_b) == (3 / 5, 2 / 5)
    assert (estimate.both_right, estimate.only_a, estimate.only_b, estimate.neither) == (1, 1, 1, 1)
    # ±2 ±1 is at least 1 always.
    assert (estimate.test, estimate.p, estimate.mcnemar_p) == ("sign_flip", 1.0, 1.0)


def test_two_models_that_do_the_same_are_not_proven_equal() -> None:
    # In 30 examples without a difference, Wilson's upper end for 0 of 30 may still differ.
    estimate = only(scores([0.5, 0.25] * 15, [0.5, 0.25] * 15))
    assert (estimate.difference, estimate.standard_error, estimate.p, estimate.detectable) == (0, 0, 1, None)
    assert (estimate.low, estimate.high) == pytest.approx((-wilson(0, 30)[1], wilson(0, 30)[1]))
    # Where A is always right and B never, those that may differ may differ by 2.
    estimate = only(scores([1] * 30, [0] * 30))
    assert (estimate.low, estimate.high) == pytest.approx((1 - 2 * wilson(0, 30)[1], 1))


def test_rounding_errors_of_networks_are_no_differences() -> None:
    generator = np.random.default_rng(12)
    a = generator.random(50)
    estimate = only(scores(a, a + 1e-8))
    assert estimate.p == 1
    assert estimate.low == pytest.approx(-wilson(0, 50)[1])


def test_examples_without_a_denominator_add_nothing() -> None:
    alone = only(counts([1, 0, 1, 1], [1] * 4, [0, 0, 1, 0], [1] * 4))
    among = only(counts([1, 0, 0, 0, 1, 1], [1, 0, 1, 0, 1, 1], [0, 0, 0, 0, 1, 0], [1, 0, 1, 0, 1, 1]))
    assert (alone.n, among.n) == (4, 6)
    for name in ("clusters", "difference", "standard_error", "low", "high", "p", "test", "only_a", "neither"):
        assert asdict(among)[name] == pytest.approx(asdict(alone)[name])


UNKNOWN = ("difference", "standard_error", "low", "high", "bootstrap_low", "bootstrap_high", "p", "detectable")


@pytest.mark.parametrize(
    ("given", "value_a"),
    [
        (counts([[]], [[]], [[]], [[]]), None),
        (counts([0, 0], [0, 0], [0, 0], [0, 0]), None),
        (counts([1, 0], [1, 1], [0, 0], [0, 0]), 0.5),
    ],
)
def test_what_the_data_do_not_determine_is_none(given: PairedScores, value_a: float | None) -> None:
    estimate = only(given)
    assert (estimate.value_a, estimate.value_b, estimate.test) == (value_a, None, "none")
    assert [asdict(estimate)[name] for name in UNKNOWN] == [None] * len(UNKNOWN)


def test_one_cluster_has_a_difference_and_no_interval() -> None:
    estimate = only(scores([1, 1, 0], [0, 1, 0], [0, 0, 0]))
    assert (estimate.clusters, estimate.p) == (1, 1)
    assert estimate.difference == pytest.approx(1 / 3)
    assert (estimate.standard_error, estimate.low, estimate.bootstrap_low, estimate.detectable) == (None,) * 4


def test_no_comparisons_are_no_estimates() -> None:
    assert compare(scores(np.empty((0, 5)), np.empty((0, 5)))) == []


EXAMPLE = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 4))


@given(st.lists(EXAMPLE, max_size=20))
def test_estimates_are_in_range_whatever_the_counts(examples: list[tuple[int, int, int, int, int]]) -> None:
    hits_a, more_a, hits_b, more_b, names = (
        (np.array(column) for column in zip(*examples, strict=True)) if examples else (np.empty(0),) * 5
    )
    _, clusters = np.unique(names, return_inverse=True)
    estimate = only(counts(hits_a, hits_a + more_a, hits_b, hits_b + more_b, clusters))
    for value in asdict(estimate).values():
        assert not isinstance(value, float) or math.isfinite(value)
    assert (estimate.p is None) == (estimate.test == "none") == (estimate.difference is None)
    if estimate.p is not None:
        assert 0 < estimate.p <= 1
    if estimate.low is not None and estimate.high is not None and estimate.difference is not None:
        assert -1 <= estimate.low <= estimate.difference + 1e-12 and estimate.difference - 1e-12 <= estimate.high <= 1
        assert (estimate.bootstrap_low is None) == (estimate.test == "mcnemar_exact")
        if estimate.bootstrap_low is not None and estimate.bootstrap_high is not None:
            assert -1 <= estimate.bootstrap_low <= estimate.bootstrap_high <= 1
