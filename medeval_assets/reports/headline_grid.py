"""The headline grid: each cell's headline metric, arranged as the leaderboard shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

UNREAD_FLAG = 0.1
"""From this share of unreadable answers on, a value is flagged: it may tell of format more than of knowledge."""


@dataclass(frozen=True)
class HeadlineGrid:
    """Headline rows of a leaderboard by (model, task).

    models, tasks: in the leaderboard's order; groups: task → section. cells: only the evaluated ones.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    groups: Mapping[str, str]
    cells: Mapping[tuple[str, str], Mapping[str, Any]]

    @property
    def synthetic(self) -> frozenset[str]:
        """Tasks with at least one value that rests on synthetic samples."""
        return frozenset(task for (_, task), row in self.cells.items() if row["synthetic"])

    @property
    def all_synthetic(self) -> bool:
        return all(row["synthetic"] for row in self.cells.values())

    @property
    def warning(self) -> str:
        """What to say of values on synthetic samples; "" where there are none."""
        if not self.synthetic:
            return ""
        what = "All values rest" if self.all_synthetic else "Values of tasks marked ° rest"
        return f"{what} on synthetic samples: they say nothing about a model."

    @property
    def chance(self) -> dict[str, float]:
        """Task → the value that guessing gives, where it is known."""
        return {task: float(row["chance"]) for (_, task), row in self.cells.items() if row["chance"] is not None}

    def of_task(self, task: str) -> list[Mapping[str, Any]]:
        """The task's rows in the order of the models."""
        return [self.cells[model, task] for model in self.models if (model, task) in self.cells]

    def metric(self, task: str) -> str:
        """The title of the task's headline metric."""
        return str(self.of_task(task)[0]["title"])

    def marked(self, task: str) -> str:
        """The task's name, with a sign where it, but not every task, rests on synthetic samples."""
        return f"{task} °" if task in self.synthetic and not self.all_synthetic else task

    def examples(self, task: str) -> list[str]:
        """How many examples the task's values rest on and, where prompts were skipped, how many at most."""
        rows = self.of_task(task)
        least, most = min(row["n"] for row in rows), max(row["n"] for row in rows)
        skipped = max(row["skipped"] for row in rows)
        return [f"n {least}" if least == most else f"n {least} to {most}", *([f"{skipped} skipped"] if skipped else [])]


def headline_grid(rows: Iterable[Mapping[str, Any]]) -> HeadlineGrid:
    """Arrange the headline rows of a leaderboard, which come task by task and in each task by model.

    A task that lacks models says little about their order, so the order of the task with most models leads.
    """
    cells = {(row["model"], row["task"]): row for row in rows if row["headline"]}
    by_task: dict[str, list[str]] = {}
    for model, task in cells:
        by_task.setdefault(task, []).append(model)
    fullest_first = sorted(by_task.values(), key=len, reverse=True)
    return HeadlineGrid(
        models=tuple(dict.fromkeys(model for models in fullest_first for model in models)),
        tasks=tuple(by_task),
        groups={task: str(row["group"]) for (_, task), row in cells.items()},
        cells=cells,
    )
