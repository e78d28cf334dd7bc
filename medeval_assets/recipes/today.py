"""Today: how a table that is there would be made now, with the choices that it was made with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from medeval_assets.catalog.checkpoint_source import NotHere
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.engines.cell import cell_of
from medeval_assets.engines.respondent import Respondent
from medeval_assets.engines.respondents import respondent_of
from medeval_assets.errors import MedevalError
from medeval_assets.lake.known_records import KnownRecords
from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.lake.recipe import Recipe
from medeval_assets.lake.staleness import Change, changes
from medeval_assets.recipes.comparisons import comparisons_recipe
from medeval_assets.recipes.datasets import dataset_recipe
from medeval_assets.recipes.leaderboard import leaderboard_recipe
from medeval_assets.recipes.metric_tables import metric_table_recipe
from medeval_assets.recipes.prompt_sets import prompt_set_recipe
from medeval_assets.recipes.repeat_checks import repeat_checks_recipe
from medeval_assets.recipes.scores import scores_recipe
from medeval_assets.settings import Settings
from medeval_assets.tasks import all_tasks


class Today:
    """The recipes of today, for tables that were made before. A table is stale when its derivation is another one.

    The choices of whoever made a table (limit, wording, margin, how many prompts are asked again) are kept: an audit
    asks whether what a table rests on has moved, not whether somebody would choose otherwise. Nothing is loaded or
    downloaded. It speaks of the moment it was made: records and identities are read once.
    """

    def __init__(self, lake: KnownRecords, settings: Settings, models: Mapping[str, ModelSpec]) -> None:
        self._lake = lake
        self._settings = settings
        self._models = models
        self._respondents: dict[str, Respondent] = {}

    def recipe(self, record: LineageRecord) -> Recipe:
        """The table at the record's place as it would be made now. MedevalError where that cannot be worked out."""
        lake, settings, chosen = self._lake, self._settings, record.derivation.parameters
        if not record.task:
            return self._over_all_cells(record)
        task = all_tasks()[record.task]
        recipes: dict[str, Callable[[], Recipe]] = {
            "datasets": lambda: dataset_recipe(task, settings, lake),
            "prompt_sets": lambda: prompt_set_recipe(lake, task, settings, chosen["prompts"]),
            "generations": lambda: self._cell(record.model, task, chosen["limit"]),
            "scores": lambda: scores_recipe(lake, record.model, task, settings),
            "metric_tables": lambda: metric_table_recipe(lake, record.model, record.task),
            "repeat_checks": lambda: repeat_checks_recipe(
                lake,
                self._models[record.model],
                self._models,
                task,
                settings,
                examples=chosen["examples"],
                download=False,
            ),
        }
        return recipes[record.asset]()

    def changes(self, record: LineageRecord) -> Sequence[Change]:
        """What the table would be made from otherwise; empty where it is fresh.

        Where that cannot be worked out (a model that left the catalog, an input that is gone), one change says why.
        """
        if record.task and record.task not in all_tasks():
            return [Change("input", "the task", record.task, None)]
        if record.model and record.model not in self._models:
            return [Change("model", "the model's entry in the catalog", record.model, None)]
        try:
            today = self.recipe(record).derivation
        except NotHere:
            # Whether its weights are others than before cannot be seen, so nothing is known to have moved.
            return []
        except (MedevalError, KeyError) as error:
            why = str(error) if isinstance(error, MedevalError) else f"its record has no {error}"
            return [Change("input", why, None, None)]
        return changes(record.derivation, today) if today != record.derivation else []

    def _over_all_cells(self, record: LineageRecord) -> Recipe:
        if record.asset == "leaderboard":
            return leaderboard_recipe(self._lake, list(self._models), self._settings)
        return comparisons_recipe(self._lake, self._models, record.derivation.parameters["margin"])

    def _cell(self, model: str, task: TaskSpec, limit: int | None) -> Recipe:
        if model not in self._respondents:
            spec = self._models[model]
            self._respondents[model] = respondent_of(spec, self._models, self._settings, download=False)
        return cell_of(self._lake, model, task, self._respondents[model], limit).recipe(())
