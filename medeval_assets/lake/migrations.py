"""The versions of the tables' columns, and how a table of an older version becomes one of today's."""

from __future__ import annotations

TABLE_VERSIONS: dict[str, int] = {}
"""Asset → version of its columns; 1 where none is named."""


def table_version(asset: str) -> int:
    """The version of the asset's columns as they are declared today."""
    return TABLE_VERSIONS.get(asset, 1)
