"""The comparisons' page and pictures: what they show, and that names are no markup."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from medeval_assets.reports import forest_plot, verdict_grid
from medeval_assets.reports.comparison_page import markdown_page
from medeval_assets.reports.comparison_picture import picture


def comparison(task: str, difference: float | None = 0.1, **columns: Any) -> dict[str, Any]:
    """A planned comparison whose interval reaches 0.05 to either side."""
    row = {
        "model": "bio",
        "base": "base",
        "task": task,
        "title": "Accuracy (lenient)",
        "family": "planned",
        "refused": "",
        "examples": 40,
        "other_prompt": 0,
        "skipped": 0,
        "fitted_differently": 0,
        "n": 40,
        "value": None if difference is None else 0.5 + difference,
        "base_value": None if difference is None else 0.5,
        "difference": difference,
        "low": None if difference is None else difference - 0.05,
        "high": None if difference is None else difference + 0.05,
        "p_holm": 0.01,
        "verdict": "win",
        "margin": 0.02,
        "base_non_inferior": False,
        "detectable": 0.08,
        "noise": None,
        "noise_examples": 0,
        "only_model": 6,
        "only_base": 2,
        "from_answers": 0.04,
        "from_length": 0.0,
        "from_format": 0.06,
        "from_truncation": 0.0,
        "truncated_examples": 0,
        "sign_change": "",
        "synthetic": False,
    }
    return {**row, **columns}


REFUSED = comparison("jama", None, refused="none of the 40 had <b>it</b>", verdict="", p_holm=None, n=0)


def test_the_page_says_what_was_found_and_what_stands_up() -> None:
    page = markdown_page([comparison("nejm"), comparison("medqa", p_holm=0.4), REFUSED])
    assert "| bio | base | 2 | 2 win, 1 refused | 1 better, 0 worse | 0 of 2 |" in page
    (nejm,) = [line for line in page.splitlines() if line.startswith("| nejm")]
    assert "| 40 | 60.0 | 50.0 | +10.0 (+5.0 to +15.0) | 0.010 | **win** | 8.0 | 6 / 2 | +4.0 | +6.0 |" in nejm
    (medqa,) = [line for line in page.splitlines() if line.startswith("| medqa")]
    assert "| 0.400 | win |" in medqa
    assert "none of the 40 had \\<b\\>it\\</b\\>" in page


def test_a_flag_and_a_lost_prompt_are_noted() -> None:
    page = markdown_page([comparison("nejm", sign_change="strict", other_prompt=3, synthetic=True)])
    assert "the sign changes when answers are read by: strict; 3 of 40 shared examples had another prompt" in page
    assert "All of them rest on synthetic samples" in page


def words(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)}


def test_both_pictures_show_every_comparison() -> None:
    rows = [comparison("nejm"), comparison("medqa", -0.2, verdict="loss"), REFUSED]
    forest, grid = Figure(), Figure()
    forest_plot.draw(forest, rows)
    verdict_grid.draw(grid, rows)
    assert {"nejm", "medqa", "jama", "+10.0 (+5.0 to +15.0)", "0.010", "win", "loss", "refused"} <= words(forest)
    assert {"nejm", "medqa", "jama", "+10.0", "\N{MINUS SIGN}20.0", "×", "bio / base"} <= words(grid)


@pytest.mark.parametrize("count", [0, 3, 200])
def test_a_picture_is_a_png_and_the_same_every_time(count: int) -> None:
    rows = [comparison(f"task_{number}") for number in range(count)]
    assert picture(rows) == picture(rows)
    assert picture(rows).startswith(b"\x89PNG")
