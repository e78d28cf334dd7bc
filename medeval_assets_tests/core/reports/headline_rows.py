"""Leaderboard rows for the tests of its page and its picture."""

from __future__ import annotations

from typing import Any


def headline(model: str, task: str, value: float | None = 0.5, **columns: Any) -> dict[str, Any]:
    """A headline row of 20 examples whose interval reaches 0.1 to either side."""
    row = {
        "model": model,
        "task": task,
        "group": "knowledge tests",
        "metric": "accuracy_lenient",
        "title": "Accuracy (lenient)",
        "profile": "corrected",
        "headline": True,
        "n": 20,
        "value": value,
        "standard_error": 0.05,
        "low": None if value is None else value - 0.1,
        "high": None if value is None else value + 0.1,
        "failure_rate": 0.0,
        "skipped": 0,
        "synthetic": False,
        "chance": None,
        "published": None,
        "source": "",
    }
    return {**row, **columns}
