"""The option an answer chooses: read strictly as asked for, or leniently by an ordered cascade of rules."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from medeval_assets.parsers.answer_text import plain, words
from medeval_assets.parsers.negation import negated
from medeval_assets.parsers.parsed import AMBIGUOUS, EMPTY, NO_MATCH, Parsed

_FORMS = ("{}", "{}.", "{})", "{}:", "({})", "({}).", "[{}]", "**{}**", "**{}.**", "**{}**.", "**({})**", '"{}"')
_OPENINGS = (
    "{}.",
    "{})",
    "{}:",
    "({})",
    "({}):",
    "[{}]",
    "**{}**",
    "**{}.**",
    "**{})**",
    "**{}:**",
    "{} -",
    "{},",
    "{} ",
)

# Labels that are also words: "A patient", "I think", "no difference". They count only where something closes them.
_ALSO_WORDS = frozenset({"a", "i", "no"})
_CLOSED = re.compile(
    r"""\s{0,2}(?:[.,;:!?)\]}"'*`/]|-\s|\n|\Z|(?:because|since|as|due|given|based|which|is|was|and|or)\b)""", re.I
)

# Every gap is bounded, so that each attempt takes constant time and a scan of the whole answer linear time.
_MARKS = r"""(?:\\boxed\{|\\text\{|[$(\["'*`]){0,6}"""
_ADVERB = r"(?:(?:most\s{1,3})?(?:likely|probably|clearly|definitely|therefore|thus|indeed|simply)\s{1,3})?"
_ASKED_FOR = r"(?:answer|choice|option|response|diagnosis)"
_LINK = re.compile(
    rf"\b(?P<final>final\s{{1,3}})?{_ASKED_FOR}(?:\s{{1,3}}(?:choice|option|letter))?[*_\"')\]]{{0,4}}\s{{0,3}}"
    rf"(?:(?:is|was|would\sbe|should\sbe|must\sbe)\b\s{{0,3}}:?|:|=|->){_MARKS}\s{{0,3}}{_ADVERB}"
    r"|\b(?:choose|chose|select|selected|pick|picked|go\swith|going\swith|opt\sfor|opted\sfor)\s{1,3}",
    re.I,
)
_BEFORE_LABEL = rf"{_MARKS}\s{{0,2}}(?:the\s{{1,3}})?(?:{_ASKED_FOR}\s{{1,3}}|letter\s{{1,3}})?{_MARKS}"
_IS_RIGHT = (
    r"""[)\]*"'`.:]{0,4}\s{0,2}(?:is|would\sbe)\s{1,3}(?:the\s{1,3})?(?:(?:single|one|most)\s{1,3})?"""
    r"(?:correct|right|best|appropriate|likely|accurate)\b"
)

# Words after which a letter belongs to a name: vitamin B, hepatitis C, group A, troponin I.
_NAMED_BY_LETTER = re.compile(
    r"\b(?:vitamins?|vit\.?|hepatitis|influenza|flu|types?|subtypes?|groups?|class|grades?|stages?|factors?|proteins?"
    r"|complex|blood|immunoglobulin|ha?emoglobin|troponin|interferon|apolipoprotein|lines?|waves?|phase|part|plan"
    r"|section|figure|table|panel|appendix|pugh|staphylococcal|streptococcal|enterotoxin|cyclosporine?|coenzyme)\s{1,2}\Z",
    re.I,
)
_JOINED = re.compile(r"\s{0,2}(?:,|/|&|and|or)?\s{0,2}\Z", re.I)
_GENUS = re.compile(r"\.\s{1,2}([a-z]{3,})")

_LAST_STATEMENTS = 64
_FIRST_MENTIONS = 10_000


def strict(text: str, options: Mapping[str, str]) -> Parsed[str]:
    """The option's label where the whole answer is nothing else.

    The trimmed answer is the label, bare or in one of a few forms (`A`, `A.`, `A)`, `(A)`, `**A**`, …), or the label
    and exactly that option's text (`A. Acute pancreatitis`). Letters have to be in their own case, words need not.

    options: label → text. Rules: "strict". Failures: "empty", "no_match".
    """
    answer = plain(text)
    if not answer:
        return Parsed(None, failure=EMPTY)
    found = _strict(answer, options)
    return Parsed(found, "strict") if found is not None else Parsed(None, failure=NO_MATCH)


def lenient(text: str, options: Mapping[str, str]) -> Parsed[str]:
    """The label of the option that an answer chooses, by the first rule that applies.

    1. `strict`.
    2. `first_line`: the first line alone is a strict answer, and the next is not one with another label (which would be
       a list of the options). What a base model goes on to write, such as the next question, is not looked at.
    3. `boxed`: one label stands in \\boxed{}.
    4. `stated`: "the answer is B", "answer: B", "I choose B", "B is correct". Negated statements do not count. A "final
       answer" outranks the others; apart from that, statements of different labels are ambiguous: which of them was
       meant is not guessed.
    5. `stated_text`: the same with an option's text for its label.
    6. `start`: the answer starts with a label and punctuation.
    7. `named`: only one label is called "option B" or "answer B".
    8. `marked`: only one label stands in brackets, quotes or bold.
    9. `only_label`: only one label stands by itself anywhere. The article "A", the pronoun "I", "no" before a noun,
       "vitamin B" and "E. coli" are no labels.
    10. `option_text`: only one option's text occurs, compared by its words; inside a longer option's text it does not
       count. Not for options that are their own label (yes, no, maybe).

    options: label → text. Failures: "empty"; "ambiguous", several options are chosen alike; "no_match". There is no
    default. Time is linear in the length of the answer.
    """
    answer = plain(text)
    if not answer:
        return Parsed(None, failure=EMPTY)
    labels = _labels(tuple(options))
    found = _strict(answer, options)
    if found is not None:
        return Parsed(found, "strict")
    found = _first_line(answer, options)
    if found is not None:
        return Parsed(found, "first_line")
    ambiguous = ""
    for rule, chosen in _cascade(answer, options, labels):
        if len(chosen) == 1:
            return Parsed(chosen.pop(), rule)
        if chosen:
            ambiguous = ambiguous or rule
            if rule in {"boxed", "stated", "stated_text"}:
                break
    return Parsed(None, ambiguous, AMBIGUOUS) if ambiguous else Parsed(None, failure=NO_MATCH)


@dataclass(frozen=True)
class _Labels:
    """A task's labels and the patterns made of them.

    canonical: the label by its text in an answer, which is case-folded for words.
    """

    canonical: Mapping[str, str]
    token: re.Pattern[str]
    stated: re.Pattern[str]
    right: re.Pattern[str]
    boxed: re.Pattern[str]
    start: re.Pattern[str]
    line: re.Pattern[str]
    named: re.Pattern[str]
    marked: re.Pattern[str]
    joined: re.Pattern[str]

    def of(self, match: re.Match[str]) -> str:
        return self.canonical[match["label"].casefold()]


@lru_cache(maxsize=64)
def _labels(labels: tuple[str, ...]) -> _Labels:
    alternatives = "|".join(re.escape(label) for label in sorted(labels, key=lambda label: (-len(label), label)))
    any_case = rf"(?P<label>(?i:{alternatives}))(?!\w|['-]\w|\.\w)"
    own_case = any_case if all(len(label) > 1 for label in labels) else any_case.replace("(?i:", "(?:")
    alone = r"(?<![\w'\\-])"
    return _Labels(
        canonical={label.casefold(): label for label in labels},
        token=re.compile(alone + own_case),
        stated=re.compile(rf"(?i:{_BEFORE_LABEL}){any_case}"),
        right=re.compile(rf"{alone}{own_case}(?i:{_IS_RIGHT})"),
        boxed=re.compile(rf"\\boxed\{{\s{{0,2}}(?:\\text\{{)?\(?{any_case}"),
        start=re.compile(
            rf"""[(\["'*`]{{0,4}}(?i:(?:option|choice)\s{{1,2}})?{any_case}(?=\s{{0,1}}[).:,;\]*"'`]|\s-|\s{{0,8}}\n|\Z)"""
        ),
        line=re.compile(
            rf"""(?:\A|\n)\s{{0,8}}[(\["'*`-]{{0,4}}\s{{0,2}}{own_case}[*]{{0,2}}(?=[).:,]|\s{{0,8}}(?:\n|\Z))"""
        ),
        named=re.compile(rf"\b(?i:option|choice|answer)\s{{1,2}}[(\[\"'*`]{{0,4}}{own_case}"),
        marked=re.compile(rf"""(?:\*\*|["'`(\[])\s?{own_case}(?=[.):\]"'`*])"""),
        joined=re.compile(
            rf"""[)\]*"'`]{{0,4}}\s{{0,2}}(?i:,\s{{0,2}}(?:and|or)\b|,|/|&|and\b|or\b)\s{{0,2}}(?i:{_BEFORE_LABEL}){own_case}"""
        ),
    )


def _strict(answer: str, options: Mapping[str, str]) -> str | None:
    longest = max(map(len, options.values()), default=0) + max(map(len, options), default=0)
    if len(answer) > 2 * longest + 64:
        return None
    bare = answer[2:-2] if answer.startswith("**") and answer.endswith("**") and answer.count("**") == 2 else answer
    for label, option in options.items():
        if any(_own_case(answer, label) == form.format(label) for form in _FORMS):
            return label
        for form in _OPENINGS:
            opening = form.format(label)
            if _own_case(bare, label).startswith(opening) and _same_text(bare[len(opening) :], option):
                return label
    return None


def _own_case(answer: str, label: str) -> str:
    return answer if len(label) == 1 else answer.casefold().replace(label.casefold(), label)


def _same_text(left: str, right: str) -> bool:
    first, second = (" ".join(plain(text).casefold().split()).rstrip(".") for text in (left, right))
    return bool(first) and first == second


def _first_line(answer: str, options: Mapping[str, str]) -> str | None:
    lines = [line for line in answer.split("\n") if line.strip()][:2]
    first, *rest = (_strict(line.strip(), options) for line in lines)
    return first if rest and rest[0] in (None, first) else None


def _cascade(answer: str, options: Mapping[str, str], labels: _Labels) -> Iterator[tuple[str, set[str]]]:
    """Rule by rule, the labels that it finds chosen."""
    yield "boxed", {labels.of(match) for match in deque(labels.boxed.finditer(answer), _LAST_STATEMENTS)}
    links = deque(_LINK.finditer(answer), _LAST_STATEMENTS)
    yield "stated", _stated(answer, options, labels, links)
    yield "stated_text", _stated_text(answer, options, links)
    yield "start", _start(answer, options, labels)
    yield "named", _mentioned(answer, options, labels, labels.named)
    yield "marked", _mentioned(answer, options, labels, labels.marked)
    yield "only_label", _standing_alone(answer, options, labels)
    yield "option_text", _option_texts(answer, options)


def _stated(answer: str, options: Mapping[str, str], labels: _Labels, links: Iterable[re.Match[str]]) -> set[str]:
    stated: list[tuple[bool, set[str]]] = []
    for link in links:
        match = labels.stated.match(answer, link.end())
        if match is None or _under_no(answer, link.start(), match) or not _is_label(answer, options, labels, match):
            continue
        stated.append((bool(link["final"]), _joined(answer, labels, match)))
    for match in deque(labels.right.finditer(answer), _LAST_STATEMENTS):
        if not negated(answer, match.start(), match.end()):
            stated.append((False, {labels.of(match)}))
    final = [chosen for is_final, chosen in stated if is_final]
    return set().union(*(final or [chosen for _, chosen in stated]))


def _under_no(answer: str, start: int, match: re.Match[str]) -> bool:
    """A statement is negated by what stands before it or after its label; words inside it do not negate it."""
    return negated(answer, start, match.end("label"))


def _joined(answer: str, labels: _Labels, match: re.Match[str]) -> set[str]:
    """The label of a match and those it is listed with: "B or C"."""
    chosen = {labels.of(match)}
    following = labels.joined.match(answer, match.end("label"))
    while following is not None and len(chosen) < 2 and not negated(answer, *following.span("label")):
        if _needs_closing(following["label"]) and _CLOSED.match(answer, following.end("label")) is None:
            break
        chosen.add(labels.of(following))
        following = labels.joined.match(answer, following.end("label"))
    return chosen


def _stated_text(answer: str, options: Mapping[str, str], links: Iterable[re.Match[str]]) -> set[str]:
    texts = _texts(options)
    reach = 2 * max((len(text) for text in options.values()), default=0) + 32
    chosen: set[str] = set()
    for link in links:
        if negated(answer, link.start(), link.end()):
            continue
        following = re.sub(r"\A (?:an?|the) ", " ", words(answer[link.end() : link.end() + reach]))
        matching = {label: len(text) for label, text in texts.items() if following.startswith(text)}
        chosen |= {label for label, length in matching.items() if length == max(matching.values())}
    return chosen


def _start(answer: str, options: Mapping[str, str], labels: _Labels) -> set[str]:
    match = labels.start.match(answer)
    if match is None or not _is_label(answer, options, labels, match) or negated(answer, *match.span("label")):
        return set()
    listed = {labels.of(line) for line in islice(labels.line.finditer(answer), _FIRST_MENTIONS)}
    return _joined(answer, labels, match) | listed


def _mentioned(answer: str, options: Mapping[str, str], labels: _Labels, pattern: re.Pattern[str]) -> set[str]:
    return {
        labels.of(match)
        for match in islice(pattern.finditer(answer), _FIRST_MENTIONS)
        if not negated(answer, *match.span("label")) and _is_label(answer, options, labels, match)
    }


def _standing_alone(answer: str, options: Mapping[str, str], labels: _Labels) -> set[str]:
    chosen: set[str] = set()
    named_until = -1
    for match in islice(labels.token.finditer(answer), _FIRST_MENTIONS):
        start, end = match.span("label")
        in_list = named_until >= 0 and start - named_until < 8 and _JOINED.match(answer[named_until:start])
        if in_list or _NAMED_BY_LETTER.search(answer[max(0, start - 24) : start]):
            named_until = end
        elif (
            not _GENUS.match(answer, end)
            and _is_label(answer, options, labels, match)
            and not negated(answer, start, end)
        ):
            chosen.add(labels.of(match))
    return chosen


def _needs_closing(label: str) -> bool:
    return label.casefold() in _ALSO_WORDS or (len(label) == 1 and label.islower())


def _is_label(answer: str, options: Mapping[str, str], labels: _Labels, match: re.Match[str]) -> bool:
    """False where the label's letters are a word of the sentence or the short form of a genus that an option names."""
    end = match.end("label")
    label = match["label"]
    if _needs_closing(label) and _CLOSED.match(answer, end) is None:
        return _same_start(answer[end:], options[labels.of(match)])
    genus = _GENUS.match(answer, end)
    if genus is None or len(label) > 1:
        return True
    name = words(f"{label} {genus[1]}")
    return not any(name in words(option) for option in options.values()) or _same_start(
        answer[genus.start() :], options[labels.of(match)]
    )


def _same_start(text: str, option: str) -> bool:
    """True when a text begins with the words of an option."""
    start = words(option)
    return len(start) > 2 and words(text[: 2 * len(option) + 32]).startswith(start)


def _texts(options: Mapping[str, str]) -> dict[str, str]:
    """The words of each option's text, without the options that are their own label or have no word."""
    texts = {label: words(text) for label, text in options.items() if label.casefold() != text.casefold()}
    return {label: text for label, text in texts.items() if text.strip()}


def _option_texts(answer: str, options: Mapping[str, str]) -> set[str]:
    """The labels whose option's words occur, unless only within a longer option's words or under a negation."""
    rest = words(answer)
    texts = _texts(options)
    chosen: set[str] = set()
    for text in sorted(set(texts.values()), key=lambda text: (-len(text), text)):
        pieces = rest.split(text)
        if any(not _ends_negated(piece) for piece in pieces[:-1]):
            chosen |= {label for label, other in texts.items() if other == text}
        rest = " \0 ".join(pieces)
    return chosen


_ENDS_NEGATED = re.compile(
    r"\b(?:not|never|no|neither|nor|without|unlike|except|exclud\w+|ruled? out|rather than|instead of|other than)"
    r"(?: an?| the)?\Z"
)


def _ends_negated(piece: str) -> bool:
    return _ENDS_NEGATED.search(piece[-32:]) is not None
