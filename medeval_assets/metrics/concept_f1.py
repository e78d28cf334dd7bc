"""Open-vocabulary concept F1: do an answer and its reference speak of the same things, knowledge base or none?"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from medeval_assets.metrics.metric import CORRECTED, Metric, Response, Score
from medeval_assets.parsers.answer_text import plain
from medeval_assets.parsers.parsed import EMPTY
from medeval_assets.parsers.phrases import phrases

Measure = Callable[[Set[str], Set[str]], float]


def precision(said: Set[str], meant: Set[str]) -> float:
    """Share of the concepts in the answer that are in the reference, |both| / |said|; 0 where nothing is said."""
    return len(said & meant) / len(said) if said else 0.0


def recall(said: Set[str], meant: Set[str]) -> float:
    """Share of the concepts in the reference that are in the answer, |both| / |meant|; 0 where nothing is meant."""
    return precision(meant, said)


def f1(said: Set[str], meant: Set[str]) -> float:
    """Harmonic mean of precision p and recall r, 2·p·r / (p + r); 0 where both are."""
    p, r = precision(said, meant), recall(said, meant)
    return 2 * p * r / (p + r) if p + r else 0.0


@dataclass(frozen=True)
class PhraseMetric:
    """The mean over examples of the agreement of two sets of phrases, range [0, 1].

    A phrase is what RAKE calls a candidate keyword (see `phrases`); two are one concept only when they are the same
    words. Of several references the best one counts. An answer without any visible character scores 0 with the failure
    "empty". An example whose reference holds no phrase says nothing (denominator 0), whatever the answer: so the
    examples that count are the same for every model.

    This is no substitute for the UMLS metrics and shares no name with them: it knows no synonyms, and every noun
    counts, not only medical ones.
    """

    name: str
    title: str
    measure: Measure
    profile: str = CORRECTED
    reads_likelihood: bool = False

    def scores(self, responses: Sequence[Response]) -> list[Score | None]:
        return [self._score(response) for response in responses]

    def _score(self, response: Response) -> Score:
        failure = "" if plain(response.text) else EMPTY
        meant = [found for found in map(phrases, response.example.targets) if found]
        if not meant:
            return Score(0.0, 0.0, failure=failure, perfect=0.0)
        said = phrases(response.text)
        return Score(max(self.measure(said, found) for found in meant), failure=failure)


CONCEPTS: tuple[Metric, ...] = (
    PhraseMetric("phrase_f1", "Open-vocabulary concept F1", f1),
    PhraseMetric("phrase_precision", "Open-vocabulary concept precision", precision),
    PhraseMetric("phrase_recall", "Open-vocabulary concept recall", recall),
)
