"""Records of a file that its owners write as one JSON array, as JSON lines, or as either."""

from __future__ import annotations

from medeval_assets.errors import BadInput, Problem
from medeval_assets.sources.source_folder import Row, SourceFile


def json_records(file: SourceFile) -> list[Row]:
    """One row a record: `where` is `file:item 3` in an array and `file:3` in JSON lines, both counted from 1.

    BadInput where the file is neither, or holds no record.
    """
    if not file.string().lstrip().startswith("["):
        return file.json_lines()
    rows = [Row(f"{file.name}:item {number}", record) for number, record in enumerate(file.json(), 1)]
    if not rows:
        raise BadInput([Problem(file.name, "the list is empty", "Get it again from its owner.")])
    return rows


def position(row: Row) -> str:
    """The id of a record that its owner gave none: `item-3` or `line-3`."""
    at = row.where.rpartition(":")[2].replace(" ", "-")
    return at if at.startswith("item-") else f"line-{at}"
