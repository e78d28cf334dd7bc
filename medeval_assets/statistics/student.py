"""Student's t distribution: its quantile for the intervals, which are 95 % ones throughout."""

from __future__ import annotations

import math
from functools import lru_cache

CONFIDENCE = 0.95


@lru_cache(maxsize=4096)
def student_quantile(degrees: int) -> float:
    """t such that 95 % of Student's distribution lies within ±t; degrees ≥ 1."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2))


@lru_cache(maxsize=4096)
def percentile_tail(clusters: int) -> float:
    """The share of bootstrap values to leave out at each end for a 95 % interval from C ≥ 2 clusters.

    Φ(-sqrt(C/(C-1))·t) with the t quantile of C-1 degrees (T. C. Hesterberg 2015, The American Statistician
    69:371-386, "expanded" percentiles). The bootstrap takes the variance of a sample for that of what it was drawn
    from, and it knows no t: 2.5 % at each end is too short by 12 % at 10 clusters, 4 % at 30 and 0.6 % at 200.
    """
    from scipy.special import ndtr

    return float(ndtr(-math.sqrt(clusters / (clusters - 1)) * student_quantile(clusters - 1)))
