"""What every parser does first with an answer: characters that only look different become the same."""

from __future__ import annotations

import re

# One character for one: Unicode normalisation is not used, as it can take quadratic time on untrusted text.
_SAME: dict[int, str | None] = {
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},  # full-width forms of ASCII
    **dict.fromkeys([*range(0x20), *range(0x7F, 0xA1), 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " "),
    **dict.fromkeys([0x0A, 0x0B, 0x0C, 0x0D, 0x85, 0x2028, 0x2029], "\n"),
    # Marks without width: direction (right-to-left text), joiners, byte order, variation selectors.
    **dict.fromkeys(
        [0xAD, 0x61C, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFE0E, 0xFE0F, 0xFEFF]
    ),
    # Patterns that ignore case take the Turkish i for ours, and case folding does not.
    0x130: "I",
    0x131: "i",
    **dict.fromkeys([0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2015, 0x2212], "-"),
    **dict.fromkeys([0x2018, 0x2019, 0x201A, 0x2032], "'"),
    **dict.fromkeys([0x201C, 0x201D, 0x201E, 0xAB, 0xBB, 0x300C, 0x300D], '"'),
}
_WORDS = re.compile(r"[^\W_]+")


def plain(text: str) -> str:
    """The answer in plain characters, trimmed, in time linear in its length.

    Full-width letters become ASCII; quotes and dashes take one form; control characters become spaces and marks
    without width go. Case, line breaks and everything else stay, lone surrogates too.
    """
    return text.translate(_SAME).strip()


def words(text: str) -> str:
    """The words of a text, case-folded, with one space between and around them: " acute pancreatitis "."""
    return f" {' '.join(_WORDS.findall(plain(text).casefold()))} "
