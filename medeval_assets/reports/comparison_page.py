"""The comparisons as a page of Markdown: what was found, pair by pair, and what to make of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medeval_assets.comparisons.comparison import PLANNED
from medeval_assets.reports.forest_plot import counts_of, stands_up, warning_of
from medeval_assets.reports.markdown import escaped, table
from medeval_assets.reports.points import NOTHING, detectable, noise, p_value, percent, signed, signed_interval

_MOST_PAIRS = 40
_HEADER = (
    "task (metric)",
    "n",
    "model",
    "base",
    "difference (95 %)",
    "p, Holm",
    "verdict",
    "detectable",
    "only model / only base",
    "from answers",
    "from format",
    "notes",
)


def markdown_page(rows: Iterable[Mapping[str, Any]]) -> str:
    """The planned comparisons: an overview of all pairs, then a table for each of the first 40.

    rows: the comparisons'. Values in percent, differences in percentage points. Names are escaped: they are no markup.
    """
    planned = [row for row in rows if row["family"] == PLANNED]
    if not planned:
        return "No model and its base have been evaluated on the same task yet."
    by_pair: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in planned:
        by_pair.setdefault((row["model"], row["base"]), []).append(row)
    parts = [_explanation(planned)]
    if warning_of(planned):
        parts.append(f"**{warning_of(planned)}**\n")
    parts.append(
        table(
            ("model", "base", "tasks", "verdicts", "stand up to Holm", "base not worse by the margin"),
            (_overview(pair, members) for pair, members in by_pair.items()),
        )
    )
    for (model, base), members in list(by_pair.items())[:_MOST_PAIRS]:
        parts.append(f"### {escaped(model)} against {escaped(base)}\n")
        parts.append(table(_HEADER, map(_line, members)))
    if len(by_pair) > _MOST_PAIRS:
        parts.append(f"{len(by_pair) - _MOST_PAIRS} more pairs: `medeval compare MODEL BASE` shows each.\n")
    return "\n".join(parts)


def _explanation(rows: Sequence[Mapping[str, Any]]) -> str:
    margin = max(row["margin"] for row in rows)
    return (
        f"Headline metrics on the examples that both models answered under the same prompt. **win**, **loss**: the "
        f"95 % interval of the difference lies on one side of 0. **tie**: it lies within ±{100 * margin:g} points. "
        f"**inconclusive**: neither, so more examples are needed; *detectable* is the smallest difference that this "
        f"many find with 80 % power. *p, Holm* is adjusted over all {len(rows)} planned comparisons; a win or a loss "
        f"that stands up to it is bold. *noise* is how far the difference moves when both models are asked some "
        f"prompts again, one a batch or on another engine (in brackets how many); without it, it was not measured: "
        f"`medeval evaluate --repeat-check`.\n"
    )


def _overview(pair: tuple[str, str], rows: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    stands = [row for row in rows if stands_up(row)]
    better = sum(row["difference"] > 0 for row in stands)
    compared = sum(row["difference"] is not None for row in rows)
    return (
        escaped(pair[0]),
        escaped(pair[1]),
        str(compared),
        counts_of(rows),
        f"{better} better, {len(stands) - better} worse",
        f"{sum(row['base_non_inferior'] for row in rows)} of {compared}",
    )


def _line(row: Mapping[str, Any]) -> Sequence[str]:
    flips = NOTHING if row["only_model"] is None else f"{row['only_model']} / {row['only_base']}"
    return (
        f"{escaped(row['task'])}{' °' if row['synthetic'] else ''} ({escaped(row['title'])})",
        str(row["n"]),
        percent(row["value"]),
        percent(row["base_value"]),
        "; ".join(filter(None, (signed_interval(row), noise(row)))),
        p_value(row["p_holm"]),
        f"**{row['verdict']}**" if stands_up(row) else row["verdict"],
        detectable(row["detectable"]),
        flips,
        signed(row["from_answers"]),
        signed(row["from_format"]),
        escaped("; ".join(notes(row))),
    )


def notes(row: Mapping[str, Any]) -> list[str]:
    """What a reader of one comparison should know beside its numbers."""
    found = [f"refused: {row['refused']}"] if row["refused"] else []
    if row["sign_change"]:
        found.append(f"the sign changes when answers are read by: {row['sign_change']}")
    if row["other_prompt"] and not row["refused"]:
        found.append(f"{row['other_prompt']} of {row['examples']} shared examples had another prompt")
    if row["skipped"]:
        found.append(f"{row['skipped']} did not fit one model's context")
    if row["fitted_differently"]:
        found.append(f"{row['fitted_differently']} were fitted differently")
    if row["truncated_examples"] and row["from_truncation"]:
        found.append(f"{signed(row['from_truncation'])} from answers that were cut ({row['truncated_examples']})")
    if row["from_length"] and abs(row["from_length"]) >= 0.005:
        found.append(f"{signed(row['from_length'])} goes with the length of the answers")
    return found
