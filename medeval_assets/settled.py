"""Settled: what an evaluation need not run, because every table is fresh and Dagster knows of it.

Belongs here: asking the recipes and the instance. Does not belong here: what makes a table stale (`recipes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Literal

import dagster as dg

from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.comparisons.lake_comparisons import MARGIN
from medeval_assets.engines.cell import cell_of
from medeval_assets.engines.respondents import respondent_of
from medeval_assets.errors import MedevalError
from medeval_assets.lake.recipe import Recipe
from medeval_assets.partitions import grid_key
from medeval_assets.recipes.comparisons import comparisons_recipe
from medeval_assets.recipes.datasets import dataset_recipe
from medeval_assets.recipes.leaderboard import leaderboard_recipe
from medeval_assets.recipes.metric_tables import metric_table_recipe
from medeval_assets.recipes.prompt_sets import prompt_set_recipe
from medeval_assets.recipes.scores import scores_recipe
from medeval_assets.resources import Home
from medeval_assets.tasks import all_tasks

Table = tuple[str, str, Callable[[], Recipe]]
"""An asset, its partition ("" for none), and how the table would be made today."""


class Settled:
    """What would change nothing need not be run: seeing that costs far less than a run."""

    def __init__(self, home: Home, instance: dg.DagsterInstance) -> None:
        self._settings = home.settings
        self._lake = home.open_lake()
        self._models = home.models()
        self._instance = instance
        self._materialized = cache(self._read_materialized)

    def tasks(self, tasks: Iterable[str], prompts: Literal["project", "clue"]) -> set[str]:
        """Those whose dataset and prompt set stay as they are."""
        return {task for task in tasks if self._settled(self._of_task(task, prompts))}

    def tasks_of(self, model: ModelSpec, tasks: Sequence[str], limit: int | None) -> set[str]:
        """Those on which nothing of the model's cell changes; none where the model itself is not to be had."""
        try:
            respondent = respondent_of(model, self._models, self._settings, download=False)
        except MedevalError:
            return set()

        def of_cell(task: str) -> list[Table]:
            key, spec = grid_key(model.key, task), all_tasks()[task]
            return [
                ("generations", key, lambda: cell_of(self._lake, model.key, spec, respondent, limit).recipe(())),
                ("scores", key, lambda: scores_recipe(self._lake, model.key, spec, self._settings)),
                ("metric_tables", key, lambda: metric_table_recipe(self._lake, model.key, task)),
            ]

        return {task for task in tasks if self._settled(of_cell(task))}

    def reports(self) -> bool:
        """Whether the tables over all cells stay as they are."""
        return self._settled(
            [
                ("leaderboard", "", lambda: leaderboard_recipe(self._lake, list(self._models), self._settings)),
                ("comparisons", "", lambda: comparisons_recipe(self._lake, self._models, MARGIN)),
            ]
        )

    def _of_task(self, task: str, prompts: Literal["project", "clue"]) -> list[Table]:
        spec = all_tasks()[task]
        return [
            ("datasets", task, lambda: dataset_recipe(spec, self._settings, self._lake)),
            ("prompt_sets", task, lambda: prompt_set_recipe(self._lake, spec, self._settings, prompts)),
        ]

    def _settled(self, tables: Sequence[Table]) -> bool:
        try:
            return all(
                partition in self._materialized(asset) and recipe().fresh(self._lake) is not None
                for asset, partition, recipe in tables
            )
        except Exception:  # whatever is wrong, the run is where it is told and recorded
            return False

    def _read_materialized(self, asset: str) -> frozenset[str]:
        """The partitions that Dagster knows to be made; "" for an asset without any."""
        key = dg.AssetKey(asset)
        partitions = self._instance.get_materialized_partitions(key)
        whole = {""} if self._instance.get_latest_materialization_event(key) is not None else set[str]()
        return frozenset(partitions | whole)
