"""How a cell's scores are made."""

from __future__ import annotations

from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation
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
    dataset, generations = lake.records([LakeKey("datasets", task=task.name), LakeKey("generations", model, task.name)])
    return Recipe(
        LakeKey("scores", model, task.name),
        Derivation(
            code_version=CODE_VERSION,
            parameters=scoring_identity(task, settings),
            inputs=(dataset.as_input(), generations.as_input()),
        ),
        lambda: score(task, metrics, examples_of(lake.rows(dataset.key)), lake.rows(generations.key)),
        like=[dataset, generations],
    )
