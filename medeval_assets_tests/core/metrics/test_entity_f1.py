"""Entity F1: mentions are counted, not only known or unknown."""

from __future__ import annotations

import pytest

from medeval_assets.catalog.task_spec import Example
from medeval_assets.metrics.entity_f1 import ENTITY_F1, Counts, counts
from medeval_assets.metrics.metric import Response, Score


@pytest.mark.parametrize(
    ("found", "annotated", "expected"),
    [
        (["Asthma", "gout"], ["asthma", "colitis"], Counts(1, 1, 1)),
        (["gout"], ["gout", "gout"], Counts(1, 0, 1)),
        (["gout", "gout"], ["gout"], Counts(1, 1, 0)),
        (["ataxia - telangiectasia", "type  2 ( T2D )"], ["Ataxia-telangiectasia,", "type 2 (T2D)"], Counts(2, 0, 0)),
        (["type 2 diabetes"], ["diabetes"], Counts(0, 1, 1)),
        ([], [], Counts(0, 0, 0)),
    ],
)
def test_mentions_match_as_multisets_of_normalised_text(
    found: list[str], annotated: list[str], expected: Counts
) -> None:
    assert counts(found, annotated) == expected


@pytest.mark.parametrize(
    ("text", "targets", "f1", "precision", "recall"),
    [
        # tp 1, fp 2, fn 1
        ("gout\nfever\npain", ("gout", "colitis"), Score(2, 5, "lines"), Score(1, 3, "lines"), Score(1, 2, "lines")),
        ("none", (), Score(0, 0, "none"), Score(0, 0, "none"), Score(0, 0, "none")),
        ("none", ("gout",), Score(0, 1, "none"), Score(0, 0, "none"), Score(0, 1, "none")),
        ("", ("gout",), Score(0, 1, "", "empty"), Score(0, 0, "", "empty"), Score(0, 1, "", "empty")),
    ],
)
def test_scores_are_the_parts_of_a_micro_average(
    text: str, targets: tuple[str, ...], f1: Score, precision: Score, recall: Score
) -> None:
    response = Response(Example("e1", "e1", {}, targets), text)
    assert [metric.scores([response]) for metric in ENTITY_F1] == [[f1], [precision], [recall]]
