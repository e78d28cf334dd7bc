"""The file of a picture: a figure drawn into a PNG that is the same every time."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from medeval_assets.reports.canvas import WIDTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def png(draw: Callable[[Figure], None], *, width: int) -> bytes:
    """What `draw` puts on an empty figure, as a PNG.

    width: pixels of a figure that is `canvas.WIDTH` inches wide. The same drawing gives the same bytes with the same
    version of matplotlib.
    """
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    with matplotlib.style.context("default"):
        figure = Figure(dpi=width / WIDTH, facecolor="white")
        FigureCanvasAgg(figure)
        draw(figure)
        for text in figure.findobj(Text):
            text.set_parse_math(False)  # a dollar sign in a name is no formula
        image = io.BytesIO()
        figure.savefig(image, format="png", metadata={"Software": None})
    return image.getvalue()


def notice(figure: Figure, text: str) -> None:
    """A picture that has nothing to show yet says so."""
    figure.set_size_inches(WIDTH, 1)
    figure.text(0.5, 0.5, text, ha="center", va="center")
