"""Intervals: formulas worked by hand, and how often they hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, t

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
    # R = 6/8 = 3/4. Residuals by cluster: x: 1 + 1 + 1 - 9/4 = 3/4, y: 1 + 0 - 6/4 = -1/2, z: 1 + 1 + 0 - 9/4 = -1/4.
    # SE² = 3/2 · (9/16 + 4/16 + 1/16) / 8² = 21/1024.
    estimate = ratio([1, 1, 1, 1, 0, 1, 1, 0], [1] * 8, list("xxxyyzzz"))
    error = math.sqrt(21 / 1024)
    half = float(t.ppf(0.975, 2)) * error
    assert (estimate.n, estimate.clusters, estimate.method) == (8, 3, "clustered_ratio")
    assert estimate.value == 0.75
    assert estimate.standard_error == pytest.approx(error)
    assert (estimate.low, estimate.high) == pytest.approx((0.75 - half, 1.0))


def test_single_examples_give_the_standard_error_of_the_mean() -> None:
    values = [0.1, 0.4, 0.4, 0.9, 0.7]
    estimate = ratio(values, [1] * 5, list("abcde"))
    assert estimate.standard_error == pytest.approx(float(np.std(values, ddof=1)) / math.sqrt(5))


def test_examples_that_repeat_each_other_count_as_one() -> None:
    once = ratio([0.9, 0, 1, 1], [1] * 4, list("abcd"))
    thrice = ratio([0.9, 0, 1, 1] * 3, [1] * 12, list("abcd") * 3)
    assert (thrice.n, thrice.clusters, thrice.method) == (12, 4, "clustered_ratio")
    assert thrice.standard_error == pytest.approx(once.standard_error)
    assert thrice.low == pytest.approx(once.low)


def test_the_interval_stays_within_its_range() -> None:
    estimate = ratio([1, 1, 1, 0.9], [1] * 4, list("abcd"))
    assert estimate.high == 1.0


@pytest.mark.parametrize("value", [0, 1])
def test_no_variation_at_the_border_is_no_certainty(value: int) -> None:
    estimate = ratio([value] * 6, [1] * 6, ["a", "a", "b", "b", "c", "c"])
    assert (estimate.standard_error, estimate.method) == (0.0, "wilson_clusters")
    assert (estimate.low, estimate.high) == wilson(3 * value, 3)


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


def test_clustered_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """40 patients with 5 questions each. A patient's chance of a right answer is Beta(3, 3): the mean is 0.5.

    With 2,000 repetitions the coverage of a true 95 % interval lies within 0.95 ± 4·sqrt(0.95·0.05/2000) ≈ 0.95 ± 0.02.
    Intervals that take all 200 answers for independent are too narrow: their variance misses the factor
    1 + (5-1)·ICC with ICC = 1/(3+3+1), that is 1.57, so they hold the truth in about 88 %.
    """
    generator = np.random.default_rng(20240601)
    names = [f"p{patient}" for patient in range(40) for _ in range(5)]
    single = [str(index) for index in range(200)]
    clustered = independent = 0
    for _ in range(2000):
        chances = np.repeat(generator.beta(3, 3, 40), 5)
        right = (generator.random(200) < chances).astype(float).tolist()
        low, high = _ends(right, names)
        clustered += low <= 0.5 <= high
        low, high = _ends(right, single)
        independent += low <= 0.5 <= high
    assert 0.93 <= clustered / 2000 <= 0.97
    assert 0.85 <= independent / 2000 <= 0.91


def _ends(right: list[float], clusters: list[str]) -> tuple[float, float]:
    estimate = ratio(right, [1.0] * len(right), clusters)
    assert estimate.low is not None and estimate.high is not None
    return estimate.low, estimate.high
