"""`prompt_sets`: the chat messages for each example, the same for every model."""

from typing import Literal

import dagster as dg
from pydantic import Field

from medeval_assets.assets.materialization import Table, each, keep, materialize_each
from medeval_assets.partitions import TASKS
from medeval_assets.recipes.prompt_sets import CODE_VERSION, prompt_set_recipe
from medeval_assets.resources import Home
from medeval_assets.tasks import all_tasks


class PromptConfig(dg.Config):
    """prompts: whose words are used; `clue` reads them from the clone of the benchmark that MEDEVAL_CLUE names."""

    prompts: Literal["project", "clue"] = Field(default="project", description="Whose words the prompts use")


@dg.asset(
    deps=["datasets"],
    partitions_def=TASKS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    automation_condition=dg.AutomationCondition.eager(),
    group_name="data",
    kinds={"jinja", "parquet"},
    owners=["team:clinical-nlp"],
    code_version=CODE_VERSION,
)
def prompt_sets(context: dg.AssetExecutionContext, home: Home, config: PromptConfig) -> None:
    """Prompts of each task: system text, worked examples, question. What depends on a model comes later."""
    lake = home.open_lake()

    def make(key: str) -> Table:
        recipe = prompt_set_recipe(lake, all_tasks()[key], home.settings, config.prompts)
        return keep(lake, recipe, run_id=context.run_id)

    materialize_each(context, lake, each(context.partition_keys, make))
