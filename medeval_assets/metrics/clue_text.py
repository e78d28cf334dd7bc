"""The CLUE benchmark's ladders for answers that are free text: ROUGE, BERTScore and UMLS F1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from medeval_assets.metrics.clue import CUT, FIRST_TWICE, Rule, Rung, changing, counting, cut_at_end_mark, ladder
from medeval_assets.metrics.metric import Metric, Response, Score
from medeval_assets.metrics.umls_f1 import without_abbreviations

_SCIBERT = "scibert_scivocab_uncased.l8"
# bert-score knows no layer for it; the fork that the benchmark's requirements name (dadaamin/bert_score) does.
_CLINICAL_BERT = "Bio_ClinicalBERT.l9"

ENCODER: Mapping[str, str] = {"meqsum": _SCIBERT, "problem_summary": _CLINICAL_BERT, "medisumqa": _CLINICAL_BERT}
"""Task → encoder and layer, as they end the names of BERTScore's metrics: `bertscore_f1.<encoder>`."""

_ROUGE = ("rougeL", "rouge1", "rouge2")
_CONCEPTS = ("umls_precision", "umls_recall", "umls_f1")


def trimmed(response: Response) -> Response:
    """The answer without white space around it, up to the end mark."""
    return cut_at_end_mark(replace(response, text=response.text.strip()))


def lower_case(response: Response) -> Response:
    """Answer and references in lower case. ROUGE does so by itself; concepts were looked up in the texts as given."""
    targets = tuple(target.lower() for target in response.example.targets)
    return replace(response, text=response.text.lower(), example=replace(response.example, targets=targets))


def zero_where_empty(scores: Sequence[Score | None]) -> list[Score | None]:
    """Each example's own value as one of a mean; 0 where it says nothing, as there is no concept on either side."""
    return [
        score and replace(score, numerator=score.numerator / (score.denominator or 1.0), denominator=1.0, perfect=1.0)
        for score in scores
    ]


def _bertscore(task: str) -> tuple[str, ...]:
    return tuple(f"bertscore_{part}.{ENCODER[task]}" for part in ("precision", "recall", "f1"))


def _rules(*parts: tuple[Sequence[str], Sequence[Rule]]) -> Mapping[str, Sequence[Rule]]:
    return {name: rules for names, rules in parts for name in names}


_TRIMMED = changing("cut", trimmed)
_LOWER_CASE = changing("lower_case", lower_case)
_EMPTY = counting("empty", zero_where_empty)
# The benchmark asks its linker to resolve abbreviations, but has nothing in its pipeline that finds them.
_ABBREVIATIONS = Rule("abbreviations", lambda rung: replace(rung, metric=without_abbreviations(rung.metric)))

_RULES: Mapping[str, Mapping[str, Sequence[Rule]]] = {
    "meqsum": _rules(
        (_ROUGE, (CUT, FIRST_TWICE)),
        (_bertscore("meqsum"), (CUT, FIRST_TWICE)),
    ),
    "problem_summary": _rules(
        (_ROUGE, (CUT, FIRST_TWICE)),
        (_bertscore("problem_summary"), (CUT, _LOWER_CASE, FIRST_TWICE)),
        (_CONCEPTS, (CUT, _ABBREVIATIONS, _EMPTY, FIRST_TWICE)),
    ),
    "medisumqa": _rules(
        (_ROUGE, (_TRIMMED, FIRST_TWICE)),
        (_bertscore("medisumqa"), (_TRIMMED, FIRST_TWICE)),
        (_CONCEPTS, (_TRIMMED, _ABBREVIATIONS, _EMPTY, FIRST_TWICE)),
    ),
}


def text_ladder(metric: Metric, task: str) -> tuple[Rung, ...]:
    """The metric's ladder in a task of the benchmark.

    Empty where the benchmark does not have the metric: in another task, with another encoder, concepts in meqsum.
    """
    return ladder(metric, _RULES.get(task, {}).get(metric.name, ()))


def text_ladders(metrics: Iterable[Metric], task: str) -> tuple[Rung, ...]:
    """The ladders of several metrics, rule by rule: metrics that read the same texts follow one another.

    ROUGE's types, and BERTScore's values under one encoder, then share the work.
    """
    rows = zip_longest(*(text_ladder(metric, task) for metric in metrics))
    return tuple(rung for row in rows for rung in row if rung is not None)
