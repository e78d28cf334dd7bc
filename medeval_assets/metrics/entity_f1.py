"""Entity F1: do the mentions in an answer agree with the annotated ones?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from medeval_assets.metrics.metric import CORRECTED, Metric, Response, Score
from medeval_assets.metrics.pairing import most_pairs
from medeval_assets.parsers import entities
from medeval_assets.parsers.parsed import Parsed
from medeval_assets.parsers.phrases import FUNCTION_WORDS

_WORD = re.compile(r"[^\W_]+")
_SPACE_AT_PUNCTUATION = re.compile(r"\s*([^\w\s])\s*")


def normalised(mention: str) -> str:
    """A mention without differences of case, white space, spaces beside punctuation, and closing punctuation.

    "HLA - B27," is "hla-b27". Annotators, too, have left a comma at the end of a mention.
    """
    return " ".join(_SPACE_AT_PUNCTUATION.sub(r"\1", mention.casefold()).split()).rstrip(".,;:")


@dataclass(frozen=True)
class Counts:
    """Mentions found and annotated (true positives), only found (false positives), only annotated (false negatives)."""

    true_positives: int
    false_positives: int
    false_negatives: int


Mentions = tuple[str, ...]
Match = Callable[[Sequence[str], Sequence[str]], Counts]


def counts(found: Sequence[str], annotated: Sequence[str]) -> Counts:
    """Match two multisets of mentions by their normalised text: a mention that occurs twice has to be found twice."""
    left = Counter(map(normalised, found))
    right = Counter(map(normalised, annotated))
    both = (left & right).total()
    return Counts(both, left.total() - both, right.total() - both)


def overlap_counts(found: Sequence[str], annotated: Sequence[str]) -> Counts:
    """Match mentions one to one where they share a word, as many as can be ("breast cancer" and "breast").

    Words are compared as `normalised`; function words and single characters bind nothing ("cancer of the breast",
    "hepatitis C"), except in mentions made of nothing else ("AT"). Answers hold mentions and not their places, so a
    shared word stands for overlapping spans.
    """
    pairs = most_pairs(list(map(_binding_words, found)), list(map(_binding_words, annotated)))
    return Counts(pairs, len(found) - pairs, len(annotated) - pairs)


def _binding_words(mention: str) -> frozenset[str]:
    whole = normalised(mention)
    words = frozenset(_WORD.findall(whole))
    binding = frozenset(word for word in words if len(word) > 1 and word not in FUNCTION_WORDS)
    return binding or words or frozenset({whole})


@dataclass(frozen=True)
class Weights:
    """What counts are worth: the ratio is hit·tp / (hit·tp + extra·fp + missed·fn)."""

    hit: int
    extra: int
    missed: int


F1 = Weights(2, 1, 1)
PRECISION = Weights(1, 1, 0)
RECALL = Weights(1, 0, 1)


@dataclass(frozen=True)
class EntityMetric:
    """A ratio of mention counts, range [0, 1]: over all examples together (micro), or its mean over them (macro).

    An empty answer finds nothing and carries the failure "empty"; "none" is a valid answer.

    Micro: an example that adds nothing to the denominator says nothing: for precision one in which nothing is found,
    for recall one without annotated mentions, for F1 where both hold.
    Macro: where nothing is annotated and the answer says so, it is right: 1 for all three. Where only one side is
    empty, all three are 0, also the one whose own denominator is empty. An empty answer is 0 as well.

    match: (found, annotated) mentions → their counts: `counts` (exact) or `overlap_counts`.
    """

    name: str
    title: str
    match: Match
    weights: Weights
    macro: bool = False
    profile: str = CORRECTED
    reads_likelihood: bool = False

    def scores(self, responses: Sequence[Response]) -> list[Score | None]:
        answers = tuple((response.text, response.example.targets) for response in responses)
        return [self._score(*matched) for matched in zip(responses, _matched(self.match, answers), strict=True)]

    def _score(self, response: Response, read: tuple[Parsed[Mentions], Counts]) -> Score:
        (parsed, matched), weights = read, self.weights
        found, annotated = parsed.value or (), response.example.targets
        hits = weights.hit * matched.true_positives
        total = hits + weights.extra * matched.false_positives + weights.missed * matched.false_negatives
        if not self.macro:
            perfect = weights.hit * len(annotated)
            return Score(hits, total, rule=parsed.rule, failure=parsed.failure, perfect=perfect)
        rightly_none = not (found or annotated or parsed.failure)
        value = 1.0 if rightly_none else hits / total if total else 0.0
        return Score(value, rule=parsed.rule, failure=parsed.failure)


@lru_cache(maxsize=2)
def _matched(match: Match, answers: tuple[tuple[str, tuple[str, ...]], ...]) -> list[tuple[Parsed[Mentions], Counts]]:
    """Each (answer, annotated mentions) read and matched.

    Kept for both ways to match, as six metrics ask each of them about the same answers.
    """
    read = [(entities.mentions(text), annotated) for text, annotated in answers]
    return [(parsed, match(parsed.value or (), annotated)) for parsed, annotated in read]


ENTITY_F1: tuple[Metric, ...] = tuple(
    EntityMetric(f"entity_{name}{suffix}", f"Entity {title}{remark}", match, weights, macro)
    for suffix, remark, match, macro in (
        ("", "", counts, False),
        ("_overlap", ", overlapping", overlap_counts, False),
        ("_macro", ", macro", counts, True),
        ("_overlap_macro", ", overlapping, macro", overlap_counts, True),
    )
    for name, title, weights in (("f1", "F1", F1), ("precision", "precision", PRECISION), ("recall", "recall", RECALL))
)
