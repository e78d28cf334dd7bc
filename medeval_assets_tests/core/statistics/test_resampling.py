"""Resampling: draws that are fair, the same every time, and added without rounding."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm, t

from medeval_assets.statistics.resampling import (
    RESAMPLES,
    bootstrap_sums,
    exhaustive,
    flipped_sums,
    percentile_ends,
)


@pytest.mark.parametrize("clusters", [2, 30, 1500])
def test_bootstrap_draws_hold_as_many_clusters_as_there_are(clusters: int) -> None:
    assert (bootstrap_sums(np.ones((1, clusters))) == clusters).all()


def test_bootstrap_draws_are_multinomial() -> None:
    # Of 12 clusters each is drawn once on average, with variance 1 - 1/12 and covariance -1/12.
    counts = bootstrap_sums(np.eye(12))
    expected = np.eye(12) - 1 / 12
    assert counts.mean(axis=1) == pytest.approx(np.ones(12), abs=5 * math.sqrt((11 / 12) / RESAMPLES))
    assert np.cov(counts) == pytest.approx(expected, abs=0.07)
    assert set(np.unique(counts)) <= set(range(13))


def test_every_choice_of_signs_is_there_once() -> None:
    values = [1.0, 2.0, 4.0]
    every = sorted(
        sum(sign * x for sign, x in zip(signs, values, strict=True)) for signs in itertools.product((-1, 1), repeat=3)
    )
    assert sorted(flipped_sums(np.array([values]))[0]) == every == [-7, -5, -3, -1, 1, 3, 5, 7]


def test_signs_are_drawn_where_there_are_too_many_choices() -> None:
    # 2^13 = 8,192 and 2^14 = 16,384.
    assert exhaustive(13) and not exhaustive(14)
    assert (flipped_sums(np.eye(13)).shape, flipped_sums(np.eye(14)).shape) == ((13, 8192), (14, 10_000))
    signs = flipped_sums(np.eye(14))
    assert set(np.unique(signs)) == {-1, 1}
    assert signs.mean(axis=1) == pytest.approx(np.zeros(14), abs=5 / math.sqrt(RESAMPLES))
    assert np.cov(signs) == pytest.approx(np.eye(14), abs=5 / math.sqrt(RESAMPLES))


def test_no_draw_of_many_clusters_comes_twice() -> None:
    # 1,500 clusters take several blocks of draws.
    values = np.random.default_rng(0).random((1, 1500))
    assert len(np.unique(bootstrap_sums(values))) == len(np.unique(flipped_sums(values))) == RESAMPLES


@pytest.mark.parametrize("sums", [bootstrap_sums, flipped_sums])
def test_sums_do_not_depend_on_what_is_computed_beside_them(
    sums: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> None:
    # One row goes another way through the machine's linear algebra than forty, and adds in another order.
    values = np.random.default_rng(1).normal(size=(40, 700)) / 3
    together = sums(values)
    for row in (0, 17, 39):
        assert (sums(values[row : row + 1])[0] == together[row]).all()


def test_sums_are_right_to_eleven_digits() -> None:
    values = np.random.default_rng(2).normal(size=(1, 300)) / 3
    counts = bootstrap_sums(np.eye(300))
    sums = bootstrap_sums(values)[0]
    for draw in range(0, RESAMPLES, 1000):
        assert sums[draw] == pytest.approx(math.fsum(counts[:, draw] * values[0]), abs=1e-11)


def test_nothing_to_add_is_zero() -> None:
    assert bootstrap_sums(np.zeros((0, 5))).shape == (0, RESAMPLES)
    assert (bootstrap_sums(np.zeros((2, 5))) == 0).all()


def test_percentiles_widen_with_few_clusters() -> None:
    drawn = np.tile(np.arange(RESAMPLES) / (RESAMPLES - 1), (2, 1))
    drawn[1, ::2] = np.nan
    ends = percentile_ends(drawn, np.array([10, 1_000_000]))
    tail = norm.cdf(-math.sqrt(10 / 9) * t.ppf(0.975, 9))
    assert ends[:, 0] == pytest.approx([tail, 1 - tail])
    # As many clusters as this are as good as infinitely many; what has no value is left out.
    assert ends[:, 1] == pytest.approx([0.025, 0.975], abs=2e-4)
