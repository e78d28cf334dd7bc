"""The metrics that a task's generations can be scored with here: its own, and those that need something installed."""

from __future__ import annotations

from typing import Any

from medeval_assets.catalog.task_spec import Output, TaskSpec
from medeval_assets.metrics.bertscore import bertscore_metrics
from medeval_assets.metrics.clue_text import text_ladders
from medeval_assets.metrics.concept_f1 import CONCEPTS
from medeval_assets.metrics.encoder_folder import encoders_in
from medeval_assets.metrics.intact import INTACT
from medeval_assets.metrics.metric import Metric
from medeval_assets.metrics.umls_f1 import umls_identity, umls_metrics
from medeval_assets.settings import Settings


def available_metrics(task: TaskSpec, settings: Settings) -> tuple[Metric, ...]:
    """The task's own metrics, the headline first; for free text those of meaning; the share of intact outputs.

    Metrics of meaning are BERTScore by every encoder under `<home>/encoders`, concept F1 without a knowledge base, and
    concept F1 by UMLS where it is installed; each with the benchmark's rules where the benchmark has it. BadInput where
    a folder under `<home>/encoders` is no encoder.
    """
    return (*task.metrics, *_of_meaning(task, settings), INTACT)


def scoring_identity(task: TaskSpec, settings: Settings) -> dict[str, Any]:
    """What the scores of a task depend on beside its generations: the metrics, and the files that some of them read."""
    free_text = task.output is Output.TEXT
    encoders = encoders_in(settings.encoders) if free_text else ()
    return {
        "metrics": [f"{metric.profile}/{metric.name}" for metric in available_metrics(task, settings)],
        "encoders": {encoder.name: encoder.identity_sha256 for encoder in encoders},
        "umls": dict(umls_identity(settings.home)) if free_text else {},
    }


def _of_meaning(task: TaskSpec, settings: Settings) -> tuple[Metric, ...]:
    if task.output is not Output.TEXT:
        return ()
    by_encoder = [metric for encoder in encoders_in(settings.encoders) for metric in bertscore_metrics(encoder)]
    found = (*by_encoder, *CONCEPTS, *umls_metrics(settings.home))
    return (*found, *text_ladders(found, task.name))
