"""The CLUE benchmark's ladders for answers that are one of given options: MedNLI and LongHealth."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from medeval_assets.metrics.accuracy import CHOICE, LABEL, Accuracy
from medeval_assets.metrics.clue import CUT, END_MARK, FIRST_TWICE, Rung, changing, ladder, reading
from medeval_assets.metrics.metric import CORRECTED, Response, Score
from medeval_assets.parsers.parsed import NO_MATCH, Parsed

_PHRASE = re.compile(r"The correct answer is (\w):")
_OWN_OPTIONS = frozenset("ABCDE")


@dataclass(frozen=True)
class OccursOnce:
    """Share of examples in whose answer the right label occurs exactly once, in any case, also within a word.

    An answer that lists all labels is right, one that says the right label twice is wrong. Only the right label is
    looked for, so an answer that cannot be read is not told from a wrong one: there are no failures.
    """

    name: str
    title: str
    profile: str = CORRECTED
    reads_likelihood: bool = False

    def scores(self, responses: Sequence[Response]) -> list[Score | None]:
        return [Score(float(_occurrences(response) == 1), rule="occurs_once") for response in responses]


def _occurrences(response: Response) -> int:
    return sum(response.text.upper().count(label.upper()) for label in response.example.targets)


def fixed_phrase(text: str, options: Mapping[str, str]) -> Parsed[str]:
    """The letter in the first "The correct answer is B:"; letter for letter, a lower-case one is no option.

    Failure: "no_match".
    """
    match = _PHRASE.search(text)
    return Parsed(match[1], "fixed_phrase") if match else Parsed(None, failure=NO_MATCH)


def containing_option(response: Response) -> Response:
    """The right letter becomes that of the last option, in the order shown, whose text contains the right one's.

    "5 mg" also stands in "2.5 mg". The benchmark's sixth option, which says that there is no answer, has another text
    there than here and is left out.
    """
    example = response.example
    right = [example.options[label] for label in example.targets]
    holding = [
        label
        for label, text in example.options.items()
        if label in _OWN_OPTIONS and any(wanted in text for wanted in right)
    ]
    return replace(response, example=replace(example, targets=tuple(holding[-1:])))


_LENIENT_LABEL, _LENIENT_CHOICE = LABEL[0], CHOICE[0]
_FIXED_PHRASE = reading("fixed_phrase", Accuracy(_LENIENT_CHOICE.name, _LENIENT_CHOICE.title, fixed_phrase))
_CONTAINING = changing("containing_option", containing_option)

MEDNLI: tuple[Rung, ...] = ladder(
    _LENIENT_LABEL,
    (CUT, reading("occurs_once", OccursOnce(_LENIENT_LABEL.name, _LENIENT_LABEL.title)), FIRST_TWICE),
)
LONGHEALTH: Mapping[int, tuple[Rung, ...]] = {
    1: ladder(_LENIENT_CHOICE, (END_MARK, _FIXED_PHRASE, _CONTAINING)),
    2: ladder(_LENIENT_CHOICE, (_FIXED_PHRASE, _CONTAINING)),
    3: ladder(_LENIENT_CHOICE, (_FIXED_PHRASE,)),
}
"""By the number of the LongHealth task."""
