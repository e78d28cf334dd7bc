"""Multiplicity: adjusted p against statsmodels, and what it does not know: tests that were not made."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from medeval_assets.statistics.multiplicity import benjamini_hochberg, holm


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_adjusted_p_agree_with_statsmodels(count: int) -> None:
    # Squares are often small; two decimals make ties.
    p = np.round(np.random.default_rng(count).random(count) ** 2, 2).tolist()
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1].tolist())
    assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1].tolist())


def test_by_hand() -> None:
    # Three tests. Holm: 3·0.01, then 2·0.02, then the larger of 1·0.03 and 0.04. Benjamini-Hochberg: 3/3·0.03, then the
    # smaller of that and 3/2·0.02, then the smaller of that and 3/1·0.01.
    assert holm([0.03, None, 0.01, 0.02]) == pytest.approx([0.04, None, 0.03, 0.04])
    assert benjamini_hochberg([0.03, None, 0.01, 0.02]) == pytest.approx([0.03, None, 0.03, 0.03])


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_nothing_tested_is_nothing_adjusted(adjust: Callable[[Sequence[float | None]], list[float | None]]) -> None:
    assert adjust([]) == []
    assert adjust([None, None]) == [None, None]
