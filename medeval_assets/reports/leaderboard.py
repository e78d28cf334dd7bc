"""The leaderboard: the metric tables of all cells in one, with published values beside the measured ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.errors import BadInput, Problem
from medeval_assets.sources.source_folder import Row, RowProblem, SourceFile

CellTable = tuple[str, str, bool, Sequence[Mapping[str, Any]]]
"""Model, task, whether the cell rests on synthetic samples, and its metric table."""

_TAKEN_OVER = ("metric", "title", "profile", "headline", "n", "value", "standard_error", "low", "high")


def leaderboard(
    tables: Iterable[CellTable], tasks: Mapping[str, TaskSpec], published: SourceFile, chance: Mapping[str, float]
) -> list[dict[str, Any]]:
    """One row a cell and metric, in the order of `tables` and of their rows.

    published: a csv with the columns model, task, metric, published (0 to 1) and source.
    chance: task → the value that guessing gives (0 to 1), for tasks with options.

    Columns: model, task, group (section of the leaderboard), then from the metric table metric, title, profile,
    headline, n, value, standard_error, low, high, failure_rate, skipped; synthetic; chance (None where nothing is
    guessed); published (None where nothing is known) and source (""). Raises BadInput where the published values
    cannot be read.
    """
    known = _published(published)
    rows = []
    for model, task, synthetic, table in tables:
        for row in table:
            value, source = known.get((model, task, row["metric"]), (None, ""))
            rows.append(
                {
                    "model": model,
                    "task": task,
                    "group": tasks[task].group.value,
                    **{column: row[column] for column in _TAKEN_OVER},
                    "failure_rate": row["failure_rate"],
                    "skipped": row["skipped"],
                    "synthetic": synthetic,
                    "chance": chance.get(task),
                    "published": value,
                    "source": source,
                }
            )
    return rows


def _published(file: SourceFile) -> dict[tuple[str, str, str], tuple[float, str]]:
    known: dict[tuple[str, str, str], tuple[float, str]] = {}
    problems: list[Problem] = []
    for row in file.csv(["model", "task", "metric", "published", "source"]):
        try:
            key, value = (row.text("model"), row.text("task"), row.text("metric")), _fraction(row)
            if key in known:
                raise RowProblem(row.where, "this model, task and metric has a value already", "Keep one of the two.")
            known[key] = value, row.text("source")
        except RowProblem as error:
            problems.append(error.problem)
    if problems:
        raise BadInput(problems)
    return known


def _fraction(row: Row) -> float:
    try:
        value = float(row.text("published"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise RowProblem(f"{row.where} published", "expected a number from 0 to 1", "Write 64.3 % as 0.643.")
    return value
