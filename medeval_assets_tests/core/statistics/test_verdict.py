"""Verdicts: every place an interval can take beside zero and the margin."""

from __future__ import annotations

import pytest

from medeval_assets.statistics.verdict import jeong, no_better, non_inferior, verdict

MARGIN = 0.02


# Low and high; our verdict and Jeong's; whether A is known to be hardly worse, and hardly better.
PLACES: list[tuple[float | None, float | None, tuple[str, str, bool, bool]]] = [
    (0.01, 0.05, ("win", "win", True, False)),
    (0.001, 0.01, ("win", "win", True, True)),  # real, and too small to matter
    (-0.05, -0.01, ("loss", "loss", False, True)),
    (-0.01, -0.001, ("loss", "loss", True, True)),
    (-0.01, 0.01, ("tie", "tie", True, True)),
    (0.0, 0.0, ("tie", "tie", True, True)),
    (-0.02, 0.01, ("inconclusive", "tie", False, True)),  # an end at the margin is not within it
    (-0.01, 0.02, ("inconclusive", "tie", True, False)),
    (-0.3, 0.3, ("inconclusive", "tie", False, False)),
    (None, None, ("inconclusive", "inconclusive", False, False)),
]


@pytest.mark.parametrize(("low", "high", "expected"), PLACES)
def test_verdicts(low: float | None, high: float | None, expected: tuple[str, str, bool, bool]) -> None:
    found = (verdict(low, high, MARGIN), jeong(low, high), non_inferior(low, MARGIN), no_better(high, MARGIN))
    assert found == expected
