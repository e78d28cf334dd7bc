"""Entity F1: do the mentions in an answer agree with the annotated ones?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from medeval_assets.metrics.metric import CORRECTED, Metric, Response, Score
from medeval_assets.parsers import entities

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


def counts(found: Sequence[str], annotated: Sequence[str]) -> Counts:
    """Match two multisets of mentions by their normalised text: a mention that occurs twice has to be found twice."""
    left = Counter(map(normalised, found))
    right = Counter(map(normalised, annotated))
    both = (left & right).total()
    return Counts(both, left.total() - both, right.total() - both)


@dataclass(frozen=True)
class EntityMetric:
    """A micro-averaged ratio of mention counts over all examples, range [0, 1].

    ratio: the counts of one example → (numerator, denominator). An example that adds nothing to the denominator says
    nothing about the metric. An empty answer finds nothing and carries the failure "empty"; "none" is a valid answer.
    """

    name: str
    title: str
    ratio: Callable[[Counts], tuple[int, int]]
    profile: str = CORRECTED
    reads_likelihood: bool = False

    def scores(self, responses: Sequence[Response]) -> list[Score | None]:
        return [self._score(response) for response in responses]

    def _score(self, response: Response) -> Score:
        parsed = entities.mentions(response.text)
        numerator, denominator = self.ratio(counts(parsed.value or (), response.example.targets))
        return Score(numerator, denominator, rule=parsed.rule, failure=parsed.failure)


def _f1(counts: Counts) -> tuple[int, int]:
    return 2 * counts.true_positives, 2 * counts.true_positives + counts.false_positives + counts.false_negatives


def _precision(counts: Counts) -> tuple[int, int]:
    return counts.true_positives, counts.true_positives + counts.false_positives


def _recall(counts: Counts) -> tuple[int, int]:
    return counts.true_positives, counts.true_positives + counts.false_negatives


ENTITY_F1: tuple[Metric, ...] = (
    EntityMetric("entity_f1", "Entity F1", _f1),
    EntityMetric("entity_precision", "Entity precision", _precision),
    EntityMetric("entity_recall", "Entity recall", _recall),
)
