"""Parsed: what was read out of an answer, by which rule, or why nothing could be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

EMPTY = "empty"
NO_MATCH = "no_match"
AMBIGUOUS = "ambiguous"

T = TypeVar("T")


@dataclass(frozen=True)
class Parsed(Generic[T]):
    """What a parser made of one answer.

    value: what was read; None when nothing could be.
    rule: the slug of the rule that read it, or of the rule that found the answer ambiguous.
    failure: "" or why there is no value: "empty", "no_match", "ambiguous".
    """

    value: T | None
    rule: str = ""
    failure: str = ""
