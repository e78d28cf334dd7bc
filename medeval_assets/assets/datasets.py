"""`datasets`: the examples of each task, read from its owner's format."""

import dagster as dg

from medeval_assets.assets.materialization import Table, each, keep, materialize_each
from medeval_assets.partitions import TASKS
from medeval_assets.recipes.datasets import CODE_VERSION, dataset_recipe
from medeval_assets.resources import Home
from medeval_assets.tasks import all_tasks


@dg.asset(
    partitions_def=TASKS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    # Read once by itself. A file that cannot be read is not tried again and again: that is for a person to mend.
    automation_condition=dg.AutomationCondition.missing()
    & ~dg.AutomationCondition.in_progress()
    & ~dg.AutomationCondition.execution_failed(),
    group_name="data",
    kinds={"python", "parquet"},
    owners=["team:clinical-nlp"],
    code_version=CODE_VERSION,
)
def datasets(context: dg.AssetExecutionContext, home: Home) -> None:
    """Examples of each task, from MEDEVAL_SOURCES where its files are, else from the synthetic samples."""
    lake = home.open_lake()

    def make(key: str) -> Table:
        return keep(lake, dataset_recipe(all_tasks()[key], home.settings, lake), run_id=context.run_id)

    materialize_each(context, lake, each(context.partition_keys, make))
