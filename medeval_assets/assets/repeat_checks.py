"""`repeat_checks`: how far a model's metrics move when it is asked the same again."""

import dagster as dg
from pydantic import Field

from medeval_assets.assets.materialization import Table, each, keep, materialize_each
from medeval_assets.catalog.models_file import find_models
from medeval_assets.partitions import GRID, gpu_tags, lake_key
from medeval_assets.recipes.repeat_checks import CODE_VERSION, repeat_checks_recipe
from medeval_assets.resources import Home
from medeval_assets.tasks import all_tasks


class RepeatConfig(dg.Config):
    """examples: how many prompts of each task are asked again; a fixed, nested choice."""

    examples: int = Field(default=20, ge=1, description="Prompts of each task that are asked again")


@dg.asset(
    deps=["datasets", "prompt_sets", "generations"],
    partitions_def=GRID,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool="gpu",
    op_tags=gpu_tags(1),
    group_name="inference",
    kinds={"transformers", "parquet"},
    owners=["team:clinical-nlp"],
    code_version=CODE_VERSION,
)
def repeat_checks(context: dg.AssetExecutionContext, home: Home, config: RepeatConfig) -> None:
    """Some prompts answered once more, one a batch and on every other engine there is: the noise of the machinery."""
    lake = home.open_lake()
    models = home.models()

    def make(key: str) -> Table:
        cell = lake_key("repeat_checks", key)
        spec = find_models([cell.model], models)[0]
        task = all_tasks()[cell.task]
        recipe = repeat_checks_recipe(lake, spec, models, task, home.settings, examples=config.examples)
        return keep(lake, recipe, run_id=context.run_id)

    materialize_each(context, lake, each(context.partition_keys, make))
