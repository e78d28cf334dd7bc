"""The leaderboard's picture: the right marks in the right places."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from medeval_assets.reports import dot_plot, heat_map
from medeval_assets.reports.headline_grid import headline_grid
from medeval_assets.reports.leaderboard_picture import picture
from medeval_assets_tests.core.reports.headline_rows import headline


def grid_of(models: int, tasks: int = 3, **columns: Any) -> list[dict[str, Any]]:
    return [
        headline(f"model-{model}", f"task_{task}", 0.1 + 0.8 * task / tasks, **columns)
        for task in range(tasks)
        for model in range(models)
    ]


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()]


@pytest.mark.parametrize("rows", [grid_of(2), grid_of(8), grid_of(9), grid_of(30, 17), []])
def test_a_picture_is_a_png_and_the_same_every_time(rows: list[dict[str, Any]]) -> None:
    image = picture(rows)
    assert image == picture(rows)
    pixels = imread(io.BytesIO(image))
    assert pixels.shape[1] >= 1440
    assert float(np.min(pixels)) < 0.5 < float(np.max(pixels))


def test_dots_and_intervals_stand_at_their_values() -> None:
    rows = [
        headline("m1", "medqa", 0.4, chance=0.25),
        headline("m2", "medqa", 0.7, failure_rate=0.5, chance=0.25),
        headline("m1", "pubmedqa", None, n=0, skipped=4),
        headline("m2", "pubmedqa", 0.2, n=25, synthetic=True, low=None, high=None),
    ]
    figure = Figure()
    dot_plot.draw(figure, headline_grid(rows))
    lines = figure.axes[0].get_lines()
    spans = [[float(x) for x in np.asarray(line.get_xdata())] for line in lines]
    assert spans == [[0.25, 0.25], pytest.approx([0.3, 0.5]), [0.4], pytest.approx([0.6, 0.8]), [0.7], [0.2]]
    assert [line.get_markerfacecolor() == "white" for line in lines if len(np.asarray(line.get_xdata())) == 1] == [
        False,
        True,
        False,
    ]
    assert figure.axes[0].get_xlim() == (0, 1)
    assert {"m1", "m2", "medqa", "pubmedqa °", "Knowledge tests", "n 20", "n 0 to 25\n4 skipped"} <= set(words(figure))
    assert any("chance" in text for text in words(figure))
    assert any("synthetic samples" in text for text in words(figure))


def test_the_heat_map_writes_every_value() -> None:
    rows = [headline(f"m{index}", "medqa", index / 10, failure_rate=index / 50) for index in range(10)]
    figure = Figure()
    heat_map.draw(figure, headline_grid(rows))
    values = [f"{10.0 * index:.1f}{'!' if index >= 5 else ''}" for index in range(10)]
    assert [text for text in words(figure) if text in values] == values


@pytest.mark.parametrize("models", [2, 8, 12])
def test_no_text_touches_another_or_the_edge(models: int) -> None:
    rows = [
        headline(f"a-biomedical-model-{model}-70b", f"longhealth_{task}", group=group, skipped=3 * task, n=900 + model)
        for task, group in enumerate(["case challenges", "CLUE level 2", "CLUE level 2", "general control"])
        for model in range(models)
    ]
    figure = Figure(dpi=100)
    FigureCanvasAgg(figure)
    grid = headline_grid(rows)
    if models <= dot_plot.MOST_MODELS:
        dot_plot.draw(figure, grid)
    else:
        heat_map.draw(figure, grid)
    figure.canvas.draw()
    boxes = [
        text.get_window_extent()
        for text in figure.findobj(Text)
        if isinstance(text, Text) and text.get_text() and text.get_visible()
    ]
    whole = figure.bbox
    for index, box in enumerate(boxes):
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1
        for other in boxes[index + 1 :]:
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            along = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(across, along) <= 2  # pixels: the boxes of two lines of one label may meet


@pytest.mark.parametrize("name", ["$\\frac{1}$", "_hidden", "a" * 60, "\u05d3\u05d2\u05dd"])
def test_any_name_can_be_drawn(name: str) -> None:
    rows = [headline(name, "medqa"), headline("m2", "medqa")]
    assert picture(rows).startswith(b"\x89PNG")
    assert picture([*rows, *(headline(f"m{index}", "medqa") for index in range(3, 12))]).startswith(b"\x89PNG")
