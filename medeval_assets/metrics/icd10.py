"""ICD-10-CM coding: do the codes in an answer agree with the assigned ones, and do they exist?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from medeval_assets.metrics.metric import CORRECTED, Metric, Response, Score
from medeval_assets.parsers import icd10
from medeval_assets.parsers.parsed import Parsed


@dataclass(frozen=True)
class CodeMetric:
    """The mean over examples of a value in [0, 1] made from the predicted and the assigned codes.

    An answer in which no code is found scores 0 and carries the parser's failure, also where no code was assigned.
    measure: (predicted codes, assigned codes), both without dots → the example's value.
    parse: text → the predicted codes.
    """

    name: str
    title: str
    measure: Callable[[Sequence[str], Sequence[str]], float]
    parse: Callable[[str], Parsed[tuple[str, ...]]] = icd10.codes
    profile: str = CORRECTED
    reads_likelihood: bool = False

    def scores(self, responses: Sequence[Response]) -> list[Score | None]:
        return [self._score(response) for response in responses]

    def _score(self, response: Response) -> Score:
        parsed = self.parse(response.text)
        value = self.measure(parsed.value, response.example.targets) if parsed.value else 0.0
        return Score(value, rule=parsed.rule, failure=parsed.failure)


def exact_f1(predicted: Sequence[str], assigned: Sequence[str]) -> float:
    """F1 of two sets of whole codes, 2·|both| / (|predicted| + |assigned|); 1 when both are empty."""
    left, right = set(predicted), {code.replace(".", "").upper() for code in assigned}
    return 2 * len(left & right) / (len(left) + len(right)) if left or right else 1.0


def approximate_f1(predicted: Sequence[str], assigned: Sequence[str]) -> float:
    """The same of the sets of categories, a code's first three characters."""
    return exact_f1([code[:3] for code in predicted], [code[:3] for code in assigned])


def valid_share(predicted: Sequence[str], assigned: Sequence[str]) -> float:
    """Share of the predicted codes that ICD-10-CM knows as a category or a code below one; 0 without a prediction."""
    return sum(map(icd10.is_valid, predicted)) / len(predicted) if predicted else 0.0


ICD10: tuple[Metric, ...] = (
    CodeMetric("icd10_exact_f1", "ICD-10 F1, exact", exact_f1),
    CodeMetric("icd10_approximate_f1", "ICD-10 F1, categories", approximate_f1),
    CodeMetric("icd10_valid", "ICD-10 codes that exist", valid_share),
)
