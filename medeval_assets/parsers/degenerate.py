"""Answers that are no attempt at the task: the signature of a wrong chat template."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from medeval_assets.catalog.task_spec import Example
from medeval_assets.parsers.answer_text import plain, words
from medeval_assets.parsers.parsed import EMPTY

ROLE_TOKENS = "role_tokens"
REPETITION = "repetition"
PROMPT_ECHO = "prompt_echo"
OTHER_LANGUAGE = "other_language"

# A loop, once entered, is not left: the end of an endless answer tells what it is.
_LONGEST = 100_000

_ROLE_TOKENS = re.compile(
    r"<\|[^|<>\s]{1,40}\|>"  # ChatML, Llama 3, Phi, Zephyr, Command R, DeepSeek
    r"|\[/?INST\]|<</?SYS>>"  # Llama 2, Mistral
    r"|</?(?:start|end)_of_turn>|</?s>|<(?:bos|eos|pad|unk)>"  # Gemma, and tokens that frame a sequence
    r"|^[ ]{0,3}#{2,4}[ ]{0,2}(?:Response|Instruction|Input|User|Human|Assistant|System)[ ]{0,2}:"  # Alpaca
    r"|^[ ]{0,3}\**(?i:user|human|assistant)\**:"  # Vicuna
    # What Llama 3 and ChatML leave where a decoder drops special tokens: a role's bare name, glued to an answer's end.
    r"|^(?:user|assistant)[ ]*$|[^\s/-]assistant[ ]*\n",
    re.MULTILINE,
)
# Words; a run longer than any word is cut, so that "aaaa…" repeats itself too.
_UNITS = re.compile(r"[^\W_]{1,32}")
_STRETCH_LOOP = 4
_FEWEST_UNITS = 10
_LOOPED_SHARE = 0.5

_STRETCH_ECHO = 20
_ECHOED_SHARE = 0.5

_FEWEST_LETTERS = 12
_LATIN = re.compile(r"[A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff]")
_LETTERS = re.compile(r"[^\W\d_]")
_FEWEST_WORDS = 10
_FEWEST_FOREIGN = 3
_FOREIGN_SHARE = 0.15
# Frequent words of English, then of other languages: those that neither English nor the Latin of medicine shares.
_ENGLISH, *_OTHERS = (
    frozenset(listed.split())
    for listed in (
        "the of and to in is that with for was are be this by on not or from have has it at a as an which how what no",
        "der und das ist nicht mit ein eine einer den dem des von zu sich auf für im wird bei oder wie nach sind",
        "le la les est une des du que qui dans pour pas sur avec ce sont il au aux par cette ou plus",
        "el la los las y que es una un del se por con para su como al más lo está son de en",
        "il la che di e un una per non con del della è sono si gli le nel dei alla delle",
        "o os e que da de em um uma para não com é dos das na por se ao são foi mais",
        "de het een en van dat niet met voor zijn op te aan wordt bij ook als er maar",
        "w na z się nie jest że o jak po od za oraz przez są dla lub",
        "ve bir bu için ile de da olarak çok en gibi daha olan değil veya kadar ne hasta sonra",
    )
)


def degenerate_kind(text: str, example: Example) -> str:
    """The first of these that an answer is, else "":

    `empty`: nothing visible in it.
    `role_tokens`: chat markup in the visible text: `<|im_start|>`, `[INST]`, `<start_of_turn>`, `### Response:`, a line
        that opens with "User:" or "Assistant:" or is one of these words alone.
    `repetition`: of its stretches of four words at least half occur earlier in it (seq-rep-4 of Welleck et al. 2020,
        "Neural Text Generation with Unlikelihood Training"); from ten words on. Where there are no words, characters
        stand for them. No abstract or question of PubMedQA and MeQSum gets above 0.41; loops of real models lie above
        0.7. Ten words leave room for a mention that a sentence annotates over and over.
    `prompt_echo`: at least half of its words stand in stretches of 20 or more that are verbatim in the example's inputs
        or documents. Right answers of MeQSum, which are copied now and then, reach 19.
    `other_language`: most of its letters (from twelve on) are not Latin; or, from ten words on, the function words of
        one other language are at least three different ones, 15 % of all words and more than the English ones. Lists
        of codes, drugs or diagnoses hold few function words of any language and never count. German, French, Spanish,
        Italian, Portuguese, Dutch, Polish and Turkish are known among those in Latin letters.

    Only the last 100,000 characters of a longer answer are looked at. Time is linear in the lengths of both texts.
    """
    answer = plain(text)[-_LONGEST:]
    if not answer:
        return EMPTY
    if _ROLE_TOKENS.search(answer):
        return ROLE_TOKENS
    if _repeats(answer):
        return REPETITION
    said = words(answer).split()
    if _echoes(said, example):
        return PROMPT_ECHO
    return OTHER_LANGUAGE if _foreign_letters(answer) or _foreign_words(said) else ""


def _stretches(units: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    return zip(*(islice(units, start, None) for start in range(length)), strict=False)


def _repeats(answer: str) -> bool:
    units = _UNITS.findall(answer.casefold()) or list("".join(answer.split()))
    if len(units) < _FEWEST_UNITS:
        return False
    every = len(units) - _STRETCH_LOOP + 1
    return 1 - len(set(_stretches(units, _STRETCH_LOOP))) / every >= _LOOPED_SHARE


def _echoes(said: Sequence[str], example: Example) -> bool:
    own = set(_stretches(said, _STRETCH_ECHO))
    if not own:
        return False
    given = [*example.inputs.values(), *(document.text for document in example.documents)]
    echoed = {stretch for text in given for stretch in _stretches(words(text).split(), _STRETCH_ECHO) if stretch in own}
    covered = end = 0
    for start, stretch in enumerate(_stretches(said, _STRETCH_ECHO)):
        if stretch in echoed:
            covered += start + _STRETCH_ECHO - max(start, end)
            end = start + _STRETCH_ECHO
    return covered >= _ECHOED_SHARE * len(said)


def _foreign_letters(answer: str) -> bool:
    letters = len(_LETTERS.findall(answer))
    return letters >= _FEWEST_LETTERS and 2 * len(_LATIN.findall(answer)) < letters


def _foreign_words(said: Sequence[str]) -> bool:
    if len(said) < _FEWEST_WORDS:
        return False
    english = sum(word in _ENGLISH for word in said)
    for language in _OTHERS:
        found = [word for word in said if word in language]
        if len(set(found)) >= _FEWEST_FOREIGN and len(found) >= _FOREIGN_SHARE * len(said) and len(found) > english:
            return True
    return False
