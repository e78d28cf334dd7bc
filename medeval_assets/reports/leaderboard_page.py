"""The leaderboard as a Markdown table of headline metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medeval_assets.reports.headline_grid import UNREAD_FLAG, HeadlineGrid, headline_grid
from medeval_assets.reports.markdown import escaped, table


def markdown_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Models × tasks: each cell's headline metric in percent ± half its 95 % interval, with n and what to be wary of.

    rows: the leaderboard's. The longer of the two lists runs down the page. Names are escaped: they are never markup.
    """
    grid = headline_grid(rows)
    if not grid.cells:
        return "No cell has been evaluated yet."
    tasks = {task: f"{escaped(task)} ({escaped(grid.metric(task))})" for task in grid.tasks}
    models = {model: escaped(model) for model in grid.models}
    if len(models) <= len(tasks):
        header = ["section", "task (metric)", *models.values()]
        opens = {grid.groups[task]: task for task in reversed(grid.tasks)}
        body = [
            [
                escaped(grid.groups[task]) if opens[grid.groups[task]] == task else "",
                title,
                *(_cell(grid, model, task) for model in models),
            ]
            for task, title in tasks.items()
        ]
    else:
        header = ["model", *tasks.values()]
        body = [[title, *(_cell(grid, model, task) for task in tasks)] for model, title in models.items()]
    return "\n".join([*_notes(grid), "", table(header, body)])


def _notes(grid: HeadlineGrid) -> Sequence[str]:
    unread = f"⚠: at least {100 * UNREAD_FLAG:.0f} % of the answers could not be read; they count as wrong."
    notes = [f"Headline metrics in percent ± half the 95 % interval, n examples. {unread}"]
    if grid.synthetic:
        which = "All values" if grid.all_synthetic else "Values marked °"
        notes.append(
            f"\n**{which} rest on synthetic samples: they show that the platform works, not what a model can.**"
        )
    return notes


def _cell(grid: HeadlineGrid, model: str, task: str) -> str:
    row = grid.cells.get((model, task))
    if row is None:
        return ""
    skipped = f", {row['skipped']} skipped" if row["skipped"] else ""
    if row["value"] is None:
        return f"no value{skipped}"
    interval = "" if row["low"] is None else f" ± {50 * (row['high'] - row['low']):.1f}"
    synthetic = "°" if row["synthetic"] and not grid.all_synthetic else ""
    unread = row["failure_rate"] or 0.0
    flag = f" ⚠ {100 * unread:.0f} % unread" if unread >= UNREAD_FLAG else ""
    # A published value was not measured on synthetic samples, so it is not put beside them.
    published = "" if row["published"] is None or row["synthetic"] else f", published {100 * row['published']:.1f}"
    return f"{100 * row['value']:.1f}{interval}{synthetic} (n {row['n']}{skipped}{published}){flag}"
