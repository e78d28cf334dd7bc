"""Verdicts: what the interval of a difference between two models allows to say."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """WIN, LOSS: the sign is known. TIE: too small to matter, and known to be. INCONCLUSIVE: the data cannot tell."""

    WIN = "win"
    TIE = "tie"
    LOSS = "loss"
    INCONCLUSIVE = "inconclusive"


def verdict(low: float | None, high: float | None, margin: float) -> Verdict:
    """What the interval [low, high] of A - B says of A, in this order.

    WIN where it lies above 0 and LOSS where it lies below, also when the difference is smaller than the margin: that
    it exists and that it matters are two questions, and `no_better` answers the second. TIE where it lies within
    (-margin, margin). Otherwise INCONCLUSIVE, also where there is no interval. margin > 0, in the unit of low and high.

    Jeong et al. (EMNLP 2024) know no margin: they call both of the last two a tie (see `jeong`), so their ties hold
    equal models and comparisons with too few examples alike.
    """
    found = jeong(low, high)
    if found is not Verdict.TIE:
        return found
    within = low is not None and high is not None and -margin < low and high < margin
    return Verdict.TIE if within else Verdict.INCONCLUSIVE


def jeong(low: float | None, high: float | None) -> Verdict:
    """WIN, LOSS or TIE of A as Jeong et al. (EMNLP 2024) count them: TIE wherever the interval of A - B holds 0.

    Theirs is the 95 % percentile interval of 10,000 bootstrap resamples. No interval is INCONCLUSIVE.
    """
    if low is None or high is None:
        return Verdict.INCONCLUSIVE
    if low > 0:
        return Verdict.WIN
    return Verdict.LOSS if high < 0 else Verdict.TIE


def non_inferior(low: float | None, margin: float) -> bool:
    """Whether A is known to be worse than B by less than the margin: low, of the interval of A - B, is above -margin.

    With a two-sided 95 % interval this is a one-sided test at 2.5 %. False where there is no interval.
    """
    return low is not None and low > -margin


def no_better(high: float | None, margin: float) -> bool:
    """Whether A is known to be better than B by less than the margin: B is non-inferior to A.

    With A a biomedical model and B its generalist this is the claim that the adaptation brought nothing that matters.
    high: of the interval of A - B. False where there is no interval.
    """
    return high is not None and high < margin
