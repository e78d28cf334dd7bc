"""The phrases of a text: what stands between its function words and its punctuation."""

from __future__ import annotations

import re

from medeval_assets.parsers.answer_text import plain

# English words that join others and name nothing. Negations are among them: a phrase says what is talked of, not
# whether it is there.
FUNCTION_WORDS = frozenset(
    word
    for listed in (
        "a an the this that these those such each every any some all both either neither other another same own",
        "i me my mine myself we us our ours you your yours he him his she her hers it its they them their theirs",
        "one ones who whom whose which what when where why how there here",
        "and or but nor so yet if then than because since while although though unless until whether as also too",
        "of in on at by for with without within from to into onto upon about above below over under between among",
        "through during before after against per via out off up down again further along across around near including",
        "am is are was were be been being have has had having do does did doing done will would shall should can could",
        "may might must ought cannot not no only very more most much many few less least quite rather just now",
        "dont doesnt didnt isnt arent wasnt werent cant couldnt wont wouldnt shouldnt hasnt havent hadnt im ive youre",
        "get gets got getting become becomes became seem seems let lets go goes went",
    )
    for word in listed.split()
)
# A hyphen, an apostrophe or a decimal sign inside a word or number is no boundary; a line break is one.
_BOUNDARY = re.compile(r"[^\w\s.,'-]|\n|(?<!\w)[.,'-]|[.,'-](?!\w)|(?<!\d)[.,]|[.,](?!\d)")
_WORD = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+(?:'[^\W_]+)*")


def phrases(text: str) -> frozenset[str]:
    """The candidate phrases of RAKE, each once: maximal runs of words that are no function words.

    Rose, Engel, Cramer & Cowley 2010, "Automatic keyword extraction from individual documents". Function words,
    punctuation and line breaks end a phrase; hyphens do not, so "beta-blocker" is "beta blocker". Phrases are
    case-folded and singular (see `singular`); a single character and one without any letter are left out. Time is
    linear in the text's length.
    """
    found: set[str] = set()
    for fragment in _BOUNDARY.split(plain(text).casefold()):
        run: list[str] = []
        for match in _WORD.finditer(fragment):
            word = match[0].removesuffix("'s").replace("'", "")
            if word not in FUNCTION_WORDS:
                run.append(singular(word))
            elif run:
                found.add(" ".join(run))
                run = []
        if run:
            found.add(" ".join(run))
    return frozenset(phrase for phrase in found if len(phrase) > 1 and any(map(str.isalpha, phrase)))


def singular(word: str) -> str:
    """A lower-case English word without the ending of its plural, by the S-stemmer's three rules.

    Harman 1991, "How effective is suffixing?". The first ending that fits decides: -ies (not -eies, -aies) becomes -y,
    -es (not -aes, -ees, -oes) becomes -e, -s (not -us, -ss) goes. Words of up to three letters stay, and so do words
    on -is, which the rules would cut: they are many in medicine and singular.
    """
    if len(word) <= 3 or word.endswith("is"):
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return f"{word[:-3]}y"
    if word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
        return word[:-1]
    return word[:-1] if word.endswith("s") and not word.endswith(("us", "ss")) else word
