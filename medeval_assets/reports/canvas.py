"""The canvas that all pictures are drawn on: sizes and places in inches from the top left, and the heading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 10.0
MARGIN = 0.3
MOST_WRITTEN = 1500
"""Of more cells than these, only the shades are drawn: numbers would be too small to read, and slow to write."""

HEADING = 0.84
"""Height of the heading, inches."""

INK = "#222222"
QUIET = "#6B6B6B"
_WARNING = "#B03A00"


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Empty axes at a place in inches, whose y runs down from 0 to `height`."""
    whole_width, whole_height = figure.get_size_inches()
    bottom = whole_height - top - height
    axes = figure.add_axes(
        (left / whole_width, bottom / whole_height, width / whole_width, height / whole_height), facecolor="none"
    )
    axes.set_ylim(height, 0)
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def add_heading(figure: Figure, title: str, legend: str, warning: str = "") -> None:
    """Title, what the signs mean, and what to be wary of, at the top of a figure whose size is set."""
    width, height = figure.get_size_inches()
    left = MARGIN / width
    figure.text(left, 1 - 0.27 / height, title, fontsize=13, fontweight="bold", color=INK, va="center")
    figure.text(left, 1 - 0.51 / height, legend, fontsize=8, color=QUIET, va="center")
    if warning:
        figure.text(left, 1 - 0.70 / height, warning, fontsize=8.5, fontweight="bold", color=_WARNING, va="center")


def add_rectangles(axes: Axes, corners: Sequence[tuple[float, float]], size: tuple[float, float], colours: Any) -> None:
    """Rectangles of one size with white edges, each of its own colour; corners: their least x and y."""
    from matplotlib.collections import PolyCollection

    width, height = size
    shapes = [[(x, y), (x + width, y), (x + width, y + height), (x, y + height)] for x, y in corners]
    axes.add_collection(PolyCollection(shapes, facecolors=colours, edgecolors="white", linewidths=1), autolim=False)
