"""`generations`: what each model returned for each prompt. The one asset that needs a GPU."""

from dataclasses import asdict
from functools import cache

import dagster as dg
from pydantic import Field

from medeval_assets.assets.materialization import Table, input_record, keep, materialize_each
from medeval_assets.catalog.models_file import find_models
from medeval_assets.catalog.task_spec import Example
from medeval_assets.engines.respondent import Questions, Respondent
from medeval_assets.engines.respondents import respondent_of
from medeval_assets.errors import BadInput, Problem
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets.partitions import GRID, gpu_tags, lake_key
from medeval_assets.progress import Progress
from medeval_assets.prompts.prompt_rows import prompts_of
from medeval_assets.prompts.selection import select
from medeval_assets.resources import Home
from medeval_assets.sources.example_rows import examples_of
from medeval_assets.tasks import all_tasks

CODE_VERSION = "1"


class GenerationConfig(dg.Config):
    """limit: how many prompts of each task are asked; a fixed, nested choice. None asks them all."""

    limit: int | None = Field(default=None, ge=1, description="Most prompts of each task; empty: all")


@dg.asset(
    deps=["datasets", "prompt_sets"],
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

    Cells in which nothing changed are kept, and a model is loaded once, when the first of its cells needs it. Baselines
    are made from the dataset, answers from elsewhere are read from their file: for these nothing is loaded.
    """
    lake = home.open_lake()
    models = home.models()

    @cache
    def respondent(key: str) -> Respondent:
        return respondent_of(find_models([key], models)[0], models, home.settings)

    def make(key: str) -> Table:
        cell = lake_key("generations", key)
        name = f"{cell.model} × {cell.task}"
        task = all_tasks()[cell.task]
        answering = respondent(cell.model)
        sources = [input_record(lake, LakeKey(asset, task=cell.task)) for asset in answering.reads]
        asked = sources[0].rows if config.limit is None else min(config.limit, sources[0].rows)

        def rows() -> list[dict[str, object]]:
            prompts = prompts_of(lake.rows(sources[0].key))

            def scored() -> list[Example]:
                prompted = {prompt.example_id for prompt in prompts}
                examples = examples_of(lake.rows(LakeKey("datasets", task=cell.task)))
                found = [example for example in examples if example.example_id in prompted]
                if len(found) < len(prompts):
                    what = "it asks about examples that the dataset no longer has"
                    raise BadInput([Problem(str(sources[0].key), what, "Materialize it again.")])
                return found

            progress.started(name, asked)
            answers = answering.answer(
                Questions(task, select(prompts, config.limit), scored), lambda count: progress.advanced(name, count)
            )
            return [asdict(answer) for answer in answers]

        table = keep(
            lake,
            cell,
            Derivation(
                code_version=CODE_VERSION,
                parameters={"limit": config.limit, **answering.parameters(task)},
                inputs=tuple(source.as_input() for source in sources),
                model=dict(answering.identity(task)),
            ),
            rows,
            run_id=context.run_id,
            like=sources,
            environment=answering.environment,
        )
        progress.finished(name)
        return Table(table.record, table.reused, _numbers(lake.rows(cell), asked))

    # By model, so that a run that was handed several loads each of them once.
    materialize_each(context, lake, sorted(context.partition_keys, key=lambda key: lake_key("", key).model), make)


def _numbers(rows: list[dict[str, object]], asked: int) -> dict[str, int]:
    """Counts that the UI plots over time. asked: prompts; those without a row are unanswered."""
    reasons = [row["finish_reason"] for row in rows]
    return {
        "prompt_tokens": sum(int(str(row["prompt_tokens"])) for row in rows),
        "generated_tokens": sum(int(str(row["generated_tokens"])) for row in rows),
        "cut_at_length": reasons.count("length"),
        "skipped": reasons.count("skipped"),
        "unanswered": asked - len(rows),
    }
