"""ROUGE as a module of the `evaluate` library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medeval_assets.metrics.clue_text import text_ladders
from medeval_assets.metrics.metric import CORRECTED
from medeval_assets.metrics.modules._metric_module import MetricModule, module_info, responses, values
from medeval_assets.metrics.rouge import ROUGE

_DESCRIPTION = """
ROUGE-L, ROUGE-1 and ROUGE-2: overlap of a text with a reference in the longest common subsequence of tokens, in
tokens, and in pairs of neighbouring tokens. With precision p = common / those of the prediction and recall r = common /
those of the reference, the value is F1 = 2·p·r / (p + r), averaged over predictions; range 0 to 1.

Tokens are runs of a-z and 0-9 in the lower-cased text, so "naïve" is two; nothing is stemmed. The values equal those of
`rouge-score` 0.1.2 to the last bit. Of several references the best one counts, for each metric by itself. A prediction
without any visible character counts 0, as one that could not be read.
"""
_INPUTS = """    predictions (list of str): texts.
    references (list of str, or of lists of str): one reference text or several for each prediction.
    task (str): "meqsum", "problem_summary" or "medisumqa", for the CLUE benchmark's rules of that task in the profiles
        "clue-2024-06.cut" (the answer is cut where another prompt begins) and "clue-2024-06" (and the first prediction
        counts twice).
"""
_EXAMPLE = """
    >>> import evaluate
    >>> rouge = evaluate.load("medeval_assets/metrics/modules/rouge.py")
    >>> result = rouge.compute(predictions=["fever and cough", ""], references=["cough and fever", "gout"])
    >>> result["rouge1"], result["rouge2"], round(result["rougeL"], 4)
    (0.5, 0.0, 0.1667)
    >>> result["rouge1_failure_rate"]
    0.5
"""
_CITATION = """
@inproceedings{lin-2004-rouge,
    title = "{ROUGE}: A Package for Automatic Evaluation of Summaries",
    author = "Lin, Chin-Yew",
    booktitle = "Text Summarization Branches Out",
    year = "2004",
    pages = "74--81"
}
"""


class Rouge(MetricModule):
    """ROUGE-L, ROUGE-1 and ROUGE-2; `inputs_description` has the details."""

    def _info(self) -> Any:
        return module_info(_DESCRIPTION, _INPUTS, _EXAMPLE, _CITATION)

    def _compute(
        self,
        *,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        profile: str = CORRECTED,
        task: str = "",
    ) -> dict[str, float | None]:
        return values((*ROUGE, *text_ladders(ROUGE, task)), profile, responses(predictions, references))
