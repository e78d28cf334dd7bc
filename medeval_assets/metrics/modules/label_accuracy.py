"""Label accuracy as a module of the `evaluate` library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medeval_assets.metrics.accuracy import LABEL
from medeval_assets.metrics.clue_accuracy import MEDNLI
from medeval_assets.metrics.metric import CORRECTED
from medeval_assets.metrics.modules._metric_module import MetricModule, module_info, values
from medeval_assets.metrics.modules._option_responses import option_responses

_DESCRIPTION = """
Share of texts that are given the right label, such as entailment, contradiction or neutral, read in three ways; range 0
to 1.

accuracy_strict: the whole answer is the label, in any case, with punctuation or emphasis around it at most.
accuracy_lenient: the one label that the answer gives, by the first rule that applies: the label alone, on the first
    line, stated ("the relation is neutral"), the only one that occurs, or a synonym ("is entailed"). A negated label
    does not count. An answer that gives several labels is ambiguous.
accuracy_likelihood: the label with the highest log-probability; the answer is not read. k labels with exactly the same
    one share the point: 1/k. A log-probability that is not a number counts 0, as one that could not be read.

Answers that are empty, ambiguous or hold no label count 0, as ones that could not be read. In the profile
"clue-2024-06", as in the CLUE benchmark, an answer is right when the right label occurs in it exactly once, and the
first prediction counts twice.
"""
_INPUTS = """    predictions (list of str): answers.
    references (list of str, or of lists of str): the right label, or all that are right.
    labels (list of str): the labels to choose from.
    option_logprobs (list of lists of float): log-probability (nats) of each label after the prompt, in the order of the
        labels. Without them there is no accuracy_likelihood; None for a prediction leaves it out there.
    Further profiles: "clue-2024-06", and "clue-2024-06.cut" and "clue-2024-06.occurs_once" on the way to it.
"""
_EXAMPLE = """
    >>> import evaluate
    >>> accuracy = evaluate.load("medeval_assets/metrics/modules/label_accuracy.py")
    >>> given = {
    ...     "predictions": ["Neutral.", "entailment, contradiction or neutral", "It is entailed.", "neutral"],
    ...     "references": ["neutral", "neutral", "entailment", "contradiction"],
    ...     "labels": ["entailment", "contradiction", "neutral"],
    ... }
    >>> result = accuracy.compute(**given)
    >>> result["accuracy_strict"], result["accuracy_lenient"], result["accuracy_lenient_failure_rate"]
    (0.25, 0.5, 0.25)
    >>> accuracy.compute(**given, profile="clue-2024-06")
    {'accuracy_lenient': 0.6, 'accuracy_lenient_failure_rate': 0.0}
"""


class LabelAccuracy(MetricModule):
    """Accuracy over a few labels; `inputs_description` has the details."""

    def _info(self) -> Any:
        return module_info(_DESCRIPTION, _INPUTS, _EXAMPLE, "")

    def _compute(
        self,
        *,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        labels: Sequence[str],
        option_logprobs: Any = None,
        profile: str = CORRECTED,
    ) -> dict[str, float | None]:
        options = {label: label for label in labels}
        return values((*LABEL, *MEDNLI), profile, option_responses(predictions, references, options, option_logprobs))
