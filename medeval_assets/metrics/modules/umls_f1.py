"""UMLS F1 as a module of the `evaluate` library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medeval_assets.errors import BadInput, Problem
from medeval_assets.metrics.clue_text import text_ladders
from medeval_assets.metrics.metric import CORRECTED
from medeval_assets.metrics.modules._metric_module import MetricModule, module_info, responses, values
from medeval_assets.metrics.umls_f1 import umls_metrics

_DESCRIPTION = """
Agreement of the UMLS concepts that a text names with those of a reference, averaged over predictions; range 0 to 1.

umls_precision: share of the prediction's concepts that are in the reference; umls_recall: share of the reference's
concepts that are in the prediction; umls_f1: their harmonic mean. A text's concepts are the canonical names of its
mentions' first candidates, by scispaCy's pipeline and linker (k = 30, threshold 0.7); each counts once. The knowledge
base needs a licence of its own; concept_f1 is another metric that does without.

Of several references the best one counts, for each value by itself. A prediction counts nothing where no reference
names a concept. One without any visible character counts 0, as one that could not be read; one that names no concept
just counts 0.
"""
_INPUTS = """    predictions (list of str): texts.
    references (list of str, or of lists of str): one reference text or several for each prediction.
    home (str): the folder whose subfolder `umls` holds the knowledge base as scispaCy publishes it (*.jsonl), its index
        or none, and the pipeline where it is not installed.
    task (str): "problem_summary" or "medisumqa", for the CLUE benchmark's rules of that task in the profile
        "clue-2024-06" and those on the way to it.
"""
_EXAMPLE = """
    >>> import evaluate
    >>> umls = evaluate.load("medeval_assets/metrics/modules/umls_f1.py")
    >>> result = umls.compute(predictions=["heart attack", ""], references=["heart attack"] * 2, home=".medeval")
    >>> result["umls_f1"], result["umls_f1_failure_rate"]
    (0.5, 0.5)
"""
_CITATION = """
@inproceedings{neumann-2019-scispacy,
    title = "{ScispaCy}: Fast and Robust Models for Biomedical Natural Language Processing",
    author = "Neumann, Mark and King, Daniel and Beltagy, Iz and Ammar, Waleed",
    booktitle = "Proceedings of the 18th BioNLP Workshop and Shared Task",
    year = "2019",
    pages = "319--327"
}
"""


class UmlsF1(MetricModule):
    """Precision, recall and F1 of UMLS concepts; `inputs_description` has the details."""

    def _info(self) -> Any:
        return module_info(_DESCRIPTION, _INPUTS, _EXAMPLE, _CITATION)

    def _compute(
        self,
        *,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        home: str,
        profile: str = CORRECTED,
        task: str = "",
    ) -> dict[str, float | None]:
        metrics = umls_metrics(Path(home).absolute())
        if not metrics:
            what = "there is no knowledge base, or scispaCy is not installed"
            raise BadInput([Problem("umls/", what, "Install scispaCy, and put the knowledge base there.")])
        return values((*metrics, *text_ladders(metrics, task)), profile, responses(predictions, references))
