"""What follows when one column of a table is changed: the dependencies that the code has, found by trying."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medeval_assets.errors import MedevalError
from medeval_assets.lake.column_lineage import Column
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake

Row = dict[str, Any]
Change = Callable[[list[Row]], list[Row]]
"""A table's rows → the same with one column changed. It may change its argument."""


Changes = Mapping[str, Sequence[Change]]
"""Column → ways to change it."""


@dataclass
class Found:
    """What was found of one asset.

    columns: its column → the columns of its sources whose change was seen in it while the rows stayed the same ones.
    rows: columns of its sources whose change was followed by other rows, or by a refusal to make any.
    """

    columns: dict[str, set[Column]] = field(default_factory=dict)
    rows: set[Column] = field(default_factory=set)


def find(
    lake: Lake,
    make: Callable[[], Iterable[Mapping[str, Any]]],
    changes: Mapping[tuple[LakeKey, ...], Changes],
    identity: Sequence[str],
    found: Found,
) -> None:
    """Make the table once, then again after each change of one column of a source, and add what follows to `found`.

    changes: tables → the changes of a column, each of which is made in all of these tables at once.
    identity: the columns that tell its rows apart: where they differ, the rows are other ones.
    """
    before = [dict(row) for row in make()]
    assert before, "a table without rows shows nothing"
    for keys, by_column in changes.items():
        there = [(key, lake.records([key])[0], Path(lake.path(key))) for key in keys]
        contents = [file.read_bytes() for _, _, file in there]
        for name, way in ((name, way) for name, ways in by_column.items() for way in ways):
            for key, record, _ in there:
                lake.write(key, way(lake.rows(key)), record.derivation, run_id=record.run_id)
            try:
                after = [dict(row) for row in make()]
            except MedevalError:
                found.rows.add((keys[0].asset, name))
            else:
                _compare(before, after, (keys[0].asset, name), identity, found)
            for (_, _, file), content in zip(there, contents, strict=True):
                file.unlink()
                file.write_bytes(content)


def every(change: Callable[[Any], Any], column: str) -> Change:
    """The column's value of every row changed."""
    return lambda rows: [{**row, column: change(row[column])} for row in rows]


def all_become(value: Any, column: str) -> Change:
    """Every row gets the same value."""
    return every(lambda _: value, column)


def rotated(column: str) -> Change:
    """Every row gets the value of the next one."""
    return lambda rows: [{**row, column: rows[(place + 1) % len(rows)][column]} for place, row in enumerate(rows)]


def only(place: int, change: Callable[[Any], Any], column: str) -> Change:
    """The column's value of one row changed."""

    def changed(rows: list[Row]) -> list[Row]:
        rows[place] = {**rows[place], column: change(rows[place][column])}
        return rows

    return changed


def _compare(
    before: Sequence[Row], after: Sequence[Row], source: Column, identity: Sequence[str], found: Found
) -> None:
    def names(rows: Sequence[Row]) -> list[tuple[Any, ...]]:
        return [tuple(row[name] for name in identity) for row in rows]

    if names(before) != names(after):
        found.rows.add(source)
    if len(before) != len(after):
        return
    for one, other in zip(before, after, strict=True):
        for name in one:
            if not _same(one[name], other[name]):
                found.columns.setdefault(name, set()).add(source)


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal but for rounding, the order of a map's entries included."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one.items()) == list(other.items())
    return bool(one == other)
