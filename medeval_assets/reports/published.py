"""Published values, and whether the measured ones agree with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medeval_assets.errors import BadInput, Problem
from medeval_assets.sources.source_folder import Row, RowProblem, SourceFile


@dataclass(frozen=True)
class Published:
    """A value that somebody has published, as a fraction, and where."""

    value: float
    source: str


Key = tuple[str, str, str, str]
"""Model, task, metric, profile."""


def read_published(file: SourceFile) -> Mapping[Key, Published]:
    """Read a csv with the columns model, task, metric, profile, published (0 to 1) and source.

    Raises BadInput that names every row with an empty field, a value that is no fraction, or a key read before.
    """
    known: dict[Key, Published] = {}
    problems: list[Problem] = []
    for row in file.csv(["model", "task", "metric", "profile", "published", "source"]):
        try:
            key = row.text("model"), row.text("task"), row.text("metric"), row.text("profile")
            value = Published(_fraction(row), row.text("source"))
            if key in known:
                what = "this model, task, metric and profile has a value already"
                raise RowProblem(row.where, what, "Keep one of the two.")
            known[key] = value
        except RowProblem as error:
            problems.append(error.problem)
    if problems:
        raise BadInput(problems)
    return known


def agreement(published: float, low: float | None, high: float | None) -> str:
    """What a measurement says of a published value.

    low, high: the measured 95 % interval. "agrees" where the published value lies within it, ends included; "higher"
    where all of it lies above the published value, "lower" where all of it lies below; "" where there is no interval.
    """
    if low is None or high is None:
        return ""
    if low > published:
        return "higher"
    return "lower" if high < published else "agrees"


def _fraction(row: Row) -> float:
    try:
        value = float(row.text("published"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise RowProblem(f"{row.where} published", "expected a number from 0 to 1", "Write 64.3 % as 0.643.")
    return value
