"""`scores`: every metric's value for every example."""

import dagster as dg

from medeval_assets.assets.materialization import Table, each, keep, materialize_each
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets.metrics.available import available_metrics, scoring_identity
from medeval_assets.metrics.score import score
from medeval_assets.partitions import GRID, lake_key
from medeval_assets.resources import Home
from medeval_assets.sources.example_rows import examples_of
from medeval_assets.tasks import all_tasks

CODE_VERSION = "2"


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
        task = all_tasks()[cell.task]
        metrics = available_metrics(task, home.settings)
        dataset = lake.records([LakeKey("datasets", task=cell.task)])[0]
        generations = lake.records([lake_key("generations", key)])[0]
        return keep(
            lake,
            cell,
            Derivation(
                code_version=CODE_VERSION,
                parameters=scoring_identity(task, home.settings),
                inputs=(dataset.as_input(), generations.as_input()),
            ),
            lambda: score(task, metrics, examples_of(lake.rows(dataset.key)), lake.rows(generations.key)),
            run_id=context.run_id,
            like=[dataset, generations],
        )

    materialize_each(context, lake, each(context.partition_keys, make))
