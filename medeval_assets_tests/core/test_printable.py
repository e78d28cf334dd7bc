"""What a terminal would act upon is written out; everything else stays."""

from __future__ import annotations

import pytest

from medeval_assets.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain – naïve 漢字 😀", "plain – naïve 漢字 😀"),
        ("two\nlines", "two\nlines"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\rb\x07\x00", "a\\rb\\x07\\x00"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\ud800", "\\ud800"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_it_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).replace("\n", "").isprintable()


def test_a_path_is_one_line() -> None:
    assert printable("a\nb", keep="") == "a\\nb"
