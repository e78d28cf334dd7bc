"""Is something that an answer mentions said to be wrong?"""

from __future__ import annotations

import re

# How far from a mention its negation may stand, in characters.
_REACH = 48

_BEFORE = re.compile(
    r"(?:\b(?:not|never|no|neither|nor|without|cannot|incorrect|wrong|unlikely|excludes?|excluding|except|unlike"
    r"|rather than|instead of|other than|rules? out|ruled out|ruling out)|n't)\b[^.;:!?\n]*\Z",
    re.IGNORECASE,
)
_TURN = re.compile(r"\b(?:but|however|whereas|while|because|since|so|therefore|thus|hence)\b|,", re.IGNORECASE)
_AFTER = re.compile(
    r"[)\].:*\"'`]{0,4}\s{0,3}(?:(?:is|are|was|would be|can be|seems?|appears?)\s{1,3}(?:\w{1,12}ly\s{1,3})?"
    r"(?:not|incorrect|wrong|false|unlikely|less likely|excluded|ruled out|inappropriate|contraindicated)\b"
    r"|isn't\b|can't\b|cannot\b|doesn't\b|does not\b|wouldn't\b)",
    re.IGNORECASE,
)


def negated(text: str, start: int, end: int) -> bool:
    """True when text[start:end] stands under a negation of its own clause: "not B", "rather than B", "B is incorrect".

    Looks at no more than a few words on either side. A comma or a word such as "but" or "because" ends the clause.
    """
    before = text[max(0, start - _REACH) : start]
    turns = [turn.end() for turn in _TURN.finditer(before)]
    clause = before[turns[-1] :] if turns else before
    return bool(_BEFORE.search(clause)) or bool(_AFTER.match(text, end, end + _REACH))
