"""`medeval evaluate`: the runs that evaluate models on tasks, through the Dagster instance that the UI shows.

Belongs here: which runs there are, in which order, and what became of them. Does not belong here: printing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import dagster as dg

from medeval_assets.automation import audit_lineage, check_repeats, evaluate_model, prepare_tasks, refresh_reports
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.definitions import build_definitions
from medeval_assets.engines.cell import cells_of
from medeval_assets.engines.interruption import StopRequests
from medeval_assets.errors import BadInput
from medeval_assets.instance import add_model_partitions, open_instance
from medeval_assets.lake.key import LakeKey
from medeval_assets.partitions import grid_key, model_run_request, task_range_tags, task_ranges
from medeval_assets.progress import Progress
from medeval_assets.resources import Home, all_models
from medeval_assets.settings import Settings, keep_libraries_at_home
from medeval_assets.settled import Settled
from medeval_assets.turns import Turns

# The command line shows problems itself; Dagster's own lines go to the run's log, where the UI shows them.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

_STOPPING = "stopping after the batch in flight; once more stops at once"
_WAITING = "waiting: another run uses the GPU"
_GPU_STEPS = {evaluate_model.name: "generations", check_repeats.name: "repeat_checks"}
"""The step of a job that draws from the pool `gpu`."""


@dataclass
class Evaluation:
    """What became of it.

    problems: one message a failed partition or run.
    rows: the leaderboard as it is now.
    repeats: the rows of the repeat checks that were asked for, with model and task.
    """

    problems: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    repeats: list[dict[str, Any]] = field(default_factory=list)


def evaluate(
    settings: Settings,
    models: Sequence[ModelSpec],
    tasks: Sequence[str] | None,
    *,
    progress: Progress,
    limit: int | None = None,
    prompts: Literal["project", "clue"] = "project",
    repeat: int | None = None,
    audit: bool = False,
) -> Evaluation:
    """Evaluate every model on every task. One run for each model and range of neighbouring tasks; one load a model.

    What would not change is not run.

    tasks: None is every task that the model can answer; see `engines.cell.cells_of`.
    repeat: how many prompts of each cell are asked again afterwards, while the model is still loaded; None: none.
    audit: whether every file of the lake is audited at the end.
    A task that fails is left out and reported; the others go on. Stopped where a signal ends it: the batch in flight is
    kept, and the cells that are finished are recorded.
    """
    keep_libraries_at_home(settings.home)
    home = Home.from_settings(settings)
    definitions = build_definitions({"home": home, "progress": progress})
    outcome = Evaluation()
    with (
        StopRequests(lambda: progress.noted(_STOPPING)) as stop,
        open_instance(settings) as instance,
        Turns(instance, settings, lambda: progress.noted(_WAITING)) as turns,
    ):
        add_model_partitions(instance, all_models(settings))
        runs = _Runs(definitions, instance, outcome, turns, stop)
        settled = Settled(home, instance)
        cells = cells_of(models, tasks)
        wanted = {task for _, task in cells}
        ready = settled.tasks(wanted, prompts)
        for group in task_ranges(wanted - ready):
            ready.update(runs.tasks(group, prompts))
        for model in models:
            of_model = [task for task in ready if (model.key, task) in cells]
            evaluated = settled.tasks_of(model, of_model, limit)
            for task in evaluated:
                progress.finished(f"{model.key} × {task}")
            for group in task_ranges(set(of_model) - evaluated):
                evaluated.update(runs.model(model, group, limit))
            if repeat is not None and model.is_asked:
                runs.repeats(model, evaluated, repeat)
        if not settled.reports():
            runs.reports()
        if audit:
            runs.audit()
    lake = home.open_lake()
    try:
        if lake.record(LakeKey("leaderboard")) is not None:
            outcome.rows = lake.rows(LakeKey("leaderboard"))
        checked = [key for key in lake.keys("repeat_checks") if repeat and (key.model, key.task) in cells]
        outcome.repeats = [{"model": key.model, "task": key.task, **row} for key in checked for row in lake.rows(key)]
    except BadInput as error:
        outcome.problems.append(str(error))
    return outcome


class _Runs:
    def __init__(
        self,
        definitions: dg.Definitions,
        instance: dg.DagsterInstance,
        outcome: Evaluation,
        turns: Turns,
        stop: StopRequests,
    ) -> None:
        self._definitions = definitions
        self._instance = instance
        self._outcome = outcome
        self._turns = turns
        self._stop = stop

    def tasks(self, group: Sequence[str], prompts: str) -> list[str]:
        """Prepare neighbouring tasks; returns the ones whose prompt set is current."""
        config = {"ops": {"prompt_sets": {"config": {"prompts": prompts}}}}
        result = self._run(prepare_tasks.name, task_range_tags(group), config)
        if result.success:
            return list(group)
        rest = self._survivors(result.run_id, ["datasets", "prompt_sets"], {task: task for task in group})
        return [task for neighbours in task_ranges(rest) for task in self.tasks(neighbours, prompts)]

    def model(self, model: ModelSpec, group: Sequence[str], limit: int | None) -> list[str]:
        """Evaluate one model on neighbouring tasks; returns the ones that are evaluated."""
        config = {"ops": {"generations": {"config": {"limit": limit}}}}
        result = self._run(evaluate_model.name, model_run_request(model, group).tags, config)
        if result.success:
            return list(group)
        keys: dict[str, str] = {grid_key(model.key, task): task for task in group}
        rest = self._survivors(result.run_id, ["generations", "scores", "metric_tables"], keys)
        return [task for neighbours in task_ranges(rest) for task in self.model(model, neighbours, limit)]

    def repeats(self, model: ModelSpec, tasks: Iterable[str], examples: int) -> None:
        """Ask the model again for some of the prompts of these tasks."""
        config = {"ops": {"repeat_checks": {"config": {"examples": examples}}}}
        for neighbours in task_ranges(tasks):
            self._run(check_repeats.name, model_run_request(model, neighbours).tags, config)

    def reports(self) -> None:
        self._run(refresh_reports.name, {}, {})

    def audit(self) -> None:
        self._run(audit_lineage.name, {}, {})

    def _run(self, job: str, tags: Mapping[str, str], config: Mapping[str, Any]) -> dg.ExecuteInProcessResult:
        definition = self._definitions.resolve_job_def(job)
        with self._turns.run(_GPU_STEPS.get(job)) as run_id:
            result = definition.execute_in_process(
                instance=self._instance,
                tags=dict(tags),
                run_config={**_QUIET, **config},
                raise_on_error=False,
                run_id=run_id,
            )
        # Dagster ends a run that is interrupted and returns as if nothing had been asked.
        self._stop.check()
        for event in result.filter_events(lambda event: event.is_step_failure):
            failure = event.step_failure_data
            told = failure.user_failure_data.description if failure.user_failure_data else None
            # Not the error's own words: they may quote an example.
            kind = failure.error.cls_name if failure.error else "an error"
            self._outcome.problems.append(
                told or f"{event.step_key}: {kind}; the run's log in the UI has the traceback"
            )
        return result

    def _survivors(self, run_id: str, chain: Sequence[str], tasks: Mapping[str, str]) -> list[str]:
        """Tasks that came through the step at which others failed: fewer than `tasks`, which maps partition → task.

        A step that fails for one partition ends the run, so these go on in runs of their own; what they already have is
        fresh and costs nothing.
        """
        # The run's result leaves out what a step logged before it failed; the instance has it.
        made: dict[str, set[str]] = {asset: set() for asset in chain}
        for entry in self._instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
            event = entry.dagster_event
            if event is not None and event.asset_key is not None and event.partition is not None:
                made[event.asset_key.to_user_string()].add(event.partition)
        for asset in chain:
            if made[asset] != set(tasks):
                return [task for partition, task in tasks.items() if partition in made[asset]]
        return []
