"""Accuracy of answers that are one of given options: read strictly, read leniently, or judged by likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from medeval_assets.metrics.metric import CORRECTED, Metric, Response, Score
from medeval_assets.parsers import choice, label
from medeval_assets.parsers.parsed import Parsed

NOT_A_NUMBER = "not_a_number"


@dataclass(frozen=True)
class Accuracy:
    """Share of examples whose parsed answer is the target: 0 or 1 an example, range [0, 1].

    An answer that cannot be read scores 0 and carries the parser's failure, so that it can be told from a wrong one.
    parse: (text, options) → the option's label.
    """

    name: str
    title: str
    parse: Callable[[str, Mapping[str, str]], Parsed[str]]
    profile: str = CORRECTED
    reads_likelihood: bool = False

    def scores(self, responses: Sequence[Response]) -> list[Score | None]:
        return [self._score(response) for response in responses]

    def _score(self, response: Response) -> Score:
        parsed = self.parse(response.text, response.example.options)
        right = parsed.value is not None and parsed.value in response.example.targets
        return Score(float(right), rule=parsed.rule, failure=parsed.failure)


@dataclass(frozen=True)
class LikelihoodAccuracy:
    """Share of examples whose most likely option is the target, range [0, 1]; the text is not read.

    The likelihood of an option is the summed log-probability of its answer's tokens after the prompt. Exactly tied
    options share the point: the score is 1/k where the target is among the k most likely ones, else 0. Taking the first
    instead would favour the label A in a model that tells nothing apart. A log-probability that is not a number
    scores 0 with the failure "not_a_number".
    """

    name: str
    title: str
    profile: str = CORRECTED
    reads_likelihood: bool = True

    def scores(self, responses: Sequence[Response]) -> list[Score | None]:
        return [self._score(response) if response.option_logprobs else None for response in responses]

    def _score(self, response: Response) -> Score:
        if any(math.isnan(value) for value in response.option_logprobs):
            return Score(0.0, failure=NOT_A_NUMBER)
        best = max(response.option_logprobs)
        likeliest = [
            option
            for option, value in zip(response.example.options, response.option_logprobs, strict=True)
            if value == best
        ]
        right = sum(option in response.example.targets for option in likeliest)
        return Score(right / len(likeliest), rule="likeliest")


_LIKELIHOOD = LikelihoodAccuracy("accuracy_likelihood", "Accuracy (likelihood)")

CHOICE: tuple[Metric, ...] = (
    Accuracy("accuracy_lenient", "Accuracy (lenient)", choice.lenient),
    Accuracy("accuracy_strict", "Accuracy (strict)", choice.strict),
    _LIKELIHOOD,
)

LABEL: tuple[Metric, ...] = (
    Accuracy("accuracy_lenient", "Accuracy (lenient)", label.lenient),
    Accuracy("accuracy_strict", "Accuracy (strict)", label.strict),
    _LIKELIHOOD,
)
