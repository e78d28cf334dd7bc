"""Intervals: formulas worked by hand and the packages that know them. How often they hold is in test_simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap, norm, t
from statsmodels.api import WLS

from medeval_assets.statistics.intervals import ratio, wilson


@pytest.mark.parametrize(("successes", "n"), [(0, 12), (1, 12), (6, 12), (12, 12), (640, 1000), (1, 1)])
def test_wilson_agrees_with_scipy(successes: int, n: int) -> None:
    theirs = binomtest(successes, n).proportion_ci(0.95, "wilson")
    assert wilson(successes, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_a_proportion_of_single_examples_gets_wilson() -> None:
    estimate = ratio([1, 0, 1, 1], [1] * 4, ["a", "b", "c", "d"])
    assert (estimate.n, estimate.clusters, estimate.value, estimate.method) == (4, 4, 0.75, "wilson")
    assert estimate.standard_error == pytest.approx(math.sqrt(0.75 * 0.25 / 4))
    assert (estimate.low, estimate.high) == wilson(3, 4)


def test_clustered_mean_by_hand() -> None:
    # R = 6/8 = 3/4. Residuals by cluster: x: 3 - 9/4 = 3/4, y: 1 - 6/4 = -1/2, z: 2 - 9/4 = -1/4.
    # SE² = 3/2 · (9/16 + 4/16 + 1/16) / 8² = 21/1024.
    estimate = ratio([1, 1, 1, 1, 0, 1, 1, 0], [1] * 8, list("xxxyyzzz"))
    assert (estimate.n, estimate.clusters, estimate.value, estimate.method) == (8, 3, 0.75, "clustered_ratio")
    assert estimate.standard_error == pytest.approx(math.sqrt(21 / 1024))
    # As many independent answers would have this error: 3/4 · 1/4 / n = 21/1024. An end is where a true value would be
    # t of its own standard errors away from R.
    n = 3 / 16 * 1024 / 21
    for end in (estimate.low, estimate.high):
        assert end is not None
        assert abs(end - 0.75) == pytest.approx(float(t.ppf(0.975, 2)) * math.sqrt(end * (1 - end) / n))


def test_single_examples_give_the_standard_error_of_the_mean() -> None:
    values = [0.1, 0.4, 0.4, 0.9, 0.7]
    estimate = ratio(values, [1] * 5, list("abcde"))
    assert estimate.standard_error == pytest.approx(float(np.std(values, ddof=1)) / math.sqrt(5))


@pytest.mark.parametrize("denominators", [[1.0] * 60, [float(2 + index % 5) for index in range(60)]])
def test_standard_errors_agree_with_statsmodels(denominators: list[float]) -> None:
    generator = np.random.default_rng(3)
    weights = np.array(denominators)
    numerators = np.rint(generator.random(60) * weights)
    clusters = generator.integers(0, 15, 60)
    # A mean of quotients weighted by their denominators is the ratio of sums. Their correction
    # C/(C-1) · (N-1)/(N-1) is ours where one mean is fitted.
    fit = WLS(numerators / weights, np.ones(60), weights).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    estimate = ratio(numerators.tolist(), denominators, [str(code) for code in clusters])
    assert estimate.value == pytest.approx(fit.params[0])
    assert estimate.standard_error == pytest.approx(fit.bse[0])


def test_examples_that_repeat_each_other_count_as_one() -> None:
    once = ratio([0.9, 0, 1, 1], [1] * 4, list("abcd"))
    thrice = ratio([0.9, 0, 1, 1] * 3, [1] * 12, list("abcd") * 3)
    assert (thrice.n, thrice.clusters, thrice.method) == (12, 4, "clustered_ratio")
    assert (thrice.standard_error, thrice.low, thrice.high) == pytest.approx((once.standard_error, once.low, once.high))


def test_an_example_that_counts_twice_is_a_weight() -> None:
    # 15 examples, 8 of them right, the first among these and counted twice: R = 9/16. Residuals: 2 - 9/8 = 7/8 once,
    # 7/16 for seven, -9/16 for seven. Their squares: (196 + 7·49 + 7·81)/256 = 1106/256.
    estimate = ratio([2] + [1] * 7 + [0] * 7, [2] + [1] * 14, [str(index) for index in range(15)])
    assert (estimate.value, estimate.method) == (9 / 16, "clustered_ratio")
    assert estimate.standard_error == pytest.approx(math.sqrt(15 / 14 * 1106 / 256) / 16)


def test_examples_without_a_denominator_add_nothing() -> None:
    alone = ratio([1, 0, 1], [1, 1, 1], ["a", "b", "c"])
    among = ratio([0, 1, 0, 0, 1], [0, 1, 1, 0, 1], ["d", "a", "b", "a", "c"])
    assert (alone.n, among.n) == (3, 5)
    assert (among.clusters, among.value, among.low, among.high, among.method) == (
        alone.clusters,
        alone.value,
        alone.low,
        alone.high,
        "wilson",
    )


def test_a_ratio_of_counts_is_bootstrapped_as_scipy_does() -> None:
    generator = np.random.default_rng(11)
    hits, misses = generator.poisson(2, 80), generator.poisson(1, 80)
    over, under = 2.0 * hits, 2.0 * hits + misses + 1
    estimate = ratio(over.tolist(), under.tolist(), [str(index) for index in range(80)])
    assert estimate.method == "bootstrap"
    # Hesterberg's percentiles of 80 clusters, in scipy's terms: a wider level.
    level = 2 * norm.cdf(math.sqrt(80 / 79) * t.ppf(0.975, 79)) - 1
    theirs = bootstrap(
        (over, under),
        lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
        paired=True,
        n_resamples=50_000,
        confidence_level=float(level),
        method="percentile",
        rng=1,
    ).confidence_interval
    # 10,000 draws place an end within about 3 % of a standard error.
    assert estimate.standard_error is not None
    assert (estimate.low, estimate.high) == pytest.approx((theirs.low, theirs.high), abs=0.12 * estimate.standard_error)
    assert estimate == ratio(over.tolist(), under.tolist(), [str(index) for index in range(80)])


def test_too_few_clusters_are_not_bootstrapped() -> None:
    assert ratio([2, 0, 2, 4], [2, 6, 8, 5], list("abcd")).method == "clustered_ratio"


@pytest.mark.parametrize(
    ("value", "low", "high"),
    # Wilson's upper end for 0 of 3 is w = z²/(3 + z²) = 0.5615: [R - w·R, R + w·(1 - R)].
    [(0, 0, 0.5615), (1, 0.4385, 1), (0.5, 0.2193, 0.7807), (1 + 1e-7, 0.4385, 1)],
)
def test_no_variation_is_no_certainty(value: float, low: float, high: float) -> None:
    estimate = ratio([value] * 6, [1] * 6, ["a", "a", "b", "b", "c", "c"])
    assert estimate.method == "wilson_clusters"
    assert estimate.standard_error == pytest.approx(0)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("numerators", "denominators", "clusters", "value"),
    [([], [], [], None), ([0, 0], [0, 0], ["a", "b"], None), ([1, 0], [1, 1], ["a", "a"], 0.5)],
)
def test_what_the_data_do_not_determine_is_none(
    numerators: list[float], denominators: list[float], clusters: list[str], value: float | None
) -> None:
    estimate = ratio(numerators, denominators, clusters)
    assert estimate.value == value
    assert (estimate.standard_error, estimate.low, estimate.high, estimate.method) == (None, None, None, "none")
