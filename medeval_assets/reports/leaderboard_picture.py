"""The leaderboard as a picture: a dot plot for a few models, a heat map for many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from medeval_assets.reports import dot_plot, heat_map
from medeval_assets.reports.headline_grid import headline_grid
from medeval_assets.reports.picture_file import notice, png

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def picture(rows: Iterable[Mapping[str, Any]], *, width: int = 1440) -> bytes:
    """A PNG of each cell's headline metric: up to eight models with their intervals, more as a heat map.

    rows: the leaderboard's. width: pixels.
    """
    grid = headline_grid(rows)

    def draw(figure: Figure) -> None:
        if not grid.cells:
            notice(figure, "No cell has been evaluated yet.")
        elif len(grid.models) <= dot_plot.MOST_MODELS:
            dot_plot.draw(figure, grid)
        else:
            heat_map.draw(figure, grid)

    return png(draw, width=width)
