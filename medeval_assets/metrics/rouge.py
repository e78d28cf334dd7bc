"""ROUGE: overlap of an answer with a reference text in words, word pairs, or their longest common subsequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, cast

from rouge_score_rs import RougeScorer

from medeval_assets.metrics.metric import CORRECTED, Metric, Response, Score
from medeval_assets.parsers.answer_text import plain
from medeval_assets.parsers.parsed import EMPTY

_TYPES = ("rougeL", "rouge1", "rouge2")
_SCORER: Any = cast(Any, RougeScorer)(_TYPES)  # the package says that it is typed, and is not


@dataclass(frozen=True)
class Rouge:
    """F1 of one ROUGE type (Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries"), range [0, 1].

    With the tokens (rouge1), pairs of neighbouring tokens (rouge2) or the longest common subsequence of tokens (rougeL)
    that both share counted as `common`: precision p = common / answer's count, recall r = common / reference's count,
    F1 = 2·p·r / (p + r). Tokens are runs of `[a-z0-9]` in the lower-cased text; no stemmer; the same numbers to the
    last bit as `rouge-score` 0.1.2. The table's value is the mean over examples.

    Of several references the best one counts. An answer without any visible character scores 0 with the failure
    "empty"; one that shares nothing with the reference just scores 0. Lone surrogates and control characters part
    tokens. Time grows with the answer's tokens, for rougeL times the reference's tokens, about a second for a billion:
    as much as 10 MB of words against a reference of 500.
    name: also the type's name in the library: "rouge1", "rouge2", "rougeL".
    """

    name: str
    title: str
    profile: str = CORRECTED
    reads_likelihood: bool = False

    def scores(self, responses: Sequence[Response]) -> list[Score | None]:
        pairs = [(target, response.text) for response in responses for target in response.example.targets]
        values = iter([by_type[self.name].fmeasure for by_type in _all_types(tuple(pairs))])
        best = [max(islice(values, len(response.example.targets)), default=0.0) for response in responses]
        return [
            Score(value, failure="" if value or plain(response.text) else EMPTY)
            for value, response in zip(best, responses, strict=True)
        ]


@lru_cache(maxsize=1)
def _all_types(pairs: tuple[tuple[str, str], ...]) -> list[dict[str, Any]]:
    """Precision, recall and F1 by type of each (reference, answer).

    Kept for the next call, as the types of the same answers are asked for one after another.
    """
    return list(_SCORER.score_batch([pair[0] for pair in pairs], [pair[1] for pair in pairs]))


ROUGE: tuple[Metric, ...] = (
    Rouge("rougeL", "ROUGE-L"),
    Rouge("rouge1", "ROUGE-1"),
    Rouge("rouge2", "ROUGE-2"),
)
