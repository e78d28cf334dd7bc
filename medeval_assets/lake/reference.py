"""The lake's reference pages, made from what declares it: the JSON Schema of the record, and every table's columns."""

from __future__ import annotations

from typing import Any

from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.lake.migrations import TABLE_VERSIONS


def record_schema() -> dict[str, Any]:
    """The JSON Schema of the lineage record that stands in a table's footer under `medeval.lineage`."""
    schema = LineageRecord.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def tables_page() -> str:
    """Every table with its columns, as Markdown."""
    from medeval_assets.lake.tables import TABLES, column_descriptions

    lines = [
        "# Tables",
        "Every table of the lake, as `medeval_assets/lake/tables.py` declares it. Every write is checked against it.",
    ]
    for asset, declared in TABLES.items():
        lines += ["", f"## {asset}", f"{_about(declared)} Columns of version {TABLE_VERSIONS[asset]}.", ""]
        lines += ["| column | type | holds |", "| --- | --- | --- |"]
        lines += [f"| `{name}` | `{kind}` | {_cell(about)} |" for name, kind, about in column_descriptions(asset)]
    return "\n".join(lines) + "\n"


def _about(declared: type) -> str:
    return " ".join((declared.__doc__ or "").split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
