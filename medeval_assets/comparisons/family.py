"""Family: the comparisons that are judged together, so that many looks do not make a discovery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medeval_assets.comparisons.comparison import EXPLORATORY, PLANNED
from medeval_assets.statistics.multiplicity import benjamini_hochberg, holm


def with_adjusted_p(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with `p_holm` and `p_bh`, each over the row's own family.

    The planned family is every pair on every task by its headline metric under the corrected rules: what the platform
    is asked before any result is seen. All other metrics are one exploratory family.
    """
    adjusted: dict[int, dict[str, Any]] = {}
    for family in (PLANNED, EXPLORATORY):
        members = [number for number, row in enumerate(rows) if row["family"] == family]
        p = [rows[number]["p"] for number in members]
        for number, p_holm, p_bh in zip(members, holm(p), benjamini_hochberg(p), strict=True):
            adjusted[number] = {"p_holm": p_holm, "p_bh": p_bh}
    return [row | adjusted[number] for number, row in enumerate(rows)]
