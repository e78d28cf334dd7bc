"""BERTScore as a module of the `evaluate` library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medeval_assets.metrics.bertscore import bertscore_metrics
from medeval_assets.metrics.clue_text import text_ladders
from medeval_assets.metrics.encoder_folder import encoder_at
from medeval_assets.metrics.metric import CORRECTED
from medeval_assets.metrics.modules._metric_module import MetricModule, module_info, responses, values

_DESCRIPTION = """
BERTScore: how well the tokens of a text and of a reference match, by the similarity of their vectors in an encoder,
averaged over predictions; range 0 to 1. The name of each value ends in the encoder's name and layer.

bertscore_precision: mean over the prediction's tokens of the highest cosine similarity to any of the reference's;
bertscore_recall: the same over the reference's tokens; bertscore_f1: their harmonic mean. No idf weights, no rescaling.
The values equal those of `bert-score` 0.3.13 within 1e-6, where that works.

Unrelated texts do not come near 0: compare with what a copy of the input or another prediction gets. A text is read up
to the encoder's limit, most often 512 tokens. Of several references the best one counts, for each value by itself. A
prediction in which the encoder sees no token counts 0, as one that could not be read.
"""
_INPUTS = """    predictions (list of str): texts.
    references (list of str, or of lists of str): one reference text or several for each prediction.
    encoder (str): folder of the encoder, with its weights as safetensors. Its layer is the `layer` that the file
        medeval.yaml in it gives, else the one that `bert-score` uses for a model of the folder's name.
    task (str): "meqsum", "problem_summary" or "medisumqa", for the CLUE benchmark's rules of that task in the profile
        "clue-2024-06" and those on the way to it. They are there for the encoder that the benchmark used in the task.
"""
_EXAMPLE = """
    >>> import evaluate
    >>> bertscore = evaluate.load("medeval_assets/metrics/modules/bertscore.py")
    >>> encoder = ".medeval/encoders/all-minilm-l6-v2"
    >>> result = bertscore.compute(predictions=["chest pain", ""], references=["chest pain", "fever"], encoder=encoder)
    >>> round(result["bertscore_f1.all-minilm-l6-v2.l5"], 4)
    0.5
    >>> result["bertscore_f1.all-minilm-l6-v2.l5_failure_rate"]
    0.5
"""
_CITATION = """
@inproceedings{zhang2020bertscore,
    title = "{BERTScore}: Evaluating Text Generation with {BERT}",
    author = "Zhang, Tianyi and Kishore, Varsha and Wu, Felix and Weinberger, Kilian Q. and Artzi, Yoav",
    booktitle = "International Conference on Learning Representations",
    year = "2020"
}
"""


class Bertscore(MetricModule):
    """Precision, recall and F1 of token vectors; `inputs_description` has the details."""

    def _info(self) -> Any:
        return module_info(_DESCRIPTION, _INPUTS, _EXAMPLE, _CITATION)

    def _compute(
        self,
        *,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        encoder: str,
        profile: str = CORRECTED,
        task: str = "",
    ) -> dict[str, float | None]:
        metrics = bertscore_metrics(encoder_at(Path(encoder).absolute()))
        return values((*metrics, *text_ladders(metrics, task)), profile, responses(predictions, references))
