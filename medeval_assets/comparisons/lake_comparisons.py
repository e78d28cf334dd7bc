"""The comparisons of pairs of models whose scores are in a lake."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.comparisons.comparison import Pair, compare_on_task
from medeval_assets.comparisons.family import with_adjusted_p
from medeval_assets.comparisons.noise import NoiseOfMetrics, noise_of
from medeval_assets.comparisons.task_scores import COLUMNS, task_scores
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import LineageRecord

if TYPE_CHECKING:
    import pyarrow as pa

MARGIN = 0.02
"""Differences below two percentage points are taken not to matter, unless the user says otherwise."""


def declared_pairs(models: Mapping[str, ModelSpec]) -> list[Pair]:
    """Every model that names a base, with it, in the catalog's order."""
    return [(key, spec.base) for key, spec in models.items() if spec.base is not None and spec.base in models]


def scored_by_pairs(lake: Lake, tasks: Mapping[str, TaskSpec], pairs: Sequence[Pair]) -> dict[str, list[LineageRecord]]:
    """Task → the records of the scores that its comparisons rest on: of models of pairs that are both scored there."""
    scored: dict[str, set[str]] = {}
    keys = {(key.task, key.model): key for key in lake.keys("scores")}
    for task, model in keys:
        scored.setdefault(task, set()).add(model)
    found: dict[str, list[LineageRecord]] = {}
    for task in tasks:
        complete = [pair for pair in pairs if scored.get(task, set()).issuperset(pair)]
        models = dict.fromkeys(model for pair in complete for model in pair)
        if models:
            found[task] = lake.records([keys[task, model] for model in models])
    return found


def comparison_rows(
    lake: Lake,
    tasks: Mapping[str, TaskSpec],
    inputs: Mapping[str, Sequence[LineageRecord]],
    pairs: Sequence[Pair],
    *,
    margin: float,
    repeat_checks: Sequence[LineageRecord] = (),
) -> list[dict[str, Any]]:
    """The comparisons table: by pair, then by task and by metric as shown.

    inputs: what `scored_by_pairs` found. Two tasks are held in memory at a time.
    repeat_checks: what `repeat_checks_of` found for these.
    """
    rows: list[dict[str, Any]] = []
    noise: dict[str, dict[str, NoiseOfMetrics]] = {}
    for record in repeat_checks:
        noise.setdefault(record.task, {})[record.model] = noise_of(lake.rows(record.key))
    for task, table in _read_ahead(lake, inputs):
        rows += compare_on_task(
            tasks[task],
            task_scores(task, table),
            pairs,
            margin=margin,
            synthetic=frozenset(record.model for record in inputs[task] if record.synthetic),
            noise=noise.get(task),
        )
    rank = {pair: number for number, pair in enumerate(pairs)}
    rows.sort(key=lambda row: rank[row["model"], row["base"]])
    return with_adjusted_p(rows)


def _read_ahead(lake: Lake, inputs: Mapping[str, Sequence[LineageRecord]]) -> Iterator[tuple[str, pa.Table]]:
    """Each task's scores; the next ones are read while these are compared."""

    def read(task: str) -> pa.Table:
        return lake.read_models([record.key for record in inputs[task]], COLUMNS)

    with ThreadPoolExecutor(1) as reader:
        waiting: deque[tuple[str, Future[pa.Table]]] = deque()
        for task in inputs:
            waiting.append((task, reader.submit(read, task)))
            if len(waiting) > 1:
                first, table = waiting.popleft()
                yield first, table.result()
        for task, table in waiting:
            yield task, table.result()
