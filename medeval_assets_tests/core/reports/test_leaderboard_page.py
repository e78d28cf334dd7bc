"""The leaderboard's Markdown table."""

from __future__ import annotations

from typing import Any

import pytest

from medeval_assets.reports.leaderboard_page import markdown_table
from medeval_assets_tests.core.reports.headline_rows import headline


def table(rows: list[dict[str, Any]]) -> list[list[str]]:
    lines = [line for line in markdown_table(rows).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines]


@pytest.mark.parametrize(
    ("columns", "cell"),
    [
        ({}, "50.0 ± 10.0 (n 20)"),
        ({"low": None, "high": None}, "50.0 (n 20)"),
        ({"value": None, "low": None, "high": None, "n": 0, "skipped": 3}, "no value, 3 skipped"),
        ({"skipped": 3, "published": 0.643}, "50.0 ± 10.0 (n 20, 3 skipped, published 64.3)"),
        ({"failure_rate": 0.09}, "50.0 ± 10.0 (n 20)"),
        ({"failure_rate": 0.4}, "50.0 ± 10.0 (n 20) ⚠ 40 % unread"),
        ({"synthetic": True, "published": 0.643}, "50.0 ± 10.0° (n 20)"),
    ],
)
def test_a_cell(columns: dict[str, Any], cell: str) -> None:
    rows = [headline("m1", "medqa", **columns), headline("m1", "jama", group="case challenges")]
    assert table(rows)[2] == ["knowledge tests", "medqa (Accuracy (lenient))", cell]


def test_tasks_run_down_and_models_keep_their_order_where_a_task_lacks_one() -> None:
    rows = [headline("m2", "medqa"), headline("m1", "medmcqa", 0.2), headline("m2", "medmcqa", headline=True)]
    rows.append(headline("m1", "medmcqa", metric="accuracy_strict", headline=False))
    assert table(rows) == [
        ["section", "task (metric)", "m1", "m2"],
        ["---"] * 4,
        ["knowledge tests", "medqa (Accuracy (lenient))", "", "50.0 ± 10.0 (n 20)"],
        ["", "medmcqa (Accuracy (lenient))", "20.0 ± 10.0 (n 20)", "50.0 ± 10.0 (n 20)"],
    ]


def test_more_models_than_tasks_run_down() -> None:
    lines = table([headline("m1", "medqa"), headline("m2", "medqa")])
    assert [line[0] for line in lines] == ["model", "---", "m1", "m2"]


def test_names_are_no_markup() -> None:
    text = markdown_table([headline("<img src=x>|[a](b)`c`", "**t**\n| x")])
    assert r"\<img src=x\>\|\[a\](b)\`c\`" in text
    assert r"\*\*t\*\* \| x" in text


@pytest.mark.parametrize(
    ("synthetic", "note"),
    [((True, True), "All values rest on synthetic"), ((True, False), "Values marked °"), ((False, False), "")],
)
def test_synthetic_samples_are_announced(synthetic: tuple[bool, bool], note: str) -> None:
    rows = [headline("m1", task, synthetic=flag) for task, flag in zip(("medqa", "jama"), synthetic, strict=True)]
    text = markdown_table(rows)
    assert note in text
    assert ("synthetic" in text) == any(synthetic)


def test_nothing_evaluated() -> None:
    assert markdown_table([]) == "No cell has been evaluated yet."
