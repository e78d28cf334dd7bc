"""The mentions that an answer lists."""

from __future__ import annotations

import json
import re

from medeval_assets.parsers.answer_text import plain
from medeval_assets.parsers.parsed import EMPTY, Parsed

_NONE = frozenset(
    {
        "none",
        "no",
        "n/a",
        "na",
        "nil",
        "no mention",
        "no mentions",
        "no entities",
        "none found",
        "none mentioned",
        "no mentions found",
        "there are none",
        "there is none",
        "there are no mentions",
    }
)
_BULLET = re.compile(r"\A\s{0,8}(?:[-•·‣▪–]\s{0,4}|\*\s{1,4}|\(?\d{1,3}[.)]\s{1,4}|\d{1,3}\)\s{0,4})")
_HEADING = re.compile(r"[^\n,;]{0,80}\b(?:mentions|diseases|chemicals|entities|list|answer)\b[^\n,;]{0,80}:", re.I)
_LONGEST_JSON = 100_000
_DEEPEST_QUOTES = 4


def mentions(text: str) -> Parsed[tuple[str, ...]]:
    """The mentions in the order listed, repeats kept.

    Rules: `none`, the answer says that there is no mention (an empty list, which is a valid answer); `json`, a JSON
    list of strings; `lines`, one mention a line, without bullets, numbers, quotes and closing punctuation; `commas`,
    one single line with several mentions between commas or semicolons. Words with a colon that announce the list are
    left out. Failure: "empty". There is no other one: prose is one long mention, and counts as wrong.

    One mention that holds a comma, alone on its line, is read as several: such answers cannot be told from lists. That
    concerns 2 of the 940 sentences of the NCBI disease test set.
    """
    answer = plain(text)
    if not answer:
        return Parsed(None, failure=EMPTY)
    if _bare(answer[:80]).casefold() in _NONE:
        return Parsed((), "none")
    listed = _json_list(answer)
    if listed is not None:
        return Parsed(tuple(filter(None, map(_bare, listed))), "json")
    heading = _HEADING.match(answer)
    if heading is not None and heading.end() < len(answer):
        answer = answer[heading.end() :].strip()
    lines = [line for line in answer.split("\n") if line.strip()]
    if len(lines) == 1 and re.search(r"[,;]\s", answer):
        return Parsed(tuple(filter(None, map(_bare, re.split(r"[,;]\s", answer)))), "commas")
    found = tuple(filter(None, (_bare(_BULLET.sub("", line, count=1)) for line in lines)))
    if [mention.casefold() for mention in found] in [[word] for word in _NONE]:
        return Parsed((), "none")
    return Parsed(found, "lines")


def _bare(item: str) -> str:
    """An item without the white space, quotes, emphasis and closing punctuation around it."""
    stripped = item.strip().rstrip(".,;:").strip()
    for _ in range(_DEEPEST_QUOTES):
        if len(stripped) > 1 and stripped[0] in "\"'`*" and stripped[-1] == stripped[0]:
            stripped = stripped[1:-1].strip()
    return stripped.rstrip(".,;:")


def _json_list(answer: str) -> list[str] | None:
    """The strings of a JSON list, bare or in a code fence; None for anything else."""
    fenced = answer.removeprefix("```json").strip("`").strip()
    if not fenced.startswith("[") or not fenced.endswith("]") or len(fenced) > _LONGEST_JSON:
        return None
    try:
        items = json.loads(fenced)
    except (ValueError, RecursionError):
        return None
    return items if all(isinstance(item, str) for item in items) else None
