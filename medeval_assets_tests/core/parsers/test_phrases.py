"""Phrases: where they begin and end, and which of them are the same."""

from __future__ import annotations

import pytest

from medeval_assets.parsers.phrases import phrases, singular


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What are the treatments for chronic kidney disease?", {"treatment", "chronic kidney disease"}),
        ("Fever/chills, (night) sweats; weight loss.", {"fever", "chill", "night", "sweat", "weight loss"}),
        ("acute pancreatitis\nacute kidney injury", {"acute pancreatitis", "acute kidney injury"}),
        ("a beta-blocker \u2013 Beta blockers", {"beta blocker"}),
        ("ACE inhibitor-related cough - no fever", {"ace inhibitor related cough", "fever"}),
        ("Crohn's disease and the patient's diet", {"crohn disease", "patient diet"}),
        ("dose of 2.5 mg,1.000 units", {"dose", "2.5 mg", "1.000 unit"}),
        ("physician(s), 12, 3.5", {"physician"}),
        ("It's what it isn't.", set()),
        ("It is not in there.", set()),
        ("", set()),
        ("\ud800 \x00 fever\u200b", {"fever"}),
        ("_gout_ **gout** `gout`", {"gout"}),
    ],
)
def test_phrases_are_runs_of_content_words(text: str, expected: set[str]) -> None:
    assert phrases(text) == expected


@pytest.mark.parametrize(
    ("plural", "expected"),
    [
        ("biopsies", "biopsy"),
        ("diseases", "disease"),
        ("kidneys", "kidney"),
        ("lupus", "lupus"),
        ("abscess", "abscess"),
        ("sepsis", "sepsis"),
        ("gas", "gas"),
        ("toes", "toe"),
        ("vertebraes", "vertebrae"),
    ],
)
def test_singular(plural: str, expected: str) -> None:
    assert singular(plural) == expected
