"""The CLUE benchmark's level scores: one number over three tasks each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medeval_assets.metrics.clue_text import ENCODER

Values = Mapping[str, Mapping[str, float | None]]
"""Task → metric → value."""

_ROUGE = ("rougeL", "rouge1", "rouge2")
_ACCURACY = "accuracy_lenient"

_BERTSCORE = {task: f"bertscore_f1.{encoder}" for task, encoder in ENCODER.items()}

LEVEL_1: Sequence[Sequence[tuple[str, str]]] = (
    (("mednli", _ACCURACY),),
    tuple(("meqsum", metric) for metric in (*_ROUGE, _BERTSCORE["meqsum"])),
    tuple(("problem_summary", metric) for metric in (*_ROUGE, _BERTSCORE["problem_summary"], "umls_f1")),
)
LEVEL_2: Sequence[Sequence[tuple[str, str]]] = (
    tuple((f"longhealth_{number}", _ACCURACY) for number in (1, 2, 3)),
    tuple(("medisumqa", metric) for metric in (*_ROUGE, _BERTSCORE["medisumqa"], "umls_f1")),
    tuple(("medisumcode", metric) for metric in ("icd10_exact_f1", "icd10_approximate_f1", "icd10_valid")),
)
"""The parts of a score, which are weighted alike; of each part the components (task, metric), likewise."""


@dataclass(frozen=True)
class LevelScore:
    """A level score as a fraction.

    value: None where a component is missing.
    standard_error: None where a component or its standard error is missing.
    missing: the components without a value, as (task, metric).
    """

    value: float | None
    standard_error: float | None
    missing: tuple[tuple[str, str], ...] = ()


def level_1(values: Values, errors: Values | None = None) -> LevelScore:
    """The mean of MedNLI's accuracy, the mean of MeQSum's four metrics and the mean of Problem Summary's five.

    values: fractions, all of one profile. errors: their standard errors, as far as they are known.

    The standard error is a cautious one: the metrics of a part are measured on the same examples, so they are taken to
    err together (the mean of their errors); the parts are independent (the root of the sum of squares, over their
    number).
    """
    return _level(LEVEL_1, values, errors or {})


def level_2(values: Values, errors: Values | None = None) -> LevelScore:
    """The mean of three means: LongHealth's over its tasks, MeDiSumQA's over five metrics, MeDiSumCode's over three.

    Otherwise as `level_1`. The three LongHealth tasks ask about the same patients and are one part.
    """
    return _level(LEVEL_2, values, errors or {})


def _level(parts: Sequence[Sequence[tuple[str, str]]], values: Values, errors: Values) -> LevelScore:
    missing = tuple(component for part in parts for component in part if _value(values, *component) is None)
    means, spreads = _means(parts, values), _means(parts, errors)
    return LevelScore(
        value=math.fsum(means) / len(parts) if means else None,
        standard_error=math.hypot(*spreads) / len(parts) if means and spreads else None,
        missing=missing,
    )


def _means(parts: Sequence[Sequence[tuple[str, str]]], values: Values) -> list[float]:
    """The mean of each part; nothing where a component is missing."""
    means: list[float] = []
    for part in parts:
        known = [value for component in part if (value := _value(values, *component)) is not None]
        if len(known) < len(part):
            return []
        means.append(math.fsum(known) / len(known))
    return means


def _value(values: Values, task: str, metric: str) -> float | None:
    return values.get(task, {}).get(metric)
