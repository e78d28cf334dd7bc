"""`leaderboard`: every model × task × metric, with the published values beside ours, as a table and a picture."""

import base64
from dataclasses import replace
from typing import Any

import dagster as dg

from medeval_assets.assets.materialization import keep, table_metadata, tell_of_whole
from medeval_assets.errors import MedevalError
from medeval_assets.lake.key import LakeKey
from medeval_assets.metrics.available import available_metrics
from medeval_assets.metrics.clue import Rung
from medeval_assets.metrics.metric import CLUE
from medeval_assets.recipes.leaderboard import CODE_VERSION, leaderboard_recipe
from medeval_assets.reports.leaderboard_page import markdown_table
from medeval_assets.reports.leaderboard_picture import picture
from medeval_assets.reports.rule_effects import rule_effects
from medeval_assets.resources import Home
from medeval_assets.tasks import all_tasks

_PAGE_WIDTH = 1100  # pixels: what the UI's dialog shows without scrolling


@dg.asset(
    deps=["datasets", "metric_tables"],
    # Not eager(): that waits until no cell of the whole grid is missing, and some cell always is.
    # New data alone are a reason once there is a leaderboard: chance is computed on them, and Dagster would call it out
    # of date for those of any other task. Before the first evaluation there is nothing to show.
    automation_condition=(
        dg.AutomationCondition.any_deps_updated().ignore(dg.AssetSelection.assets("datasets"))
        | (
            dg.AutomationCondition.any_deps_updated().allow(dg.AssetSelection.assets("datasets"))
            & ~dg.AutomationCondition.missing()
        )
    )
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress(),
    group_name="reports",
    kinds={"python", "parquet"},
    owners=["team:clinical-nlp"],
    code_version=CODE_VERSION,
)
def leaderboard(context: dg.AssetExecutionContext, home: Home) -> None:
    """Every cell that has been evaluated: the headline metrics as a table and a picture, all metrics as Parquet."""
    try:
        tell_of_whole(context, _make(home, context.run_id))
    except MedevalError as error:
        raise dg.Failure(str(error), allow_retries=False) from None


def _make(home: Home, run_id: str) -> dict[str, Any]:
    """Keep the table; returns what the UI shows of it."""
    lake = home.open_lake()
    recipe = leaderboard_recipe(lake, list(home.models()), home.settings)
    table = keep(lake, recipe, run_id=run_id)
    return table_metadata(lake, replace(table, metadata=_pages(home, len(recipe.like))))


def _pages(home: Home, cells: int) -> dict[str, Any]:
    """The table and the picture as Markdown; the picture travels inside the page, so that it needs no server."""
    rows = home.open_lake().rows(LakeKey("leaderboard"))
    image = base64.b64encode(picture(rows, width=_PAGE_WIDTH)).decode("ascii")
    pages = {"leaderboard": markdown_table(rows), "benchmark_rules": rule_effects(rows, _last_rules(home))}
    return {
        "cells": cells,
        **{name: dg.MetadataValue.md(page) for name, page in pages.items() if page},
        "picture": dg.MetadataValue.md(f"![Headline metrics with 95 % intervals](data:image/png;base64,{image})"),
    }


def _last_rules(home: Home) -> dict[tuple[str, str], str]:
    """(task, metric) → the last of the benchmark's rules for it."""
    return {
        (name, metric.name): metric.rule
        for name, task in all_tasks().items()
        for metric in available_metrics(task, home.settings)
        if isinstance(metric, Rung) and metric.profile == CLUE
    }
