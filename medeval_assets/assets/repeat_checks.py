"""`repeat_checks`: how far a model's metrics move when it is asked the same again."""

from dataclasses import asdict

import dagster as dg
from pydantic import Field

from medeval_assets.assets.materialization import Table, each, keep, materialize_each
from medeval_assets.catalog.models_file import find_models
from medeval_assets.engines.cell import questions_of
from medeval_assets.engines.repeat import on_other_engines, repeats
from medeval_assets.errors import BadInput, Problem
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets.lake.recipe import Recipe
from medeval_assets.metrics.available import available_metrics, scoring_identity
from medeval_assets.metrics.repeatability import repeat_rows
from medeval_assets.partitions import GRID, gpu_tags, lake_key
from medeval_assets.resources import Home
from medeval_assets.sources.example_rows import examples_of
from medeval_assets.tasks import all_tasks

CODE_VERSION = "1"


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
        task = all_tasks()[cell.task]
        spec = find_models([cell.model], models)[0]
        if spec.source in {"baseline", "generations"}:
            what = "nothing is loaded for this model, so its answers have no noise"
            raise BadInput([Problem(str(cell), what, "Check a model that is loaded.")])
        asset_names = ("datasets", "prompt_sets")
        dataset, prompts = lake.records([LakeKey(asset, task=cell.task) for asset in asset_names])
        generations = lake.records([LakeKey("generations", cell.model, cell.task)])[0]
        engines = on_other_engines(spec, models, home.settings)

        def rows() -> list[dict[str, object]]:
            first = lake.rows(generations.key)
            found = repeats(engines, questions_of(lake, task, prompts), first, config.examples)
            variants = {one.variant: [asdict(row) for row in one.generations] for one in found}
            metrics = available_metrics(task, home.settings)
            return repeat_rows(task, metrics, examples_of(lake.rows(dataset.key)), first, variants)

        recipe = Recipe(
            cell,
            Derivation(
                code_version=CODE_VERSION,
                parameters={
                    "examples": config.examples,
                    "engines": [engine.setup.engine for engine in engines],
                    "scoring": scoring_identity(task, home.settings),
                },
                inputs=(dataset.as_input(), prompts.as_input(), generations.as_input()),
                model=asdict(engines[0].identity),
            ),
            rows,
            like=[dataset, prompts, generations],
        )
        return keep(lake, recipe, run_id=context.run_id)

    materialize_each(context, lake, each(context.partition_keys, make))
