"""What the command line prints: tables to stdout, progress and messages to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from medeval_assets.catalog.quoted import quoted
from medeval_assets.lake.staleness import Change
from medeval_assets.plan.plan import (
    AT_MOST,
    MEASURED,
    MEASURED_FOR_OTHERS,
    MEASURED_ON_OTHER_TASKS,
    Cost,
    ModelPlan,
    Plan,
    TablePlan,
)
from medeval_assets.progress import Pace

# A pipe has no width: a table must not be folded to 80 columns in a log.
out = Console(width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, width=None if sys.stderr.isatty() else 160)

_COSTS = ("prompts", "skipped", "answered", "to ask", "prompt tokens", "generated", "time")
_MARKS = {MEASURED: "~", MEASURED_FOR_OTHERS: "~°", MEASURED_ON_OTHER_TASKS: "~°", AT_MOST: "≤", "": ""}
_PERCENTAGES = {"value", "low", "high", "failure_rate", "if_wrong", "if_right"}


class CellBars:
    """Progress of an evaluation: a bar over all cells, and one over the prompts that are being answered."""

    def __init__(self, cells: int) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[pace]}", markup=False),
        )
        self._bars = Bars(*columns, console=err, transient=not err.is_terminal)
        self._all = self._bars.add_task("cells", total=cells, pace="")
        self._prompts = self._bars.add_task("prompts", total=0, pace="", visible=False)
        self._asked: dict[str, int] = {}
        self._pace = Pace()

    def __enter__(self) -> CellBars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.update(self._prompts, visible=False)
        self._bars.stop()

    def started(self, cell: str, total: int) -> None:
        self._asked[cell] = total
        self._pace.started(total)
        self._bars.update(self._prompts, total=sum(self._asked.values()), visible=True)
        if not err.is_terminal:
            err.print(f"{cell}: {total} prompts", markup=False, highlight=False)

    def advanced(self, cell: str, count: int, tokens: int) -> None:
        self._pace.advanced(count, tokens)
        self._bars.update(self._prompts, advance=count, pace=str(self._pace))

    def finished(self, cell: str) -> None:
        self._bars.advance(self._all)
        if cell in self._asked and not err.is_terminal:
            err.print(f"{cell}: kept; {pace}" if (pace := str(self._pace)) else f"{cell}: kept", markup=False)

    def noted(self, what: str) -> None:
        err.print(what, markup=False, highlight=False, soft_wrap=True)


def show(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], as_json: bool) -> None:
    """Print rows as a table of the chosen columns, or all of them as JSON."""
    if as_json:
        sys.stdout.write(json.dumps(list(rows), ensure_ascii=False) + "\n")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(_cell(column, row[column])) for column in columns))
    out.print(table)


def show_leaderboard(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the headline metrics, a line a task and a column a model: value, 95 % interval, unreadable answers."""
    headline = [row for row in rows if row["headline"]]
    models = list(dict.fromkeys(row["model"] for row in headline))
    cells = {(row["task"], row["model"]): row for row in headline}
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("task", "metric", "n", *models):
        table.add_column(escape(column), overflow="fold")
    for task in dict.fromkeys(row["task"] for row in headline):
        shown = [cells[task, model] for model in models if (task, model) in cells]
        counts = "/".join(str(count) for count in dict.fromkeys(row["n"] for row in shown))
        table.add_row(task, shown[0]["title"], counts, *(_estimate(cells.get((task, model))) for model in models))
    out.print(table)
    err.print("In brackets the 95 % interval; † share of answers that could not be read; ‡ prompts that did not fit.")
    if any(row["synthetic"] for row in rows):
        err.print("Values on synthetic samples show that the platform works; they say nothing about a model.")


def show_repeats(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print how far the first metric of each cell moved when some of its prompts were asked again."""
    first: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for row in rows:
        first.setdefault((row["model"], row["task"], row["variant"]), row)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("asked again", "task", "how", "n", "other text", "other score (95 %)", "shift"):
        table.add_column(column, overflow="fold")
    for (model, task, variant), row in first.items():
        flips = f"{row['flips']} ({100 * row['flip_low']:.0f}–{100 * row['flip_high']:.0f} %)"
        shift = "–" if row["shift"] is None else f"±{100 * row['shift']:.1f}"
        how = "one a batch" if variant == "alone" else variant
        table.add_row(*map(escape, (model, task, how, str(row["n"]), str(row["changed_texts"]), flips, shift)))
    out.print()
    out.print(table)
    err.print("Shift: percentage points by which the headline metric moves if all these changes go one way.")


def show_plan(plan: Plan) -> None:
    """Print what would be made, a table a model; what stays as it is is only counted."""
    shared = [(task.task, table) for task in plan.tasks for table in task.tables if table.state != "fresh"]
    shared += [("", table) for table in plan.reports if table.state != "fresh"]
    for model in plan.models:
        if model.state == "here":
            _show_model_plan(model)
    if shared:
        table = _plan_table("for all models", "task", "what becomes of it", "why")
        for task, one in shared:
            table.add_row(one.asset, escape(task) or "–", one.state, _why(one))
        out.print(table)
        out.print()
    for model in plan.models:
        if model.state == "blocked":
            out.print(model.problem, markup=False, highlight=False, soft_wrap=True)
    absent = ", ".join(model.model for model in plan.models if model.state == "not here")
    if absent:
        out.print(f"Not here, so not planned: {absent}.", markup=False, highlight=False, soft_wrap=True)
    if all(table.state == "fresh" for table in plan.tables):
        out.print("Nothing to do: every table is fresh.")
    if any(cell.cost and cell.cost.to_ask for model in plan.models for cell in model.cells):
        err.print(
            "Prompts and their tokens are exact. ~ estimated from what was measured of this model on this task; ~° of "
            "other models or on other tasks; ≤ at most. Times are without loading the model; – not measured yet. "
            "follows: made again if what it is made from comes out otherwise.",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _show_model_plan(model: ModelPlan) -> None:
    fresh = sum(all(table.state == "fresh" for table in cell.tables) for cell in model.cells)
    if fresh == len(model.cells):
        out.print(escape(f"{model.model}: nothing to do ({fresh} cells are fresh)"))
        return
    table = _plan_table(model.model, "what becomes of it", *_COSTS, "why")
    for cell in model.cells:
        changed = next((one for one in cell.tables if one.state != "fresh"), None)
        if changed is not None:
            what = f"{changed.asset} {changed.state}"
            table.add_row(escape(cell.task), what, *_costs(cell.cost), _why(changed))
    table.add_section()
    kept = f"{fresh} of {len(model.cells)} cells stay as they are"
    table.add_row("total", "1 load" if model.loads else "no load", *_costs(model.total), kept)
    out.print(table)
    out.print()


def _plan_table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(escape(column), overflow="fold", justify="right" if column in _COSTS else "left")
    return table


def _costs(cost: Cost | None) -> list[str]:
    if cost is None:
        return ["–"] * len(_COSTS)
    counts = [f"{count:,}" for count in (cost.prompts, cost.skipped, cost.answered, cost.to_ask)]
    if not cost.to_ask:
        return [*counts, "–", "–", "–"]
    tokens = "–" if cost.prompt_tokens is None else f"{cost.prompt_tokens:,}"
    seconds = "–" if cost.seconds is None else f"{_MARKS[cost.seconds_from]}{_duration(cost.seconds)}"
    return [*counts, tokens, f"{_MARKS[cost.generated_from]}{cost.generated_tokens:,.0f}", seconds]


def _duration(seconds: float) -> str:
    minutes, left = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{left:02}" if minutes else f"{left} s" if left else "<1 s"


def _why(table: TablePlan) -> str:
    """The reasons, for a person: what changed, and to what where that is short."""
    if table.problem:
        return escape(table.problem)
    return escape("; ".join(map(_changed, table.changes)))


def _changed(change: Change) -> str:
    name = quoted(change.name).strip("`")
    if change.kind in {"input", "raw file", "model"}:
        how = "new" if change.before is None else "gone" if change.after is None else "changed"
        return f"{name.removesuffix('_sha256').replace('_', ' ') if change.kind == 'model' else name} {how}"
    if name.endswith("sha256"):
        return f"{name.removesuffix('_sha256')} changed"
    before, after = (
        quoted("none" if value is None else value, 20).strip("`") for value in (change.before, change.after)
    )
    return f"{name or change.kind} {before} → {after}"


def _estimate(row: Mapping[str, Any] | None) -> str:
    if row is None or row["value"] is None:
        return "–" if row is None or not row["skipped"] else f"– {row['skipped']}‡"
    text = f"{100 * row['value']:.1f} %"
    if row["low"] is not None:
        text += f" ({100 * row['low']:.0f}–{100 * row['high']:.0f})"
    text += f" {100 * row['failure_rate']:.0f} %†" if row["failure_rate"] else ""
    return text + (f" {row['skipped']}‡" if row["skipped"] else "")


def _cell(column: str, value: Any) -> str:
    if value is None:
        return "–"
    if column in _PERCENTAGES:
        return f"{100 * value:.1f} %"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
