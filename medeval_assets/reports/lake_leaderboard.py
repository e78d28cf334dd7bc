"""The leaderboard of what is in a lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.lake.purged import purged
from medeval_assets.reports.leaderboard import TAKEN_OVER, CellTable, leaderboard
from medeval_assets.reports.published import Key, Published


def evaluated_cells(lake: Lake, tasks: Mapping[str, TaskSpec], models: Sequence[str]) -> dict[str, list[LineageRecord]]:
    """Task → the records of its metric tables, tasks and models in the order given, unknown models last by name."""
    rank = {model: number for number, model in enumerate(models)}
    keys = [key for key in lake.keys("metric_tables") if key.task in tasks]
    keys.sort(key=lambda key: (rank.get(key.model, len(rank)), key.model))
    cells: dict[str, list[LakeKey]] = {}
    for key in keys:
        cells.setdefault(key.task, []).append(key)
    return {task: lake.records(cells[task]) for task in tasks if task in cells}


def leaderboard_rows(
    lake: Lake,
    tasks: Mapping[str, TaskSpec],
    cells: Mapping[str, Sequence[LineageRecord]],
    published: Mapping[Key, Published],
) -> list[dict[str, Any]]:
    """The leaderboard's rows for the cells that `evaluated_cells` found. Their tasks' datasets are read for chance.

    Of a task whose dataset was purged, chance is what the leaderboard said before.
    """
    tables: list[CellTable] = []
    for task, records in cells.items():
        rows: dict[str, list[dict[str, Any]]] = {record.model: [] for record in records}
        for row in lake.read_models([record.key for record in records], TAKEN_OVER).to_pylist():
            rows[row["model"]].append(row)
        tables += [(record.model, task, record.synthetic, rows[record.model]) for record in records]
    chance = {task: _chance(lake, task) for task in cells}
    known = {task: value for task, value in chance.items() if value is not None}
    return leaderboard(tables, tasks, published, known)


def _chance(lake: Lake, task: str) -> float | None:
    """What guessing among the options gives on average; None for a task without options."""
    if purged(lake, LakeKey("datasets", task=task)) is not None:
        return _chance_before(lake, task)
    table = lake.read(LakeKey("datasets", task=task), ["options", "split"])
    rows = zip(table.column("options").to_pylist(), table.column("split").to_pylist(), strict=True)
    counts = [len(options) for options, split in rows if split == "test"]
    return sum(1 / count for count in counts) / len(counts) if counts and all(counts) else None


def _chance_before(lake: Lake, task: str) -> float | None:
    """What the current leaderboard says of the task's headline."""
    if lake.record(LakeKey("leaderboard")) is None:
        return None
    table = lake.read(LakeKey("leaderboard"), ["task", "chance"])
    rows = zip(table.column("task").to_pylist(), table.column("chance").to_pylist(), strict=True)
    return next((chance for of, chance in rows if of == task and chance is not None), None)
