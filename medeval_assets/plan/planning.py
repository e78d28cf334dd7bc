"""Makes the plan: asks the recipes what each table would be today, and the journal what is already answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from medeval_assets.catalog.checkpoint_source import NotHere
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.remembering import nothing_remembered
from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.comparisons.lake_comparisons import MARGIN, declared_pairs
from medeval_assets.engines.cell import cell_of, cells_of
from medeval_assets.engines.loaded_checkpoint import LoadedCheckpoint
from medeval_assets.engines.respondent import Outcome, Questions, Respondent
from medeval_assets.engines.respondents import respondent_of
from medeval_assets.errors import BadInput, MedevalError
from medeval_assets.lake.overlay import Overlay
from medeval_assets.lake.recipe import Recipe
from medeval_assets.lake.staleness import changes
from medeval_assets.plan.measured import Measurements
from medeval_assets.plan.plan import CellPlan, Cost, ModelPlan, Plan, TablePlan, TaskPlan
from medeval_assets.progress import Progress
from medeval_assets.recipes.comparisons import comparisons_recipe
from medeval_assets.recipes.datasets import dataset_recipe
from medeval_assets.recipes.leaderboard import leaderboard_recipe
from medeval_assets.recipes.metric_tables import metric_table_recipe
from medeval_assets.recipes.prompt_sets import prompt_set_recipe
from medeval_assets.recipes.scores import scores_recipe
from medeval_assets.settings import Settings
from medeval_assets.tasks import all_tasks

_NO_SOURCE = "what it is made from cannot be made"


def make_plan(
    settings: Settings,
    models: Mapping[str, ModelSpec],
    chosen: Sequence[str],
    tasks: Sequence[str] | None,
    *,
    progress: Progress,
    limit: int | None = None,
    prompts: Literal["project", "clue"] = "project",
) -> Plan:
    """What an evaluation of the chosen models on the tasks would do. No model is loaded, and nothing is written.

    models: all there are. tasks: None is every task that the model can answer.
    A dataset or prompt set that is stale is made in memory, and what follows is planned with it.
    """
    with nothing_remembered():
        return _Planning(settings, models, limit, prompts, progress).plan(chosen, tasks)


class _Planning:
    def __init__(
        self,
        settings: Settings,
        models: Mapping[str, ModelSpec],
        limit: int | None,
        prompts: Literal["project", "clue"],
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._models = models
        self._limit = limit
        self._prompts = prompts
        self._progress = progress
        self._lake = Overlay.of(settings)

    def plan(self, chosen: Sequence[str], tasks: Sequence[str] | None) -> Plan:
        cells = cells_of([self._models[key] for key in chosen], tasks)
        wanted = {task for _, task in cells}
        by_task = {name: self._task(task) for name, task in all_tasks().items() if name in wanted}
        by_model = [
            self._model(self._models[key], [by_task[name] for name in by_task if (key, name) in cells])
            for key in chosen
        ]
        return Plan(self._limit, self._prompts, list(by_task.values()), by_model, self._reports(by_model))

    def _task(self, task: TaskSpec) -> TaskPlan:
        datasets = self._made("datasets", lambda: dataset_recipe(task, self._settings, self._lake))
        if datasets.state == "blocked":
            return TaskPlan(task.name, datasets, TablePlan("prompt_sets", "blocked", problem=_NO_SOURCE))
        prompt_sets = self._made(
            "prompt_sets", lambda: prompt_set_recipe(self._lake, task, self._settings, self._prompts)
        )
        return TaskPlan(task.name, datasets, prompt_sets)

    def _model(self, spec: ModelSpec, tasks: Sequence[TaskPlan]) -> ModelPlan:
        respondent = respondent_of(spec, self._models, self._settings, download=False)
        measurements: Measurements | None = None
        if isinstance(respondent, LoadedCheckpoint):
            try:
                respondent.model.identity  # noqa: B018 - whether its files are here
            except NotHere as error:
                return ModelPlan(spec.key, "not here", problem=str(error))
            except MedevalError as error:
                return ModelPlan(spec.key, "blocked", problem=str(error))
            measurements = Measurements(respondent.model, all_tasks())
        return ModelPlan(
            spec.key, "here", cells=[self._cell(spec.key, task, respondent, measurements) for task in tasks]
        )

    def _cell(self, model: str, of_task: TaskPlan, respondent: Respondent, measured: Measurements | None) -> CellPlan:
        task = all_tasks()[of_task.task]
        if of_task.ready:
            generations, cost = self._generations(model, task, respondent, measured)
        else:
            generations, cost = TablePlan("generations", "blocked", problem=_NO_SOURCE), None
        if generations.state == "blocked":
            scores = TablePlan("scores", "blocked", problem=_NO_SOURCE)
        elif cost is not None and cost.to_ask:
            scores = TablePlan("scores", "follows")
        else:
            scores = self._table("scores", lambda: scores_recipe(self._lake, model, task, self._settings))
        if scores.state == "fresh":
            tables = self._table("metric_tables", lambda: metric_table_recipe(self._lake, model, task.name))
        elif scores.state == "blocked":
            tables = TablePlan("metric_tables", "blocked", problem=_NO_SOURCE)
        else:
            tables = TablePlan("metric_tables", "follows")
        self._progress.finished(f"{model} × {task.name}")
        return CellPlan(task.name, generations, scores, tables, cost)

    def _generations(
        self, model: str, task: TaskSpec, respondent: Respondent, measured: Measurements | None
    ) -> tuple[TablePlan, Cost | None]:
        """What becomes of the generations, and the cost of new ones. Those that cost nothing are made in memory."""
        try:
            cell = cell_of(self._lake, model, task, respondent, self._limit)
            table = self._compared(cell.recipe(()))
            if table.state == "fresh":
                return table, None
            questions = cell.questions(self._lake)
            outcome: Outcome | None
            if measured is not None and isinstance(respondent, LoadedCheckpoint):
                outcome, cost = _recalled(respondent, questions, measured)
            else:
                outcome = next(iter(respondent.answer([questions], _unheard)))
                cost = Cost(len(questions.prompts), answered=len(outcome.generations))
            if outcome is not None and outcome.error is not None:
                raise outcome.error
            if outcome is not None:
                cell.recipe(outcome.generations).make(self._lake, run_id="")
        except Exception as error:
            return TablePlan("generations", "blocked", problem=_told(error)), None
        return table, cost

    def _reports(self, models: Sequence[ModelPlan]) -> list[TablePlan]:
        """The tables over all cells. They follow what would be made."""
        cells = [(model.model, cell) for model in models for cell in model.cells]
        pairs = declared_pairs(self._models)
        compared = {key for pair in pairs for key in pair}
        if any(cell.metric_tables.state not in {"fresh", "blocked"} for _, cell in cells):
            leaderboard = TablePlan("leaderboard", "follows")
        else:
            leaderboard = self._table(
                "leaderboard", lambda: leaderboard_recipe(self._lake, list(self._models), self._settings)
            )
        if any(cell.scores.state not in {"fresh", "blocked"} for key, cell in cells if key in compared):
            return [leaderboard, TablePlan("comparisons", "follows")]
        comparisons = self._table("comparisons", lambda: comparisons_recipe(self._lake, self._models, MARGIN))
        return [leaderboard, comparisons]

    def _made(self, asset: str, recipe: Callable[[], Recipe]) -> TablePlan:
        """What becomes of the table, which is made in memory where it is not fresh."""
        try:
            today = recipe()
            table = self._compared(today)
            if table.state != "fresh":
                today.make(self._lake, run_id="")
        except Exception as error:
            return TablePlan(asset, "blocked", problem=_told(error))
        return table

    def _table(self, asset: str, recipe: Callable[[], Recipe]) -> TablePlan:
        """What becomes of the table."""
        try:
            return self._compared(recipe())
        except Exception as error:
            return TablePlan(asset, "blocked", problem=_told(error))

    def _compared(self, today: Recipe) -> TablePlan:
        """By the one rule of staleness: its derivation today against the one in its record."""
        asset = today.key.asset
        if today.fresh(self._lake) is not None:
            return TablePlan(asset, "fresh")
        try:
            record = self._lake.record(today.key)
        except BadInput as error:
            return TablePlan(asset, "stale", problem=str(error))
        if record is None:
            return TablePlan(asset, "missing")
        return TablePlan(asset, "stale", changes(record.derivation, today.derivation))


def _recalled(
    respondent: LoadedCheckpoint, questions: Questions, measured: Measurements
) -> tuple[Outcome | None, Cost]:
    """What the journal makes of the questions, None where a request is left; and the cost of those that are."""
    task = questions.task
    recalled = respondent.recall(questions)
    skipped = sum(one.request is None for one in recalled.prepared)
    answered = recalled.answered - skipped
    if recalled.done:
        return recalled.outcome(), Cost(len(recalled.prepared), skipped, answered)
    requests = [one for one in recalled.requests if recalled.hashes[one.example_id] not in recalled.answers]
    tokens = sum(len(one.token_ids) for one in requests) if all(one.token_ids for one in requests) else None
    each, generated_from = measured.generated_per_answer(task.name, task.decoding.max_new_tokens)
    generated = each * len(requests)
    seconds, seconds_from = measured.seconds(task.name, len(requests), tokens, generated)
    return None, Cost(
        prompts=len(recalled.prepared),
        skipped=skipped,
        answered=answered,
        to_ask=len(requests),
        prompt_tokens=tokens,
        generated_tokens=generated,
        generated_from=generated_from,
        seconds=seconds,
        seconds_from=seconds_from,
    )


def _told(error: Exception) -> str:
    """The error's words where they are written for people; others may quote an example."""
    return str(error) if isinstance(error, MedevalError) else f"unexpected {type(error).__name__}"


def _unheard(task: str, count: int, tokens: int) -> None:
    """Nobody waits for what costs nothing."""
