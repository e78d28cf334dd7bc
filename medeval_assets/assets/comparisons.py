"""`comparisons`: every model against the one it came from, as a table, a page and a picture."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
from pydantic import Field

from medeval_assets.assets.materialization import keep, table_metadata, tell_of_whole
from medeval_assets.comparisons.lake_comparisons import MARGIN
from medeval_assets.errors import MedevalError
from medeval_assets.recipes.comparisons import CODE_VERSION, comparisons_recipe
from medeval_assets.reports.comparison_page import markdown_page
from medeval_assets.reports.comparison_picture import picture
from medeval_assets.resources import Home

_PAGE_WIDTH = 1100  # pixels: what the UI's dialog shows without scrolling


class ComparisonConfig(dg.Config):
    """margin: a difference below it does not matter, as a fraction: 0.02 is two percentage points."""

    margin: float = Field(default=MARGIN, gt=0, lt=1, description="Smallest difference that matters, as a fraction")


@dg.asset(
    deps=["scores", "repeat_checks"],
    # As for the leaderboard: some cell of the grid is always missing.
    automation_condition=dg.AutomationCondition.any_deps_updated()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress(),
    group_name="reports",
    kinds={"python", "parquet"},
    owners=["team:clinical-nlp"],
    code_version=CODE_VERSION,
)
def comparisons(context: dg.AssetExecutionContext, home: Home, config: ComparisonConfig) -> None:
    """Every model that names a base against it, task by task and metric by metric, on what both answered."""
    try:
        tell_of_whole(context, _make(home, config.margin, context.run_id))
    except MedevalError as error:
        raise dg.Failure(str(error), allow_retries=False) from None


def _make(home: Home, margin: float, run_id: str) -> dict[str, Any]:
    """Keep the table; returns what the UI shows of it."""
    lake = home.open_lake()
    table = keep(lake, comparisons_recipe(lake, home.models(), margin), run_id=run_id)
    return table_metadata(lake, replace(table, metadata=_pages(lake.rows(table.record.key))))


def _pages(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Page and picture as Markdown; the picture travels inside the page, so that it needs no server."""
    image = base64.b64encode(picture(rows, width=_PAGE_WIDTH)).decode("ascii")
    return {
        "comparisons": dg.MetadataValue.md(markdown_page(rows)),
        "picture": dg.MetadataValue.md(f"![Differences with 95 % intervals](data:image/png;base64,{image})"),
    }
