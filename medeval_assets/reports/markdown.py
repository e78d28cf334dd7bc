"""Markdown: tables of text that is not markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#+!|~&$])")


def escaped(text: str) -> str:
    """The text on one line, with every character that Markdown would read as markup escaped."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def table(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    return "".join(f"| {' | '.join(line)} |\n" for line in [header, ["---"] * len(header), *body])
