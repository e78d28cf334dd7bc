"""Entity F1 as a module of the `evaluate` library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medeval_assets.metrics.entity_f1 import ENTITY_F1
from medeval_assets.metrics.metric import CORRECTED
from medeval_assets.metrics.modules._metric_module import MetricModule, module_info, responses, values

_DESCRIPTION = """
Agreement of the mentions that an answer lists with the annotated ones, each counted as often as it occurs; range 0 to
1. With tp mentions in both lists, fp only in the answer and fn only among the annotated:

entity_f1 = 2·tp / (2·tp + fp + fn), entity_precision = tp / (tp + fp), entity_recall = tp / (tp + fn).

Mentions agree when they are the same but for case, white space and closing punctuation; under names that contain
`_overlap` when they share a word that is no function word, matched one to one so that as many as possible agree. The
counts are summed over all predictions (micro average); under names that end in `_macro` the ratio is made for each
prediction and averaged.

An answer lists one mention a line, or several between commas or semicolons, or in a JSON list; "none" is an empty list.
Micro: a prediction that adds nothing to a denominator says nothing. Macro: an empty list is right, 1, where nothing is
annotated, and 0 elsewhere. An answer without any visible character finds nothing, and could not be read.
"""
_INPUTS = """    predictions (list of str): answers.
    references (list of lists of str): the annotated mentions, repeats kept; may be empty. A string is one mention.
"""
_EXAMPLE = """
    >>> import evaluate
    >>> entities = evaluate.load("medeval_assets/metrics/modules/entity_f1.py")
    >>> result = entities.compute(predictions=["Gout, breast cancer", "none"], references=[["gout", "cancer"], []])
    >>> result["entity_f1"], result["entity_f1_overlap"], result["entity_f1_macro"]
    (0.5, 1.0, 0.75)
"""


class EntityF1(MetricModule):
    """Precision, recall and F1 of mentions; `inputs_description` has the details."""

    def _info(self) -> Any:
        return module_info(_DESCRIPTION, _INPUTS, _EXAMPLE, "")

    def _compute(
        self, *, predictions: Sequence[str], references: Sequence[Sequence[str]], profile: str = CORRECTED
    ) -> dict[str, float | None]:
        return values(ENTITY_F1, profile, responses(predictions, references))
