"""`scores`: every metric's value for every example."""

import dagster as dg

from medeval_assets.assets.materialization import Table, each, keep, materialize_each
from medeval_assets.partitions import GRID, lake_key
from medeval_assets.recipes.scores import CODE_VERSION, scores_recipe
from medeval_assets.resources import Home
from medeval_assets.tasks import all_tasks


@dg.asset(
    deps=["datasets", "generations"],
    partitions_def=GRID,
    backfill_policy=dg.BackfillPolicy.single_run(),
    automation_condition=dg.AutomationCondition.eager(),
    group_name="evaluation",
    kinds={"python", "parquet"},
    owners=["team:clinical-nlp"],
    code_version=CODE_VERSION,
)
def scores(context: dg.AssetExecutionContext, home: Home) -> None:
    """One row an example and metric: its share of it, the rule that read the answer, why it could not be read."""
    lake = home.open_lake()

    def make(key: str) -> Table:
        cell = lake_key("scores", key)
        recipe = scores_recipe(lake, cell.model, all_tasks()[cell.task], home.settings)
        return keep(lake, recipe, run_id=context.run_id)

    materialize_each(context, lake, each(context.partition_keys, make))
