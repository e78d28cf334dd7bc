"""Verdict grid: pairs one below the other, tasks side by side, each difference on the colour of its verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medeval_assets.reports.canvas import (
    HEADING,
    INK,
    MARGIN,
    MOST_WRITTEN,
    QUIET,
    WIDTH,
    add_heading,
    add_rectangles,
    axes_at,
)
from medeval_assets.reports.forest_plot import COLOURS, warning_of
from medeval_assets.reports.points import signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELL_WIDTH, _CELL_HEIGHT = 0.5, 0.27
_SHADES = {"win": COLOURS["win"], "loss": COLOURS["loss"], "tie": "#C9C9C9", "inconclusive": "#F0F0F0"}


def draw(figure: Figure, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw any number of planned comparisons."""
    pairs = list(dict.fromkeys((row["model"], row["base"]) for row in rows))
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    names = {pair: f"{pair[0]} / {pair[1]}" for pair in pairs}
    left = MARGIN + 0.078 * max(map(len, names.values())) + 0.1
    top = HEADING + 0.085 * max(map(len, tasks)) + 0.15
    width, height = _CELL_WIDTH * len(tasks), _CELL_HEIGHT * len(pairs)
    figure.set_size_inches(max(WIDTH, left + width + MARGIN), top + height + MARGIN)
    legend = (
        "Difference of the headline metric in percentage points, model / base. "
        "Blue: win; orange: loss; grey: tie; pale: inconclusive; ×: refused."
    )
    add_heading(figure, "Is the model better than the one it came from?", legend, warning_of(rows))
    axes = axes_at(figure, left, top, width, height)
    axes.set_xlim(0, width)
    axes.set_xticks([])
    for number, task in enumerate(tasks):
        x = (number + 0.5) * _CELL_WIDTH
        axes.text(x, -0.07, task, fontsize=8, color=INK, rotation=90, ha="center", va="bottom")
    for number, pair in enumerate(pairs):
        y = (number + 0.5) * _CELL_HEIGHT
        axes.text(-0.1, y, names[pair], fontsize=8, color=INK, ha="right", va="center_baseline")
    column, line = ({name: number for number, name in enumerate(names)} for names in (tasks, pairs))
    corners = [(column[row["task"]] * _CELL_WIDTH, line[row["model"], row["base"]] * _CELL_HEIGHT) for row in rows]
    shades = [_SHADES.get(row["verdict"], "white") for row in rows]
    add_rectangles(axes, corners, (_CELL_WIDTH, _CELL_HEIGHT), shades)
    if len(rows) <= MOST_WRITTEN:
        for row, (x, y) in zip(rows, corners, strict=True):
            _write_difference(axes, row, x + _CELL_WIDTH / 2, y + _CELL_HEIGHT / 2)


def _write_difference(axes: Axes, row: Mapping[str, Any], x: float, y: float) -> None:
    text = "×" if row["refused"] else signed(row["difference"])
    colour = "white" if row["verdict"] in {"win", "loss"} else QUIET if row["refused"] else INK
    axes.text(x, y, text, fontsize=7.5, color=colour, ha="center", va="center_baseline")
