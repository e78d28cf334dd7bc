"""`generations`: what each model returned for each prompt. The one asset that needs a GPU."""

from dataclasses import asdict
from functools import cache

import dagster as dg
from pydantic import Field

from medeval_assets.assets.materialization import Table, input_record, keep, materialize_each
from medeval_assets.catalog.models_file import find_models
from medeval_assets.engines.generations import generate
from medeval_assets.engines.model_under_test import ModelUnderTest
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets.partitions import GRID, gpu_tags, lake_key
from medeval_assets.progress import Progress
from medeval_assets.prompts.prompt_rows import prompts_of
from medeval_assets.prompts.selection import select
from medeval_assets.resources import Home
from medeval_assets.tasks import all_tasks

CODE_VERSION = "1"


class GenerationConfig(dg.Config):
    """limit: how many prompts of each task are asked; a fixed, nested choice. None asks them all."""

    limit: int | None = Field(default=None, ge=1, description="Most prompts of each task; empty: all")


@dg.asset(
    deps=["prompt_sets"],
    partitions_def=GRID,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool="gpu",
    # Job tags are bypassed by the UI's Materialize button; a run's own tags, with the model's count, win over these.
    op_tags=gpu_tags(1),
    group_name="inference",
    kinds={"transformers", "parquet"},
    owners=["team:clinical-nlp"],
    code_version=CODE_VERSION,
)
def generations(
    context: dg.AssetExecutionContext, home: Home, progress: dg.ResourceParam[Progress], config: GenerationConfig
) -> None:
    """Answers with token counts and finish reason, and the log-likelihood of every option of a choice.

    Cells in which nothing changed are kept, and a model is loaded once, when the first of its cells needs it.
    """
    lake = home.open_lake()
    models = home.models()

    @cache
    def model_under_test(key: str) -> ModelUnderTest:
        return ModelUnderTest(find_models([key], models)[0], models, home.settings)

    def make(key: str) -> Table:
        cell = lake_key("generations", key)
        name = f"{cell.model} × {cell.task}"
        task = all_tasks()[cell.task]
        source = input_record(lake, LakeKey("prompt_sets", task=cell.task))
        model = model_under_test(cell.model)
        needs = model.spec.engine

        def rows() -> list[dict[str, object]]:
            prompts = select(prompts_of(lake.rows(source.key)), config.limit)
            progress.started(name, len(prompts))
            engine = model.engine
            answers = generate(
                task,
                prompts,
                engine,
                model.renderer,
                request_salt=f"{model.identity.identity_sha256} {engine.identity.name} {engine.identity.dtype}",
                on_batch=lambda count: progress.advanced(name, count),
            )
            return [asdict(answer) for answer in answers]

        table = keep(
            lake,
            cell,
            Derivation(
                code_version=CODE_VERSION,
                parameters={
                    "limit": config.limit,
                    "decoding": asdict(task.decoding),
                    "documents": asdict(task.documents) if task.documents else None,
                    "engine": "transformers",
                    "dtype": needs.dtype,
                    "context": needs.context,
                },
                inputs=(source.as_input(),),
                model=asdict(model.identity),
            ),
            rows,
            run_id=context.run_id,
            like=[source],
            environment=lambda: _environment(model),
        )
        progress.finished(name)
        return Table(table.record, table.reused, _numbers(lake.rows(cell)))

    # By model, so that a run that was handed several loads each of them once.
    materialize_each(context, lake, sorted(context.partition_keys, key=lambda key: lake_key("", key).model), make)


def _environment(model: ModelUnderTest) -> dict[str, str]:
    """What answered: kept in the record for the reader."""
    identity = model.engine.identity
    return {"engine": identity.name, "dtype": identity.dtype, "device": identity.device, **identity.versions}


def _numbers(rows: list[dict[str, object]]) -> dict[str, int]:
    """Counts that the UI plots over time."""
    reasons = [row["finish_reason"] for row in rows]
    return {
        "prompt_tokens": sum(int(str(row["prompt_tokens"])) for row in rows),
        "generated_tokens": sum(int(str(row["generated_tokens"])) for row in rows),
        "cut_at_length": reasons.count("length"),
        "skipped": reasons.count("skipped"),
    }
