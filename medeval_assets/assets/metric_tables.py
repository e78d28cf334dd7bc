"""`metric_tables`: a cell's metrics with their uncertainty."""

from dataclasses import replace
from typing import Any

import dagster as dg

from medeval_assets.assets.materialization import Table, each, keep, materialize_each
from medeval_assets.lake.lake import Lake
from medeval_assets.metrics.intact import INTACT
from medeval_assets.metrics.metric import CLUE, CORRECTED
from medeval_assets.partitions import GRID, lake_key
from medeval_assets.recipes.metric_tables import CODE_VERSION, metric_table_recipe
from medeval_assets.resources import Home


@dg.asset(
    deps=["scores"],
    partitions_def=GRID,
    backfill_policy=dg.BackfillPolicy.single_run(),
    automation_condition=dg.AutomationCondition.eager(),
    group_name="evaluation",
    kinds={"python", "parquet"},
    owners=["team:clinical-nlp"],
    code_version=CODE_VERSION,
)
def metric_tables(context: dg.AssetExecutionContext, home: Home) -> None:
    """One row a metric: value, n, standard error, 95 % interval, and how many answers could not be read."""
    lake = home.open_lake()

    def make(key: str) -> Table:
        cell = lake_key("metric_tables", key)
        table = keep(lake, metric_table_recipe(lake, cell.model, cell.task), run_id=context.run_id)
        return replace(table, metadata=_numbers(lake, table))

    materialize_each(context, lake, each(context.partition_keys, make))


def _numbers(lake: Lake, table: Table) -> dict[str, Any]:
    """The cell's values, which the UI plots over time; degenerate outputs by kind, which tell of a wrong template."""
    numbers: dict[str, Any] = {}
    for row in lake.rows(table.record.key):
        if row["value"] is not None and row["profile"] in (CORRECTED, CLUE):
            mark = "" if row["profile"] == CORRECTED else f" ({row['profile']})"
            numbers[row["metric"] + mark] = float(row["value"])
        if row["metric"] == INTACT.name:
            numbers |= {f"degenerate: {kind}": count for kind, count in row["rules"].items()}
        if row["headline"]:
            numbers |= {"n": row["n"], "skipped": row["skipped"]}
            if row["failure_rate"] is not None:
                numbers["failure_rate"] = float(row["failure_rate"])
    return numbers
