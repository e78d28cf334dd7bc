"""ICD-10 metrics, worked by hand."""

from __future__ import annotations

import pytest

from medeval_assets.catalog.task_spec import Example
from medeval_assets.metrics.icd10 import ICD10, approximate_f1, exact_f1, valid_share
from medeval_assets.metrics.metric import Response, Score


@pytest.mark.parametrize(
    ("text", "targets", "exact", "approximate", "valid"),
    [
        # {I10, E119} against {I10, E110, J189}: one of 2 + 3; the categories I10, E11 are two of 2 + 3.
        ("I10, E11.9", ("I10", "E110", "J189"), 2 / 5, 4 / 5, 1.0),
        ("I10, I10, Z99.99", ("I10",), 2 / 3, 2 / 3, 1 / 2),  # the repeat counts once; Z99.99 does not exist
        ("E11.9, E11.7", ("E110",), 0.0, 1.0, 1 / 2),  # the category is right; E11.7 does not exist
    ],
)
def test_codes_are_compared_as_sets(
    text: str, targets: tuple[str, ...], exact: float, approximate: float, valid: float
) -> None:
    response = Response(Example("e1", "e1", {}, targets), text)
    expected = [Score(value, rule="codes") for value in (exact, approximate, valid)]
    assert [metric.scores([response])[0] for metric in ICD10] == expected


@pytest.mark.parametrize(("text", "failure"), [("", "empty"), ("Hypertension. Give vitamin B12.", "no_match")])
def test_no_code_scores_nothing_and_is_told_apart(text: str, failure: str) -> None:
    response = Response(Example("e1", "e1", {}, ("I10",)), text)
    assert [metric.scores([response]) for metric in ICD10] == [[Score(0, failure=failure)]] * 3


def test_empty_sides() -> None:
    assert (exact_f1([], []), exact_f1(["I10"], []), exact_f1([], ["I10"])) == (1.0, 0.0, 0.0)
    assert (approximate_f1([], []), valid_share([], [])) == (1.0, 0.0)
    assert exact_f1(["E119"], ["e11.9"]) == 1.0
