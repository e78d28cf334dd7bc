"""Today: how a table that is there would be made now, with the choices that it was made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from medeval_assets.catalog.checkpoint_source import NotHere
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.engines.cell import cell_of
from medeval_assets.engines.repeat import on_other_engines
from medeval_assets.engines.respondent import Respondent
from medeval_assets.engines.respondents import respondent_of
from medeval_assets.errors import MedevalError
from medeval_assets.lake.known_records import KnownRecords
from medeval_assets.lake.lineage_record import Derivation, LineageRecord
from medeval_assets.lake.staleness import Change, changes
from medeval_assets.metrics.available import scoring_identity
from medeval_assets.recipes.comparisons import comparisons_recipe
from medeval_assets.recipes.datasets import dataset_recipe
from medeval_assets.recipes.leaderboard import leaderboard_recipe
from medeval_assets.recipes.metric_tables import metric_table_recipe
from medeval_assets.recipes.prompt_sets import prompt_set_recipe
from medeval_assets.recipes.repeat_checks import repeat_checks_derivation
from medeval_assets.recipes.scores import scores_derivation
from medeval_assets.settings import Settings
from medeval_assets.tasks import all_tasks


class Today:
    """The derivations of today, for tables that were made before. A table is stale when its derivation is another one.

    The choices of whoever made a table (limit, wording, margin, how many prompts are asked again) are kept: an audit
    asks whether what a table rests on has moved, not whether somebody would choose otherwise. Nothing is loaded or
    downloaded. It speaks of the moment it was made: records and identities are read once.

    What is gone is another one than it was: a file, a model that left the catalog, a task. A table that does not rest
    on it itself stays as it is. Of a model whose files would have to be downloaded or converted first nothing is known
    to have moved, so what else a table rests on decides; `not_here` names these models.
    """

    def __init__(self, lake: KnownRecords, settings: Settings, models: Mapping[str, ModelSpec]) -> None:
        self._lake = lake
        self._settings = settings
        self._models = models
        self._respondents: dict[str, Respondent] = {}
        self._scored_by: dict[str, Mapping[str, Any]] = {}
        self._engines: dict[str, tuple[Sequence[str], Mapping[str, str]]] = {}
        self._not_here: dict[str, str] = {}

    @property
    def not_here(self) -> Mapping[str, str]:
        """Models of the tables that were looked at so far whose files could not be compared, and why, in words."""
        return dict(self._not_here)

    def changes(self, record: LineageRecord) -> Sequence[Change]:
        """What the table would be made from otherwise; empty where it is fresh.

        Where that cannot be worked out (a model that left the catalog, an input that is gone), one change says why.
        """
        try:
            today = self._derivation(record)
        except _GoneError as gone:
            return [gone.change]
        except MedevalError as error:
            return [Change("input", str(error), None, None)]
        except Exception as error:  # whatever one table rests on, the others are looked at
            return [Change("input", f"unexpected {type(error).__name__}", None, None)]
        return changes(record.derivation, today) if today != record.derivation else []

    def _derivation(self, record: LineageRecord) -> Derivation:  # noqa: PLR0911 - one for each kind of table
        """What the table at the record's place would be derived from now."""
        lake, settings = self._lake, self._settings
        match record.asset:
            case "datasets":
                return dataset_recipe(_task(record), settings, lake).derivation
            case "prompt_sets":
                return prompt_set_recipe(lake, _task(record), settings, _chosen(record, "prompts")).derivation
            case "generations":
                return self._generations(record)
            case "scores":
                return scores_derivation(lake, record.model, _task(record), self._scoring(record))
            case "metric_tables":
                return metric_table_recipe(lake, record.model, record.task).derivation
            case "repeat_checks":
                return self._repeat_checks(record)
            case "leaderboard":
                return leaderboard_recipe(lake, list(self._models), settings).derivation
            case "comparisons":
                return comparisons_recipe(lake, self._models, _chosen(record, "margin")).derivation
        raise _GoneError(Change("input", "the asset", record.asset, None))

    def _generations(self, record: LineageRecord) -> Derivation:
        task = _task(record)
        respondent = self._respondent(record)
        limit = _chosen(record, "limit")
        try:
            return cell_of(self._lake, record.model, task, respondent, limit).derivation
        except NotHere as error:
            self._not_here[record.model] = str(error)
        unmoved = record.derivation.model
        return cell_of(self._lake, record.model, task, respondent, limit, identity=unmoved).derivation

    def _repeat_checks(self, record: LineageRecord) -> Derivation:
        task, examples = _task(record), _chosen(record, "examples")
        try:
            engines, identity = self._asked_again(record)
        except NotHere as error:
            self._not_here[record.model] = str(error)
            engines, identity = _chosen(record, "engines"), record.derivation.model
        scoring = self._scoring(record)
        return repeat_checks_derivation(
            self._lake, record.model, task, scoring, examples=examples, engines=engines, identity=identity
        )

    def _asked_again(self, record: LineageRecord) -> tuple[Sequence[str], Mapping[str, str]]:
        """The engines that would ask the model again, and who answers."""
        spec = self._spec(record)
        if spec.key not in self._engines:
            found = on_other_engines(spec, self._models, self._settings, download=False)
            self._engines[spec.key] = [one.setup.engine for one in found], asdict(found[0].identity)
        return self._engines[spec.key]

    def _scoring(self, record: LineageRecord) -> Mapping[str, Any]:
        task = _task(record)
        if task.name not in self._scored_by:
            self._scored_by[task.name] = scoring_identity(task, self._settings)
        return self._scored_by[task.name]

    def _spec(self, record: LineageRecord) -> ModelSpec:
        if record.model not in self._models:
            raise _GoneError(Change("model", "the model's entry in the catalog", record.model, None))
        return self._models[record.model]

    def _respondent(self, record: LineageRecord) -> Respondent:
        spec = self._spec(record)
        if spec.key not in self._respondents:
            self._respondents[spec.key] = respondent_of(spec, self._models, self._settings, download=False)
        return self._respondents[spec.key]


class _GoneError(Exception):
    """Something that a derivation cannot be worked out without is not there any more."""

    def __init__(self, change: Change) -> None:
        self.change = change
        super().__init__(str(change))


def _task(record: LineageRecord) -> TaskSpec:
    tasks = all_tasks()
    if record.task not in tasks:
        raise _GoneError(Change("input", "the task", record.task, None))
    return tasks[record.task]


def _chosen(record: LineageRecord, name: str) -> Any:
    """What was chosen when the table was made."""
    parameters = record.derivation.parameters
    if name not in parameters:
        raise _GoneError(Change("parameter", f"its record does not say `{name}`", None, None))
    return parameters[name]
