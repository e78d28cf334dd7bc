"""Examples as rows of the `datasets` table, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from medeval_assets.catalog.task_spec import Document, Example


def rows_of(examples: Iterable[Example]) -> list[dict[str, Any]]:
    """One row an example, in order."""
    return [asdict(example) for example in examples]


def examples_of(rows: Iterable[Mapping[str, Any]]) -> list[Example]:
    """The examples that `rows_of` wrote."""
    return [
        Example(
            **{
                **row,
                "targets": tuple(row["targets"]),
                "documents": tuple(Document(**document) for document in row["documents"]),
            }
        )
        for row in rows
    ]
