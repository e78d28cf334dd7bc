"""Clusters: the groups of examples that depend on one another, as numbers to add up by."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def cluster_codes(names: Iterable[str]) -> NDArray[np.int64]:
    """A number for each name, equal for equal names: 0, 1, … in the order in which the names first appear."""
    codes: dict[str, int] = {}
    return np.array([codes.setdefault(name, len(codes)) for name in names], dtype=np.int64)


def cluster_sums(values: NDArray[np.float64], clusters: NDArray[np.int64]) -> NDArray[np.float64]:
    """(…, C) sums over the examples of each cluster; values: (…, n); clusters: (n,), every code of 0 … C-1 occurs."""
    order = np.argsort(clusters, kind="stable")
    # Not by an index in brackets: that leaves the rows' layout, and so the order in which they add, to their number.
    ordered = np.take(values, order, axis=-1)
    starts = np.flatnonzero(np.diff(clusters[order], prepend=-1))
    return ordered if len(starts) == len(order) else np.add.reduceat(ordered, starts, axis=-1)
