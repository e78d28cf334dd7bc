"""`datasets`: the examples of each task, read from its owner's format."""

from dataclasses import asdict

import dagster as dg

from medeval_assets.assets.materialization import Table, each, keep, materialize_each
from medeval_assets.lake.lineage_record import Derivation, RawFileRecord
from medeval_assets.partitions import TASKS, lake_key
from medeval_assets.resources import Home
from medeval_assets.sources.dataset import read_dataset
from medeval_assets.sources.example_rows import rows_of
from medeval_assets.tasks import all_tasks

CODE_VERSION = "1"
SAMPLE_LICENCE = "Apache-2.0 (the project's synthetic samples)"


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
        task = all_tasks()[key]
        dataset = read_dataset(task, home.settings)
        raw = tuple(RawFileRecord(**asdict(source)) for source in dataset.sources)
        return keep(
            lake,
            lake_key("datasets", key),
            Derivation(code_version=f"{CODE_VERSION}.{task.version}", raw_files=raw),
            lambda: rows_of(dataset.examples),
            run_id=context.run_id,
            access=task.access,
            licence=SAMPLE_LICENCE if dataset.synthetic else task.licence,
            synthetic=dataset.synthetic,
        )

    materialize_each(context, lake, each(context.partition_keys, make))
