"""ROUGE: overlap of an answer with a reference text in words, word pairs, or their longest common subsequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from rouge_score_rs import RougeScorer

from medeval_assets.metrics.metric import CORRECTED, Metric, Response, Score
from medeval_assets.parsers.parsed import EMPTY


@dataclass(frozen=True)
class Rouge:
    """F1 of one ROUGE type (Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries"), range [0, 1].

    The table's value is the mean over examples. Tokens are runs of `[a-z0-9]` in the lower-cased text; no stemmer; the
    same numbers to the last bit as `rouge-score` 0.1.2. Of several references the best one counts. An answer without
    any visible character scores 0 with the failure "empty"; one that shares nothing with the reference just scores 0.
    name: also the type's name in the library: "rouge1", "rouge2", "rougeL".
    """

    name: str
    title: str
    profile: str = CORRECTED
    reads_likelihood: bool = False

    def scores(self, responses: Sequence[Response]) -> list[Score | None]:
        pairs = [(target, response.text) for response in responses for target in response.example.targets]
        scorer: Any = cast(Any, RougeScorer)([self.name])  # the package says that it is typed, and is not
        scored = scorer.score_batch([pair[0] for pair in pairs], [pair[1] for pair in pairs])
        values = iter(float(score[self.name].fmeasure) for score in scored)
        return [
            Score(
                max((next(values) for _ in response.example.targets), default=0.0),
                failure="" if response.text.strip() else EMPTY,
            )
            for response in responses
        ]


ROUGE: tuple[Metric, ...] = (
    Rouge("rougeL", "ROUGE-L"),
    Rouge("rouge1", "ROUGE-1"),
    Rouge("rouge2", "ROUGE-2"),
)
