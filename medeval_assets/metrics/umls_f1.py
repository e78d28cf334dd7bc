"""UMLS F1: do an answer and its reference name the same concepts of a knowledge base?"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from medeval_assets.metrics.concept_f1 import Measure, f1, precision, recall
from medeval_assets.metrics.metric import CORRECTED, Metric, Response, Score
from medeval_assets.metrics.umls_folder import UmlsFolder, umls_folder
from medeval_assets.metrics.umls_linker import UmlsLinker
from medeval_assets.parsers.answer_text import plain
from medeval_assets.parsers.parsed import EMPTY

_REMEMBERED = 100_000


@dataclass(frozen=True)
class UmlsMetric:
    """The mean over examples of the agreement of two sets of UMLS concepts, range [0, 1].

    A text's concepts are the canonical names of its mentions' first candidates, by scispaCy's pipeline and linker
    (Neumann et al. 2019, "ScispaCy", arXiv 1902.07669) with k = 30 and a threshold of 0.7. The CLUE benchmark's UMLS
    F1 is made so as well. Of several references the best one counts. An answer without any visible character scores 0
    with the failure "empty"; one without a concept just scores 0.

    An example whose reference names no concept says nothing (denominator 0), whatever the answer: no answer could be
    right about it, and the examples that count are the same for every model. The benchmark counts it as 0.

    resolve_abbreviations: a short form is looked up by the long form that the same text gives it. The benchmark asks
    for that, but its pipeline lacks the step that finds them, so that nothing is resolved there.
    """

    name: str
    title: str
    measure: Measure
    umls: UmlsFolder
    resolve_abbreviations: bool = True
    profile: str = CORRECTED
    reads_likelihood: bool = False

    def scores(self, responses: Sequence[Response]) -> list[Score | None]:
        """Loads the linker when first asked; raises BadInput where it cannot be."""
        concepts = _concepts(self.umls, tuple(sorted(self.umls.identity().items())))
        return [self._score(response, concepts) for response in responses]

    def _score(self, response: Response, concepts: Concepts) -> Score:
        failure = "" if plain(response.text) else EMPTY
        named = (concepts.of(target, self.resolve_abbreviations) for target in response.example.targets)
        meant = [found for found in named if found]
        if not meant:
            return Score(0.0, 0.0, failure=failure, perfect=0.0)
        said = concepts.of(response.text, self.resolve_abbreviations)
        return Score(max(self.measure(said, found) for found in meant), failure=failure)


def umls_metrics(home: Path) -> tuple[Metric, ...]:
    """F1, precision and recall with the knowledge base in `<home>/umls`; none where scispaCy or it is not there.

    Nothing is loaded before the first of them is asked for scores. Raises BadInput where the folder is incomplete.
    """
    umls = umls_folder(home)
    if umls is None:
        return ()
    return (
        UmlsMetric("umls_f1", "UMLS F1", f1, umls),
        UmlsMetric("umls_precision", "UMLS precision", precision, umls),
        UmlsMetric("umls_recall", "UMLS recall", recall, umls),
    )


def umls_identity(home: Path) -> Mapping[str, str]:
    """What the scores of `umls_metrics` depend on beside the texts (see `UmlsFolder.identity`); empty without them."""
    umls = umls_folder(home)
    return {} if umls is None else umls.identity()


def without_abbreviations(metric: Metric) -> Metric:
    """A UMLS metric that resolves no abbreviation, as in the benchmark; any other metric as it is."""
    return replace(metric, resolve_abbreviations=False) if isinstance(metric, UmlsMetric) else metric


class Concepts:
    """The concepts of texts, remembered: three metrics ask for the same ones, and every model has the same references.

    Texts are remembered by their hash, the last 100,000.
    """

    def __init__(self, linker: UmlsLinker) -> None:
        self._linker = linker
        self._known: OrderedDict[tuple[bytes, bool], frozenset[str]] = OrderedDict()

    def of(self, text: str, resolve_abbreviations: bool) -> frozenset[str]:
        """See `UmlsLinker.concepts`."""
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), resolve_abbreviations
        if key not in self._known:
            self._known[key] = self._linker.concepts(text, resolve_abbreviations=resolve_abbreviations)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return self._known[key]


@lru_cache(maxsize=1)
def _concepts(umls: UmlsFolder, identity: tuple[tuple[str, str], ...]) -> Concepts:
    """The ones of a folder with these files. They stay in the process: the next model finds its references linked."""
    return Concepts(UmlsLinker(umls))
