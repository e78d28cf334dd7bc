"""Foreign text made fit for a terminal."""

from __future__ import annotations


def printable(text: str, keep: str = "\n") -> str:
    """The text with every character that a terminal would act upon written out (`\\x1b`), but for those to keep."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else _written_out(one) for one in text)


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
