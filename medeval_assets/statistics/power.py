"""Power: what difference a comparison of a given size is able to find."""

from __future__ import annotations

import math
from functools import lru_cache


def power_at(difference: float, standard_error: float, degrees: int, alpha: float = 0.05) -> float:
    """The chance that a two-sided t test at `alpha` finds a true difference.

    difference: in the unit of standard_error, > 0. With c the t quantile at 1 - alpha/2 and T noncentral t of the
    given degrees and noncentrality difference/standard_error, the chance is P(T > c) + P(T < -c).
    """
    return _power(abs(difference) / standard_error, degrees, alpha)


def detectable_difference(standard_error: float, degrees: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest true difference that a two-sided t test at `alpha` finds with the given power (see `power_at`).

    In the unit of standard_error; degrees ≥ 1; alpha < power < 1.
    """
    return standard_error * _noncentrality(degrees, power, alpha)


@lru_cache(maxsize=4096)
def _noncentrality(degrees: int, power: float, alpha: float) -> float:
    from scipy.optimize import brentq

    high = 1.0
    while _power(high, degrees, alpha) < power:
        high *= 2
    return float(brentq(lambda noncentrality: _power(noncentrality, degrees, alpha) - power, 0.0, high, xtol=1e-12))


def _power(noncentrality: float, degrees: int, alpha: float) -> float:
    from scipy.special import nctdtr, stdtrit

    critical = stdtrit(degrees, 1 - alpha / 2)
    above = 1 - nctdtr(degrees, noncentrality, critical)
    below = nctdtr(degrees, noncentrality, -critical)
    # scipy gives NaN for some far tails; P(T < -c) is below Φ(-noncentrality), which is nothing there.
    return float(above if math.isnan(below) else above + below)
