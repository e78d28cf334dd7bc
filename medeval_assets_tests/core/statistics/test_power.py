"""Power: against statsmodels where that converges, against an integral where it does not."""

from __future__ import annotations

import math

import pytest
from scipy.integrate import quad
from scipy.stats import chi, norm, t
from statsmodels.stats.power import TTestPower

from medeval_assets.statistics.power import detectable_difference, power_at


@pytest.mark.parametrize("n", [5, 30, 200])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_the_detectable_difference_agrees_with_statsmodels(n: int, power: float) -> None:
    # Their effect is in standard deviations of one example, ours in standard errors of the mean of n.
    effect = TTestPower().solve_power(nobs=n, alpha=0.05, power=power)
    assert detectable_difference(0.02, n - 1, power) == pytest.approx(effect * math.sqrt(n) * 0.02, rel=1e-5)


@pytest.mark.parametrize(("n", "effect"), [(5, 0.3), (30, 0.0), (30, 0.5), (200, 0.2), (200, 2.0), (5000, 0.04)])
def test_power_agrees_with_statsmodels(n: int, effect: float) -> None:
    theirs = TTestPower().power(effect, n, 0.05)
    assert power_at(effect, 1 / math.sqrt(n), n - 1) == pytest.approx(theirs, abs=1e-9)
    assert power_at(-effect, 1 / math.sqrt(n), n - 1) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("degrees", [1, 2, 4999])
def test_what_is_detectable_is_detected_as_often_as_asked(degrees: int) -> None:
    # T > c where a normal value exceeds c times an independent standard deviation, chi over sqrt(degrees).
    noncentrality, critical = detectable_difference(1, degrees), t.ppf(0.975, degrees) / math.sqrt(degrees)
    middle, width = chi.mean(degrees), chi.std(degrees)
    above, _ = quad(
        lambda x: norm.sf(critical * x - noncentrality) * chi.pdf(x, degrees),
        max(0.0, middle - 12 * width),
        middle + 12 * width,
    )
    assert above == pytest.approx(0.8, abs=1e-5)


def test_with_many_clusters_it_is_the_rule_of_2_8_standard_errors() -> None:
    assert detectable_difference(1, 10**6) == pytest.approx(norm.ppf(0.975) + norm.ppf(0.8), abs=1e-4)
