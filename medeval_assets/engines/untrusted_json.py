"""Untrusted JSON: what a server sent, read field by field."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")


class Unusable(Exception):
    """An answer that cannot be the one that was asked for. Its message says why and quotes nothing."""


def parsed(content: bytes) -> Any:
    """The content as JSON. Unusable where it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise Unusable("an answer cut short or malformed") from None


def word(value: object) -> str:
    """The value where it is a short plain name, else "": nothing longer is shown."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Unusable(f"an answer without {what}")
    return value


def sequence(value: object, length: int | None, what: str) -> list[Any]:
    """length: how many there must be; None is any number."""
    if not isinstance(value, list):
        raise Unusable(f"an answer without {what}")
    if length is not None and len(value) != length:
        raise Unusable(f"{len(value)} {what} instead of {length}")
    return value


def whole_number(value: object, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Unusable(f"an answer with {what} that is no number")
    return value


def log_probability(value: object) -> float:
    """In nats."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Unusable("a log-probability that is no number")
    # Rounding in the server can leave a hair above zero.
    if not math.isfinite(value) or value > 1e-3:
        raise Unusable("a log-probability that is none")
    return float(value)


def text(value: object) -> str:
    """The value as text that can be written as UTF-8: halves of a character become U+FFFD."""
    if not isinstance(value, str):
        raise Unusable("an answer without text")
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def usage_of(content: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """How many tokens the server counted in prompt and answer; None where it does not say."""
    usage = content.get("usage")
    counted = usage if isinstance(usage, dict) else {}
    prompt, answer = (counted.get(name) for name in ("prompt_tokens", "completion_tokens"))
    return (_count(prompt), _count(answer))


def _count(value: object) -> int | None:
    return None if value is None else whole_number(value, "counts")
