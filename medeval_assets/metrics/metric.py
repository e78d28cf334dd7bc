"""What a metric is: it turns responses into scores, one a name and example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from medeval_assets.catalog.task_spec import Example

CORRECTED = "corrected"
CLUE = "clue-2024-06"


@dataclass(frozen=True)
class Response:
    """What is scored: an example beside what a model returned for it.

    option_logprobs: summed log-probability (nats) of each option's answer after the prompt, in the order of
        `example.options`; empty where the engine gave none (generations from elsewhere).
    finish_reason: "stop", or "length" where the answer was cut at the most tokens it may have.
    """

    example: Example
    text: str
    option_logprobs: tuple[float, ...] = ()
    finish_reason: str = "stop"


@dataclass(frozen=True)
class Score:
    """One metric's value for one example, as a fraction.

    Every metric is a ratio of sums: the table's value is sum(numerator) / sum(denominator). A mean has denominator 1;
    a micro-averaged F1 has numerator 2·tp and denominator 2·tp + fp + fn. Denominator 0: the example says nothing here.
    rule: the parse rule that read the answer ("" where nothing is parsed).
    failure: "" or why the answer could not be read ("empty", "no_match", "ambiguous", …): kept apart from being wrong.
    perfect: what a right answer would add to numerator and denominator alike: 1 for a mean, 2·(mentions annotated) for
        a micro-averaged F1. The bounds of a metric over unreadable answers are made of it.
    """

    numerator: float
    denominator: float = 1.0
    rule: str = ""
    failure: str = ""
    perfect: float = 1.0


class Metric(Protocol):
    """One metric of a task.

    name: the column's key, a slug such as `accuracy_lenient`.
    title: what people read.
    profile: the set of scoring rules it belongs to: `corrected`, `clue-2024-06`, or `clue-2024-06.<rule>` for the
        steps that lead from the first to the second, each with one rule more. A metric has one name in all of them.
    reads_likelihood: True when it is computed from option log-likelihoods and not from text.
    """

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def profile(self) -> str: ...
    @property
    def reads_likelihood(self) -> bool: ...

    def scores(self, responses: Sequence[Response]) -> list[Score | None]:
        """One score for each response, in order; None where this metric does not apply (no likelihoods were given)."""
        ...
