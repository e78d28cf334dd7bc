"""`prompt_sets`: the chat messages for each example, the same for every model."""

from typing import Literal

import dagster as dg
from pydantic import Field

from medeval_assets.assets.materialization import Table, each, keep, materialize_each
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets.partitions import TASKS, lake_key
from medeval_assets.prompts.prompt_rows import rows_of
from medeval_assets.prompts.prompt_set import prompt_set
from medeval_assets.prompts.wording import wording_for
from medeval_assets.resources import Home
from medeval_assets.sources.example_rows import examples_of
from medeval_assets.tasks import all_tasks

CODE_VERSION = "1"


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
        task = all_tasks()[key]
        source = lake.records([LakeKey("datasets", task=task.name)])[0]
        wording = wording_for(task, config.prompts, home.settings)
        return keep(
            lake,
            lake_key("prompt_sets", key),
            Derivation(
                code_version=CODE_VERSION,
                parameters={
                    "prompts": config.prompts,
                    "wording": dict(wording.identity),
                    "shots": task.shots.count,
                    "seed": task.shots.seed,
                },
                inputs=(source.as_input(),),
            ),
            lambda: rows_of(prompt_set(task, examples_of(lake.rows(source.key)), wording)),
            run_id=context.run_id,
            like=[source],
        )

    materialize_each(context, lake, each(context.partition_keys, make))
