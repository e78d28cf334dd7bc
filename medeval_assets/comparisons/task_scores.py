"""TaskScores: the scores of several models on one task, as arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medeval_assets.metrics.score import SKIPPED

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (
    "example_id",
    "cluster_id",
    "metric",
    "title",
    "profile",
    "numerator",
    "denominator",
    "failure",
    "prompt_sha256",
    "fitting_sha256",
    "cut",
    "characters",
)
"""What is read of a scores table."""

NOT_ANSWERED = -1


@dataclass(frozen=True)
class MetricKey:
    """One metric under one profile."""

    name: str
    profile: str
    title: str


@dataclass(frozen=True)
class TaskScores:
    """Scores of M models by K metrics on the E examples that at least one of them was asked about.

    models, metrics: their names along the axes; metrics in the order shown, so the first is the headline.
    clusters: (E,) the number of each example's cluster.
    prompts: (M, E) the number of the prompt that was answered; `NOT_ANSWERED` where there is no answer. 0 stands for a
        prompt that nothing is known about.
    fittings: (M, E) the number of the way its documents were fitted.
    skipped, cut: (M, E) the prompt did not fit; the answer ended at the most tokens it may have.
    characters: (M, E) length of the answer.
    numerators, denominators: (M, K, E); NaN where the metric has no score.
    failed: (M, K, E) the answer could not be read.
    """

    task: str
    models: tuple[str, ...]
    metrics: tuple[MetricKey, ...]
    clusters: NDArray[np.int64]
    prompts: NDArray[np.int64]
    fittings: NDArray[np.int64]
    skipped: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    characters: NDArray[np.int64]
    numerators: NDArray[np.float64]
    denominators: NDArray[np.float64]
    failed: NDArray[np.bool_]

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each model stands along the first axis."""
        return {model: place for place, model in enumerate(self.models)}


def task_scores(task: str, table: pa.Table) -> TaskScores:
    """The arrays of one task.

    table: `COLUMNS` of the models' scores tables one after the other, each with the metrics in the order shown, and the
        column `model`.
    """
    model, models = _numbered(table, "model")
    example, examples = _numbered(table, "example_id")
    metric, metrics = _metrics(table)
    cluster, _ = _numbered(table, "cluster_id")
    prompt, _ = _numbered(table, "prompt_sha256", first="")
    fitting, _ = _numbered(table, "fitting_sha256")
    failure, failures = _numbered(table, "failure", first="")
    asked, scored = (len(models), len(examples)), (len(models), len(metrics), len(examples))
    answers, scores = (model, example), (model, metric, example)
    clusters = np.zeros(len(examples), dtype=np.int64)
    clusters[example] = cluster
    return TaskScores(
        task=task,
        models=tuple(models),
        metrics=tuple(metrics),
        clusters=clusters,
        prompts=_placed(prompt, asked, answers, NOT_ANSWERED),
        fittings=_placed(fitting, asked, answers, NOT_ANSWERED),
        skipped=_placed(np.array([name == SKIPPED for name in failures])[failure], asked, answers, False),
        cut=_placed(_values(table, "cut", np.bool_), asked, answers, False),
        characters=_placed(_values(table, "characters", np.int64), asked, answers, 0),
        numerators=_placed(_values(table, "numerator", np.float64), scored, scores, math.nan),
        denominators=_placed(_values(table, "denominator", np.float64), scored, scores, math.nan),
        failed=_placed(failure > 0, scored, scores, False),
    )


def _numbered(table: pa.Table, column: str, first: str | None = None) -> tuple[NDArray[np.int64], list[str]]:
    """The rows' values as numbers in order of appearance, and the values; `first` gets number 0 in any case."""
    import pyarrow as pa

    values = table.column(column)
    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    encoded = values.unify_dictionaries().combine_chunks()
    numbers, names = encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()
    if first is None:
        return numbers, names
    others = [name for name in names if name != first]
    renumbered = {name: number for number, name in enumerate([first, *others])}
    return np.array([renumbered[name] for name in names], dtype=np.int64)[numbers], [first, *others]


def _metrics(table: pa.Table) -> tuple[NDArray[np.int64], list[MetricKey]]:
    """Each row's metric as a number, and the metrics: in the order of the model that has most of them, then others."""
    metric, names = _numbered(table, "metric")
    profile, profiles = _numbered(table, "profile")
    title, titles = _numbered(table, "title")
    model, _ = _numbered(table, "model")
    both = metric * len(profiles) + profile
    # A metric's rows stand together: the first of each run tells whose and which they are.
    starts = np.flatnonzero(np.diff(both, prepend=-1) | np.diff(model, prepend=-1))
    per_model: dict[int, dict[int, int]] = {}
    for row in starts.tolist():
        per_model.setdefault(int(model[row]), {}).setdefault(int(both[row]), row)
    first_row: dict[int, int] = {}
    for rows in sorted(per_model.values(), key=len, reverse=True):
        for key, row in rows.items():
            first_row.setdefault(key, row)
    rank = np.zeros(len(names) * len(profiles), dtype=np.int64)
    rank[list(first_row)] = np.arange(len(first_row))
    keys = [MetricKey(names[metric[row]], profiles[profile[row]], titles[title[row]]) for row in first_row.values()]
    return rank[both], keys


def _values(table: pa.Table, column: str, kind: type[Any]) -> NDArray[Any]:
    return np.asarray(table.column(column).to_numpy()).astype(kind)


def _placed(
    values: NDArray[Any], shape: tuple[int, ...], where: tuple[NDArray[np.int64], ...], empty: float
) -> NDArray[Any]:
    """The values put where their rows belong, `empty` elsewhere."""
    array = np.full(shape, empty, dtype=values.dtype)
    array[where] = values
    return array
