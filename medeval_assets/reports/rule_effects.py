"""What each of the benchmark's rules changes, beside the published value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medeval_assets.metrics.metric import CLUE, CORRECTED
from medeval_assets.reports.markdown import escaped, table
from medeval_assets.reports.points import NOTHING, percent, signed

_HEADER = ("model", "task (metric)", "n", "corrected", "what each rule changes", CLUE, "published", "verdict")
_MOST_LINES = 400


def rule_effects(rows: Iterable[Mapping[str, Any]], last_rules: Mapping[tuple[str, str], str]) -> str:
    """A table of every metric that has values under both profiles, and of the level scores; "" where there is none.

    rows: the leaderboard's. last_rules: (task, metric) → the rule by which the last rung differs from the one below.
    Values in percent, changes in percentage points; a rule that changes nothing is left out.
    """
    ladders: dict[tuple[str, str, str], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        ladders.setdefault((row["model"], row["task"], row["metric"]), {})[row["profile"]] = row
    lines = [
        _line(steps, last_rules.get((task, metric), "the last rule"))
        for (_, task, metric), steps in ladders.items()
        if CLUE in steps
    ]
    if not lines:
        return ""
    more = len(lines) - _MOST_LINES
    note = f"\n{more} more lines are in the table's file.\n" if more > 0 else ""
    return table(_HEADER, lines[:_MOST_LINES]) + note


def _line(steps: Mapping[str, Mapping[str, Any]], last_rule: str) -> Sequence[str]:
    row = steps[CLUE]
    corrected = steps.get(CORRECTED)
    published = "" if row["published"] is None or row["synthetic"] else percent(row["published"])
    return (
        escaped(row["model"]),
        f"{escaped(row['task'])} ({escaped(row['title'])}){' °' if row['synthetic'] else ''}",
        str(row["n"]),
        percent(corrected["value"]) if corrected is not None else NOTHING,
        ", ".join(_changes(steps, last_rule)),
        percent(row["value"]),
        published,
        row["agreement"],
    )


def _changes(steps: Mapping[str, Mapping[str, Any]], last_rule: str) -> list[str]:
    """Each rule with what it adds to the value of the rung below it."""
    last = steps.get(CORRECTED, {}).get("value")
    changes = []
    for profile, row in steps.items():
        if profile == CORRECTED:
            continue
        rule = last_rule if profile == CLUE else profile.removeprefix(f"{CLUE}.")
        value = row["value"]
        if value is not None and last is not None and value != last:
            changes.append(f"{escaped(rule)} {signed(value - last)}")
        last = value
    return changes
