"""The comparison of two models as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medeval_assets.metrics.metric import CORRECTED
from medeval_assets.reports.comparison_page import notes
from medeval_assets.reports.points import NOTHING, detectable, noise, p_value, percent, signed, signed_interval

if TYPE_CHECKING:
    from rich.table import Table

_STYLES = {"win": "bold blue", "loss": "bold red"}


def difference_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """What was found: values, difference, interval, noise, p, verdict, what could have been found, and the flips.

    rows: comparisons of one pair.
    """
    model, base = rows[0]["model"], rows[0]["base"]
    table = _table(
        "task", "metric", "n", model, base, "difference (95 %)", "p", "Holm", "verdict", "detectable", "flips"
    )
    for row in rows:
        flips = NOTHING
        if row["only_model"] is not None:
            flips = "/".join(str(row[kind]) for kind in ("both_right", "only_model", "only_base", "neither"))
        _add(
            table,
            row["task"],
            _metric(row),
            str(row["n"]),
            percent(row["value"]),
            percent(row["base_value"]),
            "\n".join(filter(None, (signed_interval(row), noise(row)))),
            p_value(row["p"]),
            p_value(row["p_holm"]),
            row["verdict"] or "refused",
            detectable(row["detectable"]),
            flips,
            style=_STYLES.get(row["verdict"], ""),
        )
    return table


def cause_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Where each difference comes from, in percentage points, and what else to know of it."""
    table = _table("task", "metric", "difference", "from answers", "length", "format", "truncation", "notes")
    for row in rows:
        _add(
            table,
            row["task"],
            _metric(row),
            signed(row["difference"]),
            signed(row["from_answers"]),
            signed(row["from_length"]),
            _with_count(row["from_format"], row["format_examples"]),
            _with_count(row["from_truncation"], row["truncated_examples"]),
            "; ".join(notes(row)),
        )
    return table


def _metric(row: Mapping[str, Any]) -> str:
    return str(row["title"]) if row["profile"] == CORRECTED else f"{row['title']} [{row['profile']}]"


def _with_count(part: float | None, examples: int) -> str:
    return f"{signed(part)} ({examples})" if examples else signed(part)


def _table(*columns: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(Text(column), overflow="fold", no_wrap=column.startswith("difference"))
    return table


def _add(table: Table, *cells: str, style: str = "") -> None:
    from rich.text import Text

    # As text, not as markup: names come from files.
    table.add_row(*(Text(cell, style=style) for cell in cells))
