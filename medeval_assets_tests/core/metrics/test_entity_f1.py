"""Entity F1: mentions are counted, not only known or unknown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from medeval_assets.catalog.task_spec import Example
from medeval_assets.metrics.entity_f1 import ENTITY_F1, Counts, counts, overlap_counts
from medeval_assets.metrics.metric import Response, Score
from medeval_assets.settings import Settings
from medeval_assets.sources.dataset import read_dataset
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.real_data import SHARED_DATA, needs_real_data


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
    ("found", "annotated", "expected"),
    [
        (["breast cancer"], ["hereditary breast cancer"], Counts(1, 0, 0)),
        (["breast cancer"], ["breast", "ovarian cancer"], Counts(1, 0, 1)),
        (["breast and ovarian cancer", "breast cancer"], ["breast", "ovarian cancer"], Counts(2, 0, 0)),
        (["gout", "gout"], ["gout"], Counts(1, 1, 0)),
        # Function words and single characters bind nothing, unless a mention has no other words.
        (["loss of hearing"], ["atrophy of muscle"], Counts(0, 1, 1)),
        (["factor V deficiency"], ["vitamin V excess"], Counts(0, 1, 1)),
        (["AT", "A-T"], ["at", "a - t"], Counts(2, 0, 0)),
        (["+"], ["+"], Counts(1, 0, 0)),
        ([], [], Counts(0, 0, 0)),
        ([], ["gout"], Counts(0, 0, 1)),
    ],
)
def test_overlapping_mentions_share_a_word(found: list[str], annotated: list[str], expected: Counts) -> None:
    assert overlap_counts(found, annotated) == expected


def test_the_metrics_and_their_order() -> None:
    assert [metric.name for metric in ENTITY_F1] == [
        *("entity_f1", "entity_precision", "entity_recall"),
        *("entity_f1_overlap", "entity_precision_overlap", "entity_recall_overlap"),
        *("entity_f1_macro", "entity_precision_macro", "entity_recall_macro"),
        *("entity_f1_overlap_macro", "entity_precision_overlap_macro", "entity_recall_overlap_macro"),
    ]


def scores(text: str, targets: tuple[str, ...]) -> dict[str, Score | None]:
    response = Response(Example("e1", "e1", {}, targets), text)
    return {metric.name: metric.scores([response])[0] for metric in ENTITY_F1}


@pytest.mark.parametrize(
    ("text", "targets", "f1", "precision", "recall"),
    [
        # tp 1, fp 2, fn 1; all 2 found would be 4/4, 2/2, 2/2
        (
            "gout\nfever\npain",
            ("gout", "colitis"),
            Score(2, 5, "lines", perfect=4),
            Score(1, 3, "lines", perfect=2),
            Score(1, 2, "lines", perfect=2),
        ),
        ("none", (), *[Score(0, 0, "none", perfect=0)] * 3),
        (
            "none",
            ("gout",),
            Score(0, 1, "none", perfect=2),
            Score(0, 0, "none", perfect=1),
            Score(0, 1, "none", perfect=1),
        ),
        (
            "",
            ("gout",),
            Score(0, 1, "", "empty", perfect=2),
            Score(0, 0, "", "empty", perfect=1),
            Score(0, 1, "", "empty", perfect=1),
        ),
        ("gout", (), Score(0, 1, "lines", perfect=0), Score(0, 1, "lines", perfect=0), Score(0, 0, "lines", perfect=0)),
    ],
)
def test_scores_are_the_parts_of_a_micro_average(
    text: str, targets: tuple[str, ...], f1: Score, precision: Score, recall: Score
) -> None:
    found = scores(text, targets)
    assert [found["entity_f1"], found["entity_precision"], found["entity_recall"]] == [f1, precision, recall]


@pytest.mark.parametrize(
    ("text", "targets", "f1", "precision", "recall"),
    [
        ("gout\nfever\npain", ("gout", "colitis"), Score(2 / 5, 1), Score(1 / 3, 1), Score(1 / 2, 1)),
        ("none", (), *[Score(1, 1)] * 3),
        ("none", ("gout",), *[Score(0, 1)] * 3),
        ("gout", (), *[Score(0, 1)] * 3),
        ("", ("gout",), *[Score(0, 1, "", "empty")] * 3),
        ("", (), *[Score(0, 1, "", "empty")] * 3),
    ],
)
def test_a_macro_average_gives_each_example_its_own_ratio(
    text: str, targets: tuple[str, ...], f1: Score, precision: Score, recall: Score
) -> None:
    found = scores(text, targets)
    expected = {"entity_f1_macro": f1, "entity_precision_macro": precision, "entity_recall_macro": recall}
    assert {name: replace(found[name] or Score(9), rule="") for name in expected} == expected


def test_overlapping_averages_are_made_of_overlapping_counts() -> None:
    # Exact: tp 1, fp 1, fn 1. Overlapping: tp 2, fp 0, fn 0.
    found = scores("gout\nbreast cancer", ("gout", "inherited breast cancer"))
    assert found["entity_f1_overlap"] == Score(4, 4, "lines", perfect=4)
    assert found["entity_f1_overlap_macro"] == Score(1, 1, "lines")
    assert (found["entity_f1"], found["entity_f1_macro"]) == (Score(2, 4, "lines", perfect=4), Score(0.5, 1, "lines"))


@needs_real_data
def test_the_real_annotations_score_full_marks_against_themselves(tmp_path: Path) -> None:
    (tmp_path / "ncbi_disease").symlink_to(SHARED_DATA / "NCBI-disease-IOB")
    dataset = read_dataset(all_tasks()["ncbi_disease"], Settings(home=tmp_path, sources=tmp_path))
    examples = [example for example in dataset.examples if not any(", " in target for target in example.targets)]
    responses = [Response(example, "\n".join(example.targets) or "none") for example in examples]
    for metric in ENTITY_F1:
        parts = [score for score in metric.scores(responses) if score is not None]
        assert len(parts) == len(examples)
        assert all(part.numerator == part.denominator == part.perfect for part in parts)
