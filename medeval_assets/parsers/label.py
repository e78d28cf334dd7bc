"""The label an answer gives: one of a few words such as entailment, contradiction, neutral."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice

from medeval_assets.parsers.answer_text import plain
from medeval_assets.parsers.negation import negated
from medeval_assets.parsers.parsed import AMBIGUOUS, EMPTY, NO_MATCH, Parsed

# Other words for a label, beyond the label itself. They are read by a rule of their own.
_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "entailment": ("entail", "entails", "entailed", "entailing", "certainly true", "definitely true"),
    "contradiction": (
        "contradict",
        "contradicts",
        "contradicted",
        "contradicting",
        "contradictory",
        "certainly false",
        "definitely false",
    ),
    "neutral": (
        "neutrality",
        "undetermined",
        "cannot be told",
        "can not be told",
        "can't be told",
        "cannot be determined",
        "can not be determined",
        "can't be determined",
    ),
}
_AROUND = " \n.,;:!*_\"'`()[]"
_STATEMENT = re.compile(
    r"\b(?:answer|label|relation|relationship|classification|verdict)[*_\"')\]]{0,4}\s{0,3}"
    r"(?:(?:is|would\sbe|should\sbe)\b\s{0,3}:?|:|=)[(\[\"'*`]{0,4}\s{0,3}(?:an?\s|the\s|one\sof\s)?[(\[\"'*`]{0,4}",
    re.IGNORECASE,
)
_FIRST_MENTIONS = 10_000


def strict(text: str, options: Mapping[str, str]) -> Parsed[str]:
    """The label where the whole answer is that one word, in any case, with punctuation or emphasis around it at most.

    options: label → text. Rules: "strict". Failures: "empty", "no_match".
    """
    answer = plain(text)
    if not answer:
        return Parsed(None, failure=EMPTY)
    label = _whole(answer, options)
    return Parsed(label, "strict") if label else Parsed(None, failure=NO_MATCH)


def lenient(text: str, options: Mapping[str, str]) -> Parsed[str]:
    """The one label that an answer gives, by the first rule that applies.

    1. `strict`.
    2. `first_line`: the first line alone is a strict answer and the next is not another label. What a base model goes
       on to write is not looked at.
    3. `stated`: "the answer is neutral", "label: neutral"; statements of different labels are ambiguous.
    4. `only_label`: exactly one distinct label occurs, however often.
    5. `synonym`: no label occurs, and the other words that do ("entails", "certainly false") all mean one label.

    A negated label ("not entailment", "does not entail") never counts, and does not stand for another one.
    options: label → text. Failures: "empty", "ambiguous", "no_match". Time is linear in the length of the answer.
    """
    answer = plain(text)
    if not answer:
        return Parsed(None, failure=EMPTY)
    label = _whole(answer, options)
    if label:
        return Parsed(label, "strict")
    first, *rest = [line for line in answer.split("\n") if line.strip()][:2]
    label = _whole(first, options)
    if label and rest and _whole(rest[0], options) in ("", label):
        return Parsed(label, "first_line")
    meanings = {option.casefold(): option for option in options}
    synonyms = {word: option for option in options for word in _SYNONYMS.get(option, ())}
    for rule, found in (
        ("stated", _stated(answer, meanings)),
        ("only_label", _mentioned(answer, meanings)),
        ("synonym", _mentioned(answer, synonyms)),
    ):
        if found:
            return Parsed(found.pop(), rule) if len(found) == 1 else Parsed(None, rule, AMBIGUOUS)
    return Parsed(None, failure=NO_MATCH)


def _whole(text: str, options: Iterable[str]) -> str:
    bare = text.strip(_AROUND).casefold() if len(text) < 200 else ""
    return next((option for option in options if option.casefold() == bare), "")


def _pattern(meanings: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(meanings, key=lambda word: (-len(word), word))
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])", re.IGNORECASE)


def _stated(answer: str, meanings: Mapping[str, str]) -> set[str]:
    pattern = _pattern(meanings)
    found = set()
    for statement in islice(_STATEMENT.finditer(answer), _FIRST_MENTIONS):
        match = pattern.match(answer, statement.end())
        if match and not negated(answer, statement.start(), match.end()):
            found.add(meanings[match[0].casefold()])
    return found


def _mentioned(answer: str, meanings: Mapping[str, str]) -> set[str]:
    if not meanings:
        return set()
    return {
        meanings[match[0].casefold()]
        for match in islice(_pattern(meanings).finditer(answer), _FIRST_MENTIONS)
        if not negated(answer, *match.span())
    }
