"""Open-vocabulary concept F1 as a module of the `evaluate` library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medeval_assets.metrics.concept_f1 import CONCEPTS
from medeval_assets.metrics.metric import CORRECTED
from medeval_assets.metrics.modules._metric_module import MetricModule, module_info, responses, values

_DESCRIPTION = """
Agreement of the phrases of a text with those of a reference, averaged over predictions; range 0 to 1.

phrase_precision: share of the prediction's phrases that are in the reference; phrase_recall: share of the reference's
phrases that are in the prediction; phrase_f1: 2·|both| / (|prediction's| + |reference's|). A phrase is a run of words
between function words and punctuation (a candidate keyword of RAKE), in lower case and singular, and counts once. No
knowledge base is asked, so synonyms do not agree, and words that are not medical count as well: umls_f1 is another
metric.

Of several references the best one counts, for each metric by itself. A prediction counts nothing where no reference
holds a phrase. One without any visible character counts 0, as one that could not be read.
"""
_INPUTS = """    predictions (list of str): texts.
    references (list of str, or of lists of str): one reference text or several for each prediction.
"""
_EXAMPLE = """
    >>> import evaluate
    >>> concepts = evaluate.load("medeval_assets/metrics/modules/concept_f1.py")
    >>> result = concepts.compute(
    ...     predictions=["Chest pain, high fever and a cough."], references=["high fevers with chest pain"]
    ... )
    >>> round(result["phrase_precision"], 4), result["phrase_recall"], result["phrase_f1"]
    (0.6667, 1.0, 0.8)
"""
_CITATION = """
@incollection{rose2010automatic,
    title = "Automatic Keyword Extraction from Individual Documents",
    author = "Rose, Stuart and Engel, Dave and Cramer, Nick and Cowley, Wendy",
    booktitle = "Text Mining: Applications and Theory",
    year = "2010",
    pages = "1--20"
}
"""


class ConceptF1(MetricModule):
    """Precision, recall and F1 of phrases; `inputs_description` has the details."""

    def _info(self) -> Any:
        return module_info(_DESCRIPTION, _INPUTS, _EXAMPLE, _CITATION)

    def _compute(
        self, *, predictions: Sequence[str], references: Sequence[Sequence[str]], profile: str = CORRECTED
    ) -> dict[str, float | None]:
        return values(CONCEPTS, profile, responses(predictions, references))
