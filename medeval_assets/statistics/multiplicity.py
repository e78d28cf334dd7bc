"""Multiplicity: p values of a family of tests, adjusted for how many there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Adjusted p that keep the chance of any false finding in the family (S. Holm 1979, Scand. J. Statist. 6:65-70).

    Of m tests the i-th smallest p becomes the largest of (m-j+1)·p_j over j ≤ i, at most 1. It holds however the tests
    depend on one another. None stays None and does not count.
    """
    return _adjusted(p, step_up=False)


def benjamini_hochberg(p: Sequence[float | None]) -> list[float | None]:
    """Adjusted p that keep the expected share of false findings (Y. Benjamini, Y. Hochberg 1995, JRSS B 57:289-300).

    Of m tests the i-th smallest p becomes the smallest of m·p_j/j over j ≥ i, at most 1. It holds for tests that are
    independent or positively dependent. None stays None and does not count.
    """
    return _adjusted(p, step_up=True)


def _adjusted(p: Sequence[float | None], *, step_up: bool) -> list[float | None]:
    known = [index for index, value in enumerate(p) if value is not None]
    values = np.array([p[index] for index in known], dtype=np.float64)
    order = np.argsort(values, kind="stable")
    ranks = np.arange(1, len(values) + 1)
    if step_up:
        raised = np.minimum.accumulate((values[order] * len(values) / ranks)[::-1])[::-1]
    else:
        raised = np.maximum.accumulate(values[order] * (len(values) - ranks + 1))
    adjusted: list[float | None] = [None] * len(p)
    for position, value in zip(order, np.minimum(raised, 1.0), strict=True):
        adjusted[known[position]] = float(value)
    return adjusted
