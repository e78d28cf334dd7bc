"""Heat map: models one below the other, tasks side by side, each value written on a shade of it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
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
from medeval_assets.reports.headline_grid import UNREAD_FLAG, HeadlineGrid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELL_WIDTH, _CELL_HEIGHT, _GAP = 0.52, 0.27, 0.14
_LINE = 0.145  # between two lines of a column's label
_SECTIONS = 0.45  # height of the sections' names


def draw(figure: Figure, grid: HeadlineGrid) -> None:
    """Draw any number of models."""
    from matplotlib import colormaps

    columns, sections, width = _places(grid)
    labels = {task: (grid.marked(task), grid.metric(task), ", ".join(grid.examples(task))) for task in grid.tasks}
    label_height = 0.062 * max(len(line) for label in labels.values() for line in label) + 0.1
    left = MARGIN + 0.09 * max(map(len, grid.models)) + 0.1
    top = HEADING + _SECTIONS + label_height
    height = _CELL_HEIGHT * len(grid.models)
    figure.set_size_inches(max(WIDTH, left + width + MARGIN), top + height + MARGIN)
    unread = f"{100 * UNREAD_FLAG:.0f} % or more of the answers unreadable"
    legend = f"percent; !: {unread}; blank: no value; intervals are in the table"
    add_heading(figure, "Headline metrics", legend, grid.warning)
    axes = axes_at(figure, left, top, width, height)
    axes.set_xlim(0, width)
    axes.set_xticks([])
    for section, (start, end) in sections.items():
        name = textwrap.wrap(
            section[:1].upper() + section[1:], max(1, int((end - start) / 0.065)), break_long_words=False
        )
        y = -label_height - 0.06
        axes.plot([start, end - 0.03], [y] * 2, color=QUIET, linewidth=0.8, clip_on=False)
        axes.text(start, y - 0.05, "\n".join(name), fontsize=8, fontweight="bold", color=INK, ha="left", va="bottom")
    for task, start in columns.items():
        for line, text in enumerate(labels[task]):
            x = start + _CELL_WIDTH / 2 + _LINE * (line - 1)
            colour = QUIET if line else INK
            axes.text(
                x, -0.07, text, fontsize=8 if not line else 7, color=colour, rotation=90, ha="center", va="bottom"
            )
    cells: list[tuple[float, float, Mapping[str, Any]]] = []
    for rank, model in enumerate(grid.models):
        y = rank * _CELL_HEIGHT
        axes.text(-0.1, y + _CELL_HEIGHT / 2, model, fontsize=8.5, color=INK, ha="right", va="center_baseline")
        for task, start in columns.items():
            row = grid.cells.get((model, task))
            if row is not None and row["value"] is not None:
                cells.append((start, y, row))
    shades = colormaps["Blues"]([0.9 * row["value"] for _, _, row in cells])
    add_rectangles(axes, [(x, y) for x, y, _ in cells], (_CELL_WIDTH, _CELL_HEIGHT), shades)
    if len(cells) <= MOST_WRITTEN:
        for x, y, row in cells:
            _write_value(axes, row, x, y)


def _places(grid: HeadlineGrid) -> tuple[dict[str, float], dict[str, tuple[float, float]], float]:
    """Each task's left edge, each section's two ends, and the width of all, in inches."""
    columns: dict[str, float] = {}
    sections: dict[str, tuple[float, float]] = {}
    x = 0.0
    for task in grid.tasks:
        section = grid.groups[task]
        if sections and section not in sections:
            x += _GAP
        columns[task] = x
        sections[section] = (sections.get(section, (x, x))[0], x + _CELL_WIDTH)
        x += _CELL_WIDTH
    return columns, sections, x


def _write_value(axes: Axes, row: Mapping[str, Any], x: float, y: float) -> None:
    axes.text(
        x + _CELL_WIDTH / 2,
        y + _CELL_HEIGHT / 2,
        f"{100 * row['value']:.1f}{'!' if (row['failure_rate'] or 0.0) >= UNREAD_FLAG else ''}",
        fontsize=8,
        color="white" if row["value"] > 0.6 else INK,
        ha="center",
        va="center_baseline",
    )
