"""Decomposition: where a difference between two models comes from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FEWEST_FOR_A_SLOPE = 10
_TAIL = 0.1


@dataclass(frozen=True)
class Decomposition:
    """The parts of a difference; they add up to it.

    answers: from the examples that both models answered readably, in full.
    length: of that, what goes along with one answer being longer than the other (free text only).
    truncation: from the examples where an answer was cut at the most tokens it may have.
    format: from the other examples where an answer could not be read.
    truncated_examples, format_examples: how many examples these are.
    """

    answers: float
    length: float
    format: float
    truncation: float
    format_examples: int
    truncated_examples: int


def decomposition(
    contributions: NDArray[np.float64],
    failed: NDArray[np.bool_],
    cut: NDArray[np.bool_],
    characters: NDArray[np.int64],
    *,
    free_text: bool,
) -> Decomposition:
    """Assign each example's contribution to one cause.

    contributions: (n,) an example's share of the difference: a_i / Σ denominators of A - b_i / Σ denominators of B.
    failed, cut, characters: (2, n) of both models' answers: unreadable, cut, length.
    free_text: an answer that was cut counts as truncated in any case; where an answer is a choice, a label or a list
        that could be read all the same, being cut did no harm.

    The length's part is the slope of the contributions on log(characters of A / characters of B) by least squares,
    times the sum of those logarithms: what would go if both wrote equally much and all else stayed. It is a
    description, not an experiment: a model may also write more because it knows more. Where one model's answers are
    nearly always the longer ones, nothing is known about equal lengths, and the part is 0.
    """
    if not free_text and not failed.any():
        return Decomposition(float(contributions.sum()), 0.0, 0.0, 0.0, 0, 0)
    lost = cut if free_text else cut & failed
    truncated = lost.any(axis=0)
    unreadable = failed.any(axis=0) & ~truncated
    answered = ~(truncated | unreadable)
    length = _with_length(contributions[answered], characters[:, answered]) if free_text else 0.0
    return Decomposition(
        answers=float(contributions[answered].sum()) - length,
        length=length,
        format=float(contributions[unreadable].sum()),
        truncation=float(contributions[truncated].sum()),
        format_examples=int(unreadable.sum()),
        truncated_examples=int(truncated.sum()),
    )


def _with_length(contributions: NDArray[np.float64], characters: NDArray[np.int64]) -> float:
    ratio = np.log1p(characters[0]) - np.log1p(characters[1])
    if len(ratio) < _FEWEST_FOR_A_SLOPE:
        return 0.0
    shortest, longest = np.quantile(ratio, [_TAIL, 1 - _TAIL])
    spread = float(np.square(ratio - ratio.mean()).sum())
    if shortest > 0 or longest < 0 or spread <= 1e-12:
        return 0.0
    slope = float((contributions * (ratio - ratio.mean())).sum()) / spread
    return slope * float(ratio.sum())
