"""How a task's prompt set is made."""

from __future__ import annotations

from typing import Literal

from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets.lake.recipe import Recipe
from medeval_assets.prompts.prompt_rows import rows_of
from medeval_assets.prompts.prompt_set import prompt_set
from medeval_assets.prompts.wording import wording_for
from medeval_assets.settings import Settings
from medeval_assets.sources.example_rows import examples_of

CODE_VERSION = "1"


def prompt_set_recipe(lake: Lake, task: TaskSpec, settings: Settings, prompts: Literal["project", "clue"]) -> Recipe:
    """The prompts of the task's current dataset. prompts: whose words they use.

    BadInput where there is no dataset, or the wording cannot be used.
    """
    source = lake.records([LakeKey("datasets", task=task.name)])[0]
    wording = wording_for(task, prompts, settings)
    return Recipe(
        LakeKey("prompt_sets", task=task.name),
        Derivation(
            code_version=CODE_VERSION,
            parameters={
                "prompts": prompts,
                "wording": dict(wording.identity),
                "shots": task.shots.count,
                "seed": task.shots.seed,
            },
            inputs=(source.as_input(),),
        ),
        lambda: rows_of(prompt_set(task, examples_of(lake.rows(source.key)), wording)),
        like=[source],
    )
