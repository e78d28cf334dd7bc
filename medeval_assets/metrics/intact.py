"""Intact outputs: how often is an answer an attempt at the task at all?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medeval_assets.metrics.metric import CORRECTED, Metric, Response, Score
from medeval_assets.parsers.degenerate import degenerate_kind


@dataclass(frozen=True)
class IntactOutputs:
    """Share of answers that are not degenerate: empty, a loop, the prompt again, chat markup or in another language.

    Range [0, 1]; like every metric it is better when it is higher, so that a comparison reads the same way. 0 for a
    degenerate answer, else 1; the rule is the kind (see `degenerate_kind`), "" where there is none, so that the rules
    of a cell's scores are its counts by kind. There is no failure: every answer can be judged.
    """

    name: str = "intact"
    title: str = "Intact outputs"
    profile: str = CORRECTED
    reads_likelihood: bool = False

    def scores(self, responses: Sequence[Response]) -> list[Score | None]:
        kinds = (degenerate_kind(response.text, response.example) for response in responses)
        return [Score(float(not kind), rule=kind) for kind in kinds]


INTACT: Metric = IntactOutputs()
