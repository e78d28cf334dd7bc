"""`generations`: what each model returned for each prompt. The one asset that needs a GPU."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby

import dagster as dg
from pydantic import Field

from medeval_assets.assets.materialization import Made, Table, materialize_each
from medeval_assets.catalog.models_file import find_models
from medeval_assets.engines.cell import CODE_VERSION, Cell, cell_of
from medeval_assets.engines.respondent import Outcome, Questions
from medeval_assets.engines.respondents import respondent_of
from medeval_assets.errors import MedevalError
from medeval_assets.lake.lake import Lake
from medeval_assets.partitions import GRID, gpu_tags, lake_key
from medeval_assets.progress import Progress
from medeval_assets.resources import Home
from medeval_assets.tasks import all_tasks


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
    cells = {key: lake_key("generations", key) for key in context.partition_keys}

    def of_model(model: str, keys: Sequence[str]) -> Iterator[Made]:
        """What becomes of a model's cells: the fresh ones at once, the others, asked together, as they are answered."""
        stale: dict[str, tuple[str, Cell]] = {}
        asked: list[Questions] = []
        try:
            respondent = respondent_of(find_models([model], models)[0], models, home.settings)
            for key in keys:
                try:
                    cell = cell_of(lake, model, all_tasks()[cells[key].task], respondent, config.limit)
                    fresh = lake.fresh(cell.key, cell.derivation)
                    if fresh is None:
                        asked.append(cell.questions(lake))
                except MedevalError as error:
                    yield key, partial(_fail, error)
                    continue
                if fresh is None:
                    stale[cell.task.name] = (key, cell)
                    progress.started(cell.name, cell.asked)
                else:
                    progress.finished(cell.name)
                    yield key, partial(Table, fresh, reused=True, metadata=_numbers(lake, cell))

            def on_batch(task: str, count: int, tokens: int) -> None:
                progress.advanced(stale[task][1].name, count, tokens)

            for outcome in respondent.answer(asked, on_batch) if asked else ():
                key, cell = stale[outcome.questions.task.name]
                yield key, partial(keep_answers, cell, outcome)
                del stale[outcome.questions.task.name]
        except Exception as error:  # what stops a model stops all of its cells that are not made yet, and no other's
            for key, _ in stale.values():
                yield key, partial(_fail, error)

    def keep_answers(cell: Cell, outcome: Outcome) -> Table:
        if outcome.error is not None:
            raise outcome.error
        recipe = cell.recipe(outcome.generations)
        record = recipe.make(lake, run_id=context.run_id, environment=outcome.environment)
        progress.finished(cell.name)
        return Table(record, reused=False, metadata=_numbers(lake, cell))

    by_model = groupby(sorted(cells, key=lambda key: cells[key].model), key=lambda key: cells[key].model)
    materialize_each(context, lake, (made for model, keys in by_model for made in of_model(model, list(keys))))


def _fail(error: Exception) -> Table:
    raise error


def _numbers(lake: Lake, cell: Cell) -> dict[str, int]:
    """Counts that the UI plots over time. Prompts without a row are unanswered."""
    rows = lake.rows(cell.key)
    reasons = [row["finish_reason"] for row in rows]
    return {
        "prompt_tokens": sum(int(str(row["prompt_tokens"])) for row in rows),
        "generated_tokens": sum(int(str(row["generated_tokens"])) for row in rows),
        "cut_at_length": reasons.count("length"),
        "skipped": reasons.count("skipped"),
        "refused": reasons.count("refused"),
        "unanswered": cell.asked - len(rows),
    }
