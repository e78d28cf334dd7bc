"""The leaderboard as a picture: a dot plot for a few models, a heat map for many."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

from medeval_assets.reports import dot_plot, heat_map
from medeval_assets.reports.canvas import WIDTH
from medeval_assets.reports.headline_grid import headline_grid


def picture(rows: Iterable[Mapping[str, Any]], *, width: int = 1440) -> bytes:
    """A PNG of each cell's headline metric: up to eight models with their intervals, more as a heat map.

    rows: the leaderboard's. width: pixels. The same rows give the same bytes with the same version of matplotlib.
    """
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    grid = headline_grid(rows)
    with matplotlib.style.context("default"):
        figure = Figure(dpi=width / WIDTH, facecolor="white")
        FigureCanvasAgg(figure)
        if not grid.cells:
            figure.set_size_inches(10, 1)
            figure.text(0.5, 0.5, "No cell has been evaluated yet.", ha="center", va="center")
        elif len(grid.models) <= dot_plot.MOST_MODELS:
            dot_plot.draw(figure, grid)
        else:
            heat_map.draw(figure, grid)
        for text in figure.findobj(Text):
            text.set_parse_math(False)  # a dollar sign in a name is no formula
        image = io.BytesIO()
        figure.savefig(image, format="png", metadata={"Software": None})
    return image.getvalue()
