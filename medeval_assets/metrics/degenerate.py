"""Degenerate outputs: how often is an answer no attempt at the task?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medeval_assets.metrics.metric import CORRECTED, Metric, Response, Score
from medeval_assets.parsers.degenerate import degenerate_kind


@dataclass(frozen=True)
class DegenerateOutputs:
    """Share of answers that are empty, a loop, the prompt again, chat markup or in another language, range [0, 1].

    Lower is better. 1 for a degenerate answer, else 0; the rule is the kind (see `degenerate_kind`), "" where there is
    none, so that the rules of a cell's scores are its counts by kind. There is no failure: every answer can be judged.
    """

    name: str = "degenerate"
    title: str = "Degenerate outputs"
    profile: str = CORRECTED
    reads_likelihood: bool = False

    def scores(self, responses: Sequence[Response]) -> list[Score | None]:
        kinds = (degenerate_kind(response.text, response.example) for response in responses)
        return [Score(float(bool(kind)), rule=kind) for kind in kinds]


DEGENERATE: Metric = DegenerateOutputs()
