"""Codes: what is meant as one, and what only looks like one."""

from __future__ import annotations

import pytest

from medeval_assets.parsers import icd10
from medeval_assets.parsers.parsed import Parsed


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I10, E11.9; J189", ("I10", "E119", "J189")),
        ("E11.9 e11.9 E119", ("E119",)),
        ("s72.001a, W19XXXA", ("S72001A", "W19XXXA")),
        ("1. I50.9 - Heart failure\n2. N17.9 - Acute kidney failure", ("I509", "N179")),
        ("Z99.99 and Z9999", ("Z9999",)),  # has a code's form, so it is a prediction, though a wrong one
        ("COVID-19 (U07.1), C7A.00, Z3A.38, C84.A0", ("U071", "C7A00", "Z3A38", "C84A0")),
        ("B20.", ("B20",)),
        ("I10.Then E11.9", ("I10", "E119")),
        ("M51 - disc disorders; S14 nerve injuries", ("M51",)),
        ("C34-C38", ("C34", "C38")),
    ],
)
def test_codes_in_reading_order_without_dots(text: str, found: tuple[str, ...]) -> None:
    assert icd10.codes(text) == Parsed(found, "codes")


@pytest.mark.parametrize(
    "text",
    [
        "vitamin B12",
        "B12 deficiency",
        "compression fracture of T12",
        "T10-T12",
        "L4-L5, L45 disc, L45-S1, level L51",
        "N95 mask",
        "P53 mutation, p53",
        "HbA1c, A1C, CD20, H1N1, COX2",
        "every Q12H in D10W",
        "patient AB120 in 3B12.5",
        "none",
    ],
)
def test_what_only_looks_like_a_code(text: str) -> None:
    assert icd10.codes(text) == Parsed(None, failure="no_match")


def test_an_empty_answer() -> None:
    assert icd10.codes(" \n") == Parsed(None, failure="empty")


@pytest.mark.parametrize(
    ("code", "valid"),
    [("I10", True), ("I50", True), ("I509", True), ("I109", False), ("B12", False), ("1", False), ("A00-A09", False)],
)
def test_validity_is_that_of_the_table_without_its_chapters_and_blocks(code: str, valid: bool) -> None:
    assert icd10.is_valid(code) is valid
