"""The versions of the tables' columns, and how a table of an older version becomes one of today's.

When the columns of a table change: raise its version here and say in MIGRATIONS how the older table becomes the newer
one. Files that are already in the lake stay as they are, byte for byte; they are brought up to date when they are read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from medeval_assets.errors import BadInput, Problem

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_VERSIONS: dict[str, int] = {
    "datasets": 1,
    "prompt_sets": 1,
    "generations": 1,
    "scores": 1,
    "metric_tables": 1,
    "repeat_checks": 1,
    "leaderboard": 1,
    "comparisons": 1,
    "lineage_audit": 1,
}
"""Asset → version of its columns as `lake.tables` declares them."""

MIGRATIONS: dict[tuple[str, int], Callable[[pa.Table], pa.Table]] = {}
"""(asset, version) → what makes a table of that version one of the next."""


def table_version(asset: str) -> int:
    """The version of the asset's columns as they are declared today."""
    return TABLE_VERSIONS[asset]


def upgraded(asset: str, version: int, table: pa.Table) -> pa.Table:
    """A table that was written with the columns of `version`, with the columns of today.

    Raises BadInput where it is from a newer release than this one, or where nobody said how to bring it up to date.
    """
    today = table_version(asset)
    if version > today:
        what = f"its columns are of version {version}, and this release knows version {today}"
        raise BadInput([Problem(asset, what, "Install the release that wrote it, or a newer one.")])
    for step in range(version, today):
        migrate = MIGRATIONS.get((asset, step))
        if migrate is None:
            what = f"nothing says how its columns of version {step} become those of version {step + 1}"
            raise BadInput([Problem(asset, what, "Materialize it again.")])
        table = migrate(table)
    return table
