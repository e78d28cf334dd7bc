"""How a cell's scores are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation, LineageRecord
from medeval_assets.lake.recipe import Recipe
from medeval_assets.metrics.available import available_metrics, scoring_identity
from medeval_assets.metrics.score import score
from medeval_assets.settings import Settings
from medeval_assets.sources.example_rows import examples_of

CODE_VERSION = "2"


def scores_recipe(lake: Lake, model: str, task: TaskSpec, settings: Settings) -> Recipe:
    """The scores of the cell's current generations.

    BadInput where the dataset or the generations are missing, or an encoder cannot be used.
    """
    metrics = available_metrics(task, settings)
    dataset, generations = _sources(lake, model, task)
    return Recipe(
        LakeKey("scores", model, task.name),
        scores_derivation(lake, model, task, scoring_identity(task, settings)),
        lambda: score(task, metrics, examples_of(lake.rows(dataset.key)), lake.rows(generations.key)),
        like=[dataset, generations],
    )


def scores_derivation(lake: Lake, model: str, task: TaskSpec, scoring: Mapping[str, Any]) -> Derivation:
    """What the scores of the cell's current generations are derived from. BadInput where a table is missing.

    scoring: the task's `scoring_identity`.
    """
    sources = _sources(lake, model, task)
    return Derivation(
        code_version=CODE_VERSION, parameters=dict(scoring), inputs=tuple(source.as_input() for source in sources)
    )


def _sources(lake: Lake, model: str, task: TaskSpec) -> list[LineageRecord]:
    """Dataset and generations."""
    return lake.records([LakeKey("datasets", task=task.name), LakeKey("generations", model, task.name)])
