"""The leaderboard: the metric tables of all cells in one, with level scores and published values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medeval_assets.catalog.task_spec import Group, TaskSpec
from medeval_assets.metrics.clue_level import LEVEL_1, LEVEL_2, LevelScore, level_1, level_2
from medeval_assets.metrics.metric import CLUE
from medeval_assets.reports.published import Key, Published, agreement

CellTable = tuple[str, str, bool, Sequence[Mapping[str, Any]]]
"""Model, task, whether the cell rests on synthetic samples, and its metric table."""

CLUE_TASK = "clue"
"""Where the scores over several tasks stand: a task of its own name."""

TAKEN_OVER = (
    "metric",
    "title",
    "profile",
    "headline",
    "n",
    "value",
    "standard_error",
    "low",
    "high",
    "failure_rate",
    "if_wrong",
    "if_right",
    "skipped",
)
_LEVELS = (
    ("level1_score", "CLUE level 1", Group.LEVEL_1, LEVEL_1, level_1),
    ("level2_score", "CLUE level 2", Group.LEVEL_2, LEVEL_2, level_2),
)
_Z = 1.959963984540054


def leaderboard(
    tables: Iterable[CellTable],
    tasks: Mapping[str, TaskSpec],
    published: Mapping[Key, Published],
    chance: Mapping[str, float],
) -> list[dict[str, Any]]:
    """One row a cell and metric, in the order of `tables` and of their rows; then the level scores.

    chance: task → the value that guessing gives (0 to 1), for tasks with options.

    Columns: those of the leaderboard's table. `published` is None where nothing is known; `agreement` is "" there, and
    where the measured value rests on synthetic samples. A model has a level score where all of its components were
    measured under the benchmark's rules; its interval is normal, from the cautious standard error of `level_1`.
    """
    cells = list(tables)
    rows = [
        {
            "model": model,
            "task": task,
            "group": tasks[task].group.value,
            **{column: row[column] for column in TAKEN_OVER},
            "synthetic": synthetic,
            "chance": chance.get(task) if row["headline"] else None,
        }
        for model, task, synthetic, table in cells
        for row in table
    ]
    rows += _level_rows(cells)
    return [row | _beside(row, published) for row in rows]


def _beside(row: Mapping[str, Any], published: Mapping[Key, Published]) -> dict[str, Any]:
    """The published value of a row, and what the measured one says of it."""
    known = published.get((row["model"], row["task"], row["metric"], row["profile"]))
    if known is None:
        return {"published": None, "source": "", "agreement": ""}
    verdict = "" if row["synthetic"] else agreement(known.value, row["low"], row["high"])
    return {"published": known.value, "source": known.source, "agreement": verdict}


def _level_rows(cells: Sequence[CellTable]) -> list[dict[str, Any]]:
    by_model: dict[str, dict[str, CellTable]] = {}
    for cell in cells:
        by_model.setdefault(cell[0], {})[cell[1]] = cell
    rows = []
    for model, of_task in by_model.items():
        measured = {
            task: {row["metric"]: row for row in table if row["profile"] == CLUE}
            for task, (_, _, _, table) in of_task.items()
        }
        values, errors = _column(measured, "value"), _column(measured, "standard_error")
        for metric, title, group, parts, level in _LEVELS:
            score = level(values, errors)
            if score.value is None:
                continue
            used = {(task, component) for part in parts for task, component in part}
            involved = [measured[task][component] for task, component in used]
            rows.append(
                {
                    "model": model,
                    "task": CLUE_TASK,
                    "group": group.value,
                    "metric": metric,
                    "title": title,
                    "profile": CLUE,
                    "headline": False,
                    "n": min(row["n"] for row in involved),
                    **_interval(score),
                    "failure_rate": None,
                    "if_wrong": None,
                    "if_right": None,
                    "skipped": max(row["skipped"] for row in involved),
                    "synthetic": any(of_task[task][2] for task, _ in used),
                    "chance": None,
                }
            )
    return rows


def _column(measured: Mapping[str, Mapping[str, Mapping[str, Any]]], column: str) -> dict[str, dict[str, float | None]]:
    return {task: {metric: row[column] for metric, row in rows.items()} for task, rows in measured.items()}


def _interval(score: LevelScore) -> dict[str, float | None]:
    value, error = score.value, score.standard_error
    if value is None or error is None:
        return {"value": value, "standard_error": error, "low": None, "high": None}
    low, high = max(0.0, value - _Z * error), min(1.0, value + _Z * error)
    return {"value": value, "standard_error": error, "low": low, "high": high}
