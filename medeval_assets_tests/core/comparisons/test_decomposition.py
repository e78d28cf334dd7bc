"""The parts of a difference add up to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medeval_assets.comparisons.decomposition import decomposition

EXAMPLE = st.tuples(
    st.floats(-1, 1),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 10**6),
    st.integers(0, 99),
)


@given(st.lists(EXAMPLE, max_size=40), st.booleans())
def test_they_add_up(examples: list[tuple[float, bool, bool, bool, bool, int, int]], free_text: bool) -> None:
    rows = np.array(examples, dtype=float).reshape(-1, 7)
    parts = decomposition(
        rows[:, 0],
        rows[:, 1:3].T.astype(bool),
        rows[:, 3:5].T.astype(bool),
        rows[:, 5:7].T.astype(np.int64),
        free_text=free_text,
    )
    total = parts.answers + parts.length + parts.format + parts.truncation
    assert total == pytest.approx(rows[:, 0].sum(), abs=1e-9)
    assert parts.format_examples + parts.truncated_examples <= len(rows)
    assert free_text or parts.length == 0
