"""Student's t distribution: its quantile for the intervals, which are 95 % ones throughout."""

from __future__ import annotations

from functools import lru_cache

CONFIDENCE = 0.95


@lru_cache(maxsize=4096)
def student_quantile(degrees: int) -> float:
    """t such that 95 % of Student's distribution lies within ±t; degrees ≥ 1."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2))
