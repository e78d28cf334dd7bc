"""Mentions: every way in which models list them."""

from __future__ import annotations

import pytest

from medeval_assets.parsers import entities
from medeval_assets.parsers.parsed import Parsed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("asthma\n\ngout\nasthma", Parsed(("asthma", "gout", "asthma"), "lines")),
        ("- asthma\n* gout.\n• 'colitis'", Parsed(("asthma", "gout", "colitis"), "lines")),
        ("1. asthma\n2) gout", Parsed(("asthma", "gout"), "lines")),
        ("2-deoxyglucose\n5-FU", Parsed(("2-deoxyglucose", "5-FU"), "lines")),
        ("1,2-dichloroethane", Parsed(("1,2-dichloroethane",), "lines")),
        ("Mentions: \n**asthma**", Parsed(("asthma",), "lines")),
        ("asthma, gout; colitis.", Parsed(("asthma", "gout", "colitis"), "commas")),
        ('["asthma", "gout"]', Parsed(("asthma", "gout"), "json")),
        ('```json\n["asthma"]\n```', Parsed(("asthma",), "json")),
        ("[]", Parsed((), "json")),
        ("[1, 2", Parsed(("[1", "2"), "commas")),
        ("None.", Parsed((), "none")),
        ("- none", Parsed((), "none")),
        ("There are no mentions.", Parsed((), "none")),
        ("", Parsed(None, failure="empty")),
    ],
)
def test_mentions(text: str, expected: Parsed[tuple[str, ...]]) -> None:
    assert entities.mentions(text) == expected


@pytest.mark.parametrize("piece", ["*", "[", "a, ", "\n", "- "])
def test_ten_megabytes_are_read(piece: str) -> None:
    text = (piece * (10_000_000 // len(piece) + 1))[:10_000_000]
    assert entities.mentions(f"asthma{text}").value
