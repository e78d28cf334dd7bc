"""The metrics that a task's generations can be scored with here."""

from __future__ import annotations

from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.metrics.metric import Metric
from medeval_assets.settings import Settings


def available_metrics(task: TaskSpec, settings: Settings) -> tuple[Metric, ...]:
    """The task's own metrics, in their order."""
    return task.metrics
