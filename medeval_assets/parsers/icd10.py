"""The ICD-10-CM codes that an answer contains."""

from __future__ import annotations

import re

from medeval_assets.parsers.answer_text import plain
from medeval_assets.parsers.parsed import EMPTY, NO_MATCH, Parsed

# A category is a letter, a digit, and a digit or A or B (C4A, C7B), or QA0, which came in 2026.
_CANDIDATE = re.compile(
    r"(?<![A-Za-z0-9.])(?P<category>[A-Z][0-9][0-9ABab]|QA0)(?:(?P<dot>\.)?(?P<rest>[0-9A-Za-z]{1,4}))?(?![A-Za-z0-9])"
    r"|(?<![A-Za-z0-9.])(?P<lower>[a-z][0-9][0-9ab]\.[0-9][0-9A-Za-z]{0,3})(?![A-Za-z0-9])"
)
_NO_CODE_BEFORE = re.compile(
    r"\b(?:vitamins?|vit\.?|vertebrae?|vertebral|levels?|dis[ck]s?|roots?|dermatomes?|spine|body|bodies|lead)[\s:]{1,2}\Z",
    re.IGNORECASE,
)
_SPINE_AFTER = re.compile(
    r"[\s-](?:vertebra\w*|levels?|dis[ck]s?|dermatomes?|nerves?|roots?|radiculopathy|radicular|spinous|fusion|herniation"
    r"|laminectomy|foramen|facets?|body|bodies|interspace)\b|\s?[-/]\s?(?:[CLS][0-9]|T[0-9]|T1[0-2])(?![0-9A-Za-z.])",
    re.IGNORECASE,
)
_OTHER_AFTER = re.compile(r"[\s-](?:masks?|respirators?|gene|mutations?|mutant|protein|receptors?)\b", re.IGNORECASE)
_SPINE_LETTERS = frozenset("CTLS")


def codes(text: str) -> Parsed[tuple[str, ...]]:
    """The codes in reading order, upper case, without dots, each once.

    What has a code's form and a digit after its category is taken as predicted, whether or not the code exists: J18.9,
    J189, Z99.99. The following also look like codes in clinical prose and therefore count only if ICD-10-CM knows them:
    a category alone (B12 and T12 go, I10 stays), and a letter after the category (D10W and Q12H go, C84.A and W19XXXA
    stay). A known category alone is still no code where the words beside it name a vitamin, a vertebra, a disc, a nerve
    root, a gene or a mask ("L45 disc", "L45-S1", "N95 mask", "P53 mutation"). Lower case is read only with a dot
    (e11.9), since p53 and q12 are not meant as codes.

    Rule: "codes". Failures: "empty"; "no_match" when there is no code. Time is linear in the length of the answer.
    """
    answer = plain(text)
    if not answer:
        return Parsed(None, failure=EMPTY)
    found: dict[str, None] = {}
    for match in _CANDIDATE.finditer(answer):
        code = match[0].replace(".", "").upper()
        if match["dot"] and match["rest"][0].isalpha() and not is_valid(code):
            code = match["category"].upper()  # a full stop without a space after it: "I10.Then"
        if code not in found and _is_meant(answer, match, code):
            found[code] = None
    return Parsed(tuple(found), "codes") if found else Parsed(None, failure=NO_MATCH)


def is_valid(code: str) -> bool:
    """True for a category or a code below one of ICD-10-CM, written without dot and in upper case.

    The table comes with `simple-icd-10-cm` and takes two seconds to load, hence on the first call.
    """
    import simple_icd_10_cm

    # The library also knows chapters by their number ("1") and blocks by their range.
    return len(code) >= 3 and code.isalnum() and bool(simple_icd_10_cm.is_valid_item(code))


def _is_meant(answer: str, match: re.Match[str], code: str) -> bool:
    if len(code) > 3:
        return code[3].isdigit() or is_valid(code)
    if not is_valid(code):
        return False
    start, end = match.span("category")
    before, after = answer[max(0, start - 16) : start], answer[end : end + 16]
    return not (
        _NO_CODE_BEFORE.search(before)
        or _OTHER_AFTER.match(after)
        or (code[0] in _SPINE_LETTERS and _SPINE_AFTER.match(after))
    )
