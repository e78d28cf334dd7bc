"""The comparisons as a picture: a forest plot for some, a grid of verdicts for many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from medeval_assets.comparisons.comparison import PLANNED
from medeval_assets.reports import forest_plot, verdict_grid
from medeval_assets.reports.picture_file import notice, png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_ROWS = 90


def picture(rows: Iterable[Mapping[str, Any]], *, width: int = 1440) -> bytes:
    """A PNG of the planned comparisons: up to 90 with their intervals, more by their verdict.

    rows: the comparisons'. width: pixels.
    """
    planned = [row for row in rows if row["family"] == PLANNED]

    def draw(figure: Figure) -> None:
        if not planned:
            notice(figure, "No model and its base have been evaluated on the same task yet.")
        elif len(planned) <= _MOST_ROWS:
            forest_plot.draw(figure, planned)
        else:
            verdict_grid.draw(figure, planned)

    return png(draw, width=width)
