"""Plan: every table that an evaluation would look at, and what would become of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from medeval_assets.lake.staleness import Change

State = Literal["fresh", "missing", "stale", "follows", "blocked"]
"""fresh: stays as it is. missing, stale: is made. follows: something before it is made, and if that comes out
otherwise than before, so is this. blocked: cannot be made."""

MEASURED = "measured"
MEASURED_ON_OTHER_TASKS = "measured on other tasks"
MEASURED_FOR_OTHERS = "measured for other models"
AT_MOST = "at most"


@dataclass(frozen=True)
class TablePlan:
    """What becomes of one table.

    changes: why it is stale.
    problem: why it is blocked, or cannot be read as it is; else "".
    """

    asset: str
    state: State
    changes: Sequence[Change] = ()
    problem: str = ""


@dataclass(frozen=True)
class Cost:
    """What it takes to answer the prompts of a cell.

    prompts: that the generations are to hold.
    skipped: of these, those that do not fit into the model's context.
    answered: of these, those whose answer is in the journal, or needs no model.
    to_ask: requests to the model; prompts that are the same are asked once.
    prompt_tokens: of these requests; None where they are not tokenized here.
    generated_tokens: of their answers, estimated. generated_from: `measured` (this model on this task), `measured for
        other models` (on this task), `at most` (what the task allows), or "" where nothing is generated.
    seconds: estimated, without loading the model; None where nothing of this model was measured on this engine, dtype
        and kind of device. seconds_from: `measured` (on this task), `measured on other tasks`, or "".
    """

    prompts: int
    skipped: int = 0
    answered: int = 0
    to_ask: int = 0
    prompt_tokens: int | None = 0
    generated_tokens: float = 0.0
    generated_from: str = ""
    seconds: float | None = 0.0
    seconds_from: str = ""


@dataclass(frozen=True)
class CellPlan:
    """What becomes of a cell's tables. cost: None where the generations stay as they are or are blocked."""

    task: str
    generations: TablePlan
    scores: TablePlan
    metric_tables: TablePlan
    cost: Cost | None = None

    @property
    def tables(self) -> tuple[TablePlan, ...]:
        return (self.generations, self.scores, self.metric_tables)


@dataclass(frozen=True)
class TaskPlan:
    """What becomes of what all models share."""

    task: str
    datasets: TablePlan
    prompt_sets: TablePlan

    @property
    def tables(self) -> tuple[TablePlan, ...]:
        return (self.datasets, self.prompt_sets)

    @property
    def ready(self) -> bool:
        """Whether models can be asked about it."""
        return all(table.state != "blocked" for table in self.tables)


@dataclass(frozen=True)
class ModelPlan:
    """What becomes of a model's cells.

    state: `here`, `not here` (its files would be downloaded or converted first) or `blocked` (they cannot be used).
    problem: why it is not here or blocked; its cells are then not looked at.
    loads: whether it would be loaded.
    """

    model: str
    state: Literal["here", "not here", "blocked"]
    problem: str = ""
    cells: Sequence[CellPlan] = ()

    @property
    def loads(self) -> bool:
        return any(cell.cost is not None and cell.cost.to_ask for cell in self.cells)

    @property
    def total(self) -> Cost:
        """Of all cells. Where something of it is not known, neither is the sum."""
        costs = [cell.cost for cell in self.cells if cell.cost is not None]
        tokens = [cost.prompt_tokens for cost in costs]
        seconds = [cost.seconds for cost in costs]
        return Cost(
            prompts=sum(cost.prompts for cost in costs),
            skipped=sum(cost.skipped for cost in costs),
            answered=sum(cost.answered for cost in costs),
            to_ask=sum(cost.to_ask for cost in costs),
            prompt_tokens=None if None in tokens else sum(filter(None, tokens)),
            generated_tokens=sum(cost.generated_tokens for cost in costs),
            generated_from=_weakest((cost.generated_from for cost in costs), (MEASURED, MEASURED_FOR_OTHERS, AT_MOST)),
            seconds=None if None in seconds else sum(filter(None, seconds)),
            seconds_from=_weakest((cost.seconds_from for cost in costs), (MEASURED, MEASURED_ON_OTHER_TASKS)),
        )


@dataclass(frozen=True)
class Plan:
    """What `medeval evaluate` with the same options would do.

    limit: most prompts of a task; None is all. prompts: whose words.
    reports: the tables over all cells.
    """

    limit: int | None
    prompts: str
    tasks: Sequence[TaskPlan]
    models: Sequence[ModelPlan]
    reports: Sequence[TablePlan]

    @property
    def tables(self) -> list[TablePlan]:
        tables = [table for task in self.tasks for table in task.tables]
        tables += [table for model in self.models for cell in model.cells for table in cell.tables]
        return [*tables, *self.reports]

    @property
    def nothing_to_do(self) -> bool:
        """Whether every table would stay as it is. What is blocked or not here is something to do."""
        return all(table.state == "fresh" for table in self.tables) and all(
            model.state == "here" for model in self.models
        )

    def as_json(self) -> dict[str, Any]:
        models = [{**asdict(model), "loads": model.loads, "total": asdict(model.total)} for model in self.models]
        return {**asdict(self), "models": models, "nothing_to_do": self.nothing_to_do}


def _weakest(given: Iterable[str], order: Sequence[str]) -> str:
    """The one that stands last in the order; "" where there is none."""
    return max((one for one in given if one), key=order.index, default="")
