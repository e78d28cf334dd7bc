"""Choice accuracy as a module of the `evaluate` library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medeval_assets.metrics.accuracy import CHOICE
from medeval_assets.metrics.clue_accuracy import LONGHEALTH
from medeval_assets.metrics.metric import CORRECTED
from medeval_assets.metrics.modules._metric_module import MetricModule, module_info, values
from medeval_assets.metrics.modules._option_responses import option_responses

_DESCRIPTION = """
Share of questions with lettered options that are answered right, read in three ways; range 0 to 1.

accuracy_strict: the whole answer is the letter, with punctuation or brackets around it at most.
accuracy_lenient: the one option that the answer gives, by the first rule of a cascade that applies: the letter alone,
    "the answer is B", an option's text, and so on. A letter in "vitamin B" or in "not B" does not count. An answer that
    gives several options is ambiguous.
accuracy_likelihood: the option with the highest log-probability; the answer is not read. k options with exactly the
    same one share the point: 1/k. A log-probability that is not a number counts 0, as one that could not be read.

Answers that are empty, ambiguous or hold no option count 0, as ones that could not be read. In the profile
"clue-2024-06", as in the CLUE benchmark, the letter is read from "The correct answer is B:" alone, and the right letter
is that of the last option that contains the right one's text.
"""
_INPUTS = """    predictions (list of str): answers.
    references (list of str, or of lists of str): the label of the right option, or of all that are right.
    options (dict, or list of dict): label → text, in the order shown; for all, or one for each prediction.
    option_logprobs (list of lists of float): log-probability (nats) of each option after the prompt, in the order of
        the options. Without them there is no accuracy_likelihood; None for a prediction leaves it out there.
    task (str): "longhealth_1", "longhealth_2" or "longhealth_3", for the rules of that task in the profile
        "clue-2024-06" and, where the task has them, "clue-2024-06.cut" and "clue-2024-06.fixed_phrase" on its way.
"""
_EXAMPLE = """
    >>> import evaluate
    >>> accuracy = evaluate.load("medeval_assets/metrics/modules/choice_accuracy.py")
    >>> options = {"A": "Gout", "B": "Asthma"}
    >>> answers = ["B", "The answer is (B).", "Gout or asthma", "A"]
    >>> result = accuracy.compute(predictions=answers, references=["B", "B", "A", "B"], options=options)
    >>> result["accuracy_strict"], result["accuracy_strict_failure_rate"]
    (0.25, 0.5)
    >>> result["accuracy_lenient"], result["accuracy_lenient_failure_rate"]
    (0.5, 0.25)
    >>> accuracy.compute(
    ...     predictions=["", ""], references=["A", "B"], options=options, option_logprobs=[[-1.0, -2.0], [-3.0, -3.0]]
    ... )["accuracy_likelihood"]
    0.75
"""


class ChoiceAccuracy(MetricModule):
    """Accuracy over lettered options; `inputs_description` has the details."""

    def _info(self) -> Any:
        return module_info(_DESCRIPTION, _INPUTS, _EXAMPLE, "")

    def _compute(
        self,
        *,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        options: Any,
        option_logprobs: Any = None,
        profile: str = CORRECTED,
        task: str = "",
    ) -> dict[str, float | None]:
        ladders = {f"longhealth_{number}": rungs for number, rungs in LONGHEALTH.items()}
        answers = option_responses(predictions, references, options, option_logprobs)
        return values((*CHOICE, *ladders.get(task, ())), profile, answers)
