"""Dot plot: tasks one below the other, each model's value with its 95 % interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from medeval_assets.reports.canvas import HEADING, INK, MARGIN, QUIET, WIDTH, add_heading, axes_at
from medeval_assets.reports.headline_grid import UNREAD_FLAG, HeadlineGrid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart, its yellow replaced by a grey that shows on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A8A8A")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
MOST_MODELS = len(_COLOURS)
"""So many models are told apart by colour and marker."""

_LEFT, _RIGHT = 2.75, 1.25
_PLOT = WIDTH - _LEFT - _RIGHT
_SECTION, _LEGEND_LINE, _AXIS = 0.34, 0.22, 0.3


def draw(figure: Figure, grid: HeadlineGrid) -> None:
    """Draw at most `MOST_MODELS` models."""
    step = 0.155 if len(grid.models) <= 4 else 0.115
    row_height = max(0.38, step * len(grid.models) + 0.16)
    middles, sections, height = _places(grid, row_height)
    columns = max(1, min(len(grid.models), int((WIDTH - 2 * MARGIN) / (0.085 * max(map(len, grid.models)) + 0.55))))
    top = HEADING + _LEGEND_LINE * -(-len(grid.models) // columns) + _AXIS
    figure.set_size_inches(WIDTH, top + height + _AXIS + 0.15)
    add_heading(figure, "Headline metrics", _signs(grid), grid.warning)
    _add_models(figure, grid, columns)
    axes = axes_at(figure, _LEFT, top, _PLOT, height)
    axes.set_xlim(0, 1)
    axes.set_xticks([fifth / 5 for fifth in range(6)], [f"{20 * fifth} %" for fifth in range(6)])
    axes.tick_params(axis="x", labelsize=8, labelcolor=QUIET, length=0, labeltop=True)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)
    for section, place in sections.items():
        _write(
            axes, -_LEFT + MARGIN, place, section[:1].upper() + section[1:], fontsize=9.5, fontweight="bold", color=INK
        )
    for task, middle in middles.items():
        _add_task(axes, grid, task, middle=middle, row_height=row_height)
        for index, model in enumerate(grid.models):
            row = grid.cells.get((model, task))
            if row is not None and row["value"] is not None:
                _add_value(axes, row, index, middle + step * (index - (len(grid.models) - 1) / 2), 40 * step)


def _places(grid: HeadlineGrid, row_height: float) -> tuple[dict[str, float], dict[str, float], float]:
    """The middle of each task's row and of each section's heading, in inches from the top, and the height of all."""
    middles: dict[str, float] = {}
    sections: dict[str, float] = {}
    y = 0.0
    for task in grid.tasks:
        if grid.groups[task] not in sections:
            sections[grid.groups[task]] = y + 0.6 * _SECTION
            y += _SECTION
        middles[task] = y + row_height / 2
        y += row_height
    return middles, sections, y + 0.04


def _signs(grid: HeadlineGrid) -> str:
    signs = [
        "mark: value",
        "line: 95 % interval",
        f"hollow mark: {100 * UNREAD_FLAG:.0f} % or more of the answers unreadable",
    ]
    if grid.chance:
        signs.append("grey bar: chance")
    return "; ".join(signs)


def _add_models(figure: Figure, grid: HeadlineGrid, columns: int) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=_COLOURS[index], marker=_MARKERS[index], markersize=6, linewidth=1.6)
        for index in range(len(grid.models))
    ]
    figure.legend(
        handles=handles,
        labels=list(grid.models),
        loc="upper left",
        bbox_to_anchor=(MARGIN / WIDTH, 1 - HEADING / figure.get_figheight()),
        ncols=columns,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        borderpad=0,
        borderaxespad=0,
        columnspacing=1.6,
    )


def _add_task(axes: Axes, grid: HeadlineGrid, task: str, *, middle: float, row_height: float) -> None:
    """The task's row without its values: band, name, metric, n, chance."""
    from matplotlib.patches import Rectangle

    if grid.tasks.index(task) % 2 == 0:
        start, end = (MARGIN - 0.1 - _LEFT) / _PLOT, 1 + (_RIGHT - 0.1) / _PLOT
        band = Rectangle(
            (start, middle - row_height / 2), end - start, row_height, transform=axes.get_yaxis_transform()
        )
        band.set(facecolor="#F4F4F4", linewidth=0, zorder=-1, clip_on=False)
        axes.add_patch(band)
    _write(axes, -_LEFT + MARGIN, middle - 0.07, grid.marked(task), fontsize=9, color=INK)
    _write(axes, -_LEFT + MARGIN, middle + 0.09, grid.metric(task), fontsize=7, color=QUIET)
    _write(axes, _PLOT + 0.17, middle, "\n".join(grid.examples(task)), fontsize=7.5, color=QUIET)
    if task in grid.chance:
        ends = [middle - row_height / 2 + 0.05, middle + row_height / 2 - 0.05]
        axes.plot([grid.chance[task]] * 2, ends, color="#A8A8A8", linewidth=2.4, solid_capstyle="butt", zorder=1.5)


def _add_value(axes: Axes, row: Mapping[str, Any], index: int, place: float, size: float) -> None:
    colour = _COLOURS[index]
    if row["low"] is not None:
        axes.plot([row["low"], row["high"]], [place] * 2, color=colour, linewidth=1.6, solid_capstyle="round", zorder=2)
    hollow = (row["failure_rate"] or 0.0) >= UNREAD_FLAG
    axes.plot(
        [row["value"]],
        [place],
        marker=_MARKERS[index],
        markersize=size,
        markerfacecolor="white" if hollow else colour,
        markeredgecolor=colour,
        markeredgewidth=1.3,
        clip_on=False,
        zorder=3,
    )


def _write(axes: Axes, inches: float, y: float, text: str, **style: Any) -> None:
    """Text whose left end stands so many inches right of the plot's left edge."""
    axes.text(inches / _PLOT, y, text, transform=axes.get_yaxis_transform(), ha="left", va="center", **style)
