"""Forest plot: pairs one below the other, each task's difference with its 95 % interval, beside the margin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medeval_assets.reports.canvas import HEADING, INK, MARGIN, QUIET, WIDTH, add_heading, axes_at
from medeval_assets.reports.points import noise, p_value, signed, signed_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"win": "#0072B2", "loss": "#D55E00", "tie": "#5A5A5A", "inconclusive": "#9A9A9A"}
"""Of a verdict; colour-blind readers can tell them apart, and the verdict is also written."""

ALPHA = 0.05
"""An adjusted p below it stands up to the number of comparisons."""

_LEFT, _PLOT = 2.15, 4.35
_INTERVAL, _P, _VERDICT = 0.15, 1.75, 2.3  # inches right of the plot
_ROW, _PAIR, _AXIS = 0.3, 0.44, 0.42
_STEPS = (0.05, 0.1, 0.2, 0.25, 0.5)


def draw(figure: Figure, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw planned comparisons, which come pair by pair; those that were refused say why."""
    by_pair: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        by_pair.setdefault((row["model"], row["base"]), []).append(row)
    height = sum(_PAIR + _ROW * len(members) for members in by_pair.values())
    top = HEADING + _AXIS
    figure.set_size_inches(WIDTH, top + height + 0.3)
    margin = max(row["margin"] for row in rows)
    legend = (
        f"Difference of the headline metric in percentage points, model minus base. Line: 95 % interval. "
        f"Band: ±{100 * margin:g}, too small to matter. p: after Holm; bold: below {ALPHA:g}."
    )
    add_heading(figure, "Is the model better than the one it came from?", legend, warning_of(rows))
    axes = axes_at(figure, _LEFT, top, _PLOT, height)
    _add_scale(axes, rows, margin)
    y = 0.0
    for (model, base), members in by_pair.items():
        _write(axes, MARGIN - _LEFT, y + 0.26, model, fontsize=9.5, fontweight="bold", color=INK)
        against = f"against {base}: {counts_of(members)}"
        _write(axes, 0.0, y + 0.26, against, fontsize=8.5, color=QUIET)
        y += _PAIR
        _add_margin(axes, margin, y, y + _ROW * len(members))
        for number, row in enumerate(members):
            _add_row(axes, row, y + _ROW / 2, shaded=number % 2 == 0)
            y += _ROW


def stands_up(row: Mapping[str, Any]) -> bool:
    """Whether a win or a loss stands up to the number of comparisons."""
    return row["verdict"] in {"win", "loss"} and row["p_holm"] is not None and row["p_holm"] < ALPHA


def counts_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many comparisons were won, tied, lost, left open and refused: "3 win, 1 loss"."""
    counts = Counter(row["verdict"] or "refused" for row in rows)
    return ", ".join(f"{counts[kind]} {kind}" for kind in (*COLOURS, "refused") if counts[kind]) or "nothing compared"


def warning_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """What to say of comparisons on synthetic samples; "" where there are none."""
    if not any(row["synthetic"] for row in rows):
        return ""
    what = "All of them rest" if all(row["synthetic"] for row in rows) else "Those marked ° rest"
    return f"{what} on synthetic samples: they say nothing about a model."


def _add_scale(axes: Axes, rows: Sequence[Mapping[str, Any]], margin: float) -> None:
    ends = [abs(row[end]) for row in rows for end in ("low", "high", "difference") if row[end] is not None]
    reach = min(1.0, 1.08 * max([*ends, 2 * margin, 0.05]))
    step = next((step for step in _STEPS if reach / step <= 5), _STEPS[-1])
    ticks = [step * number for number in range(-int(reach / step), int(reach / step) + 1)]
    axes.set_xlim(-reach, reach)
    axes.set_xticks(ticks, [signed(tick).removesuffix(".0") for tick in ticks])
    axes.tick_params(axis="x", labelsize=8, labelcolor=QUIET, length=0, labeltop=True, labelbottom=False)
    for x, text, side in ((-1, "← base better", "left"), (1, "model better →", "right")):
        axes.text(x * reach, -0.26, text, fontsize=7.5, color=QUIET, ha=side, va="center")
    for place, text in ((_INTERVAL, "difference (95 %)"), (_P, "p"), (_VERDICT, "verdict")):
        _write(axes, _PLOT + place, -0.26, text, fontsize=7.5, color=QUIET)


def _add_margin(axes: Axes, margin: float, top: float, bottom: float) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((-margin, top), 2 * margin, bottom - top, color="#DCE6EE", linewidth=0, zorder=0))
    axes.plot([0, 0], [top, bottom], color="#888888", linewidth=0.9, zorder=1)


def _add_row(axes: Axes, row: Mapping[str, Any], y: float, *, shaded: bool) -> None:
    from matplotlib.patches import Rectangle

    if shaded:
        start, end = (MARGIN - 0.1 - _LEFT) / _PLOT, (WIDTH - _LEFT - 0.2) / _PLOT
        band = Rectangle((start, y - _ROW / 2), end - start, _ROW, transform=axes.get_yaxis_transform())
        band.set(facecolor="#F4F4F4", linewidth=0, zorder=-1, clip_on=False)
        axes.add_patch(band)
    marked = f"{row['task']} °" if row["synthetic"] else str(row["task"])
    _write(axes, MARGIN - _LEFT, y - 0.055, marked, fontsize=8.5, color=INK)
    _write(axes, MARGIN - _LEFT, y + 0.075, f"{row['title']}, n {row['n']}", fontsize=6.5, color=QUIET)
    if row["difference"] is None:
        # The reason is a sentence; the whole of it stands in the table.
        _write(axes, _PLOT + _VERDICT, y, "refused" if row["refused"] else "no value", fontsize=8, color=QUIET)
        return
    colour = COLOURS.get(row["verdict"], COLOURS["inconclusive"])
    if row["low"] is not None:
        axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=1.7, solid_capstyle="round", zorder=2)
    axes.plot(
        [row["difference"]],
        [y],
        marker="o",
        markersize=5.5,
        markerfacecolor="white" if row["verdict"] == "inconclusive" else colour,
        markeredgecolor=colour,
        markeredgewidth=1.3,
        zorder=3,
    )
    _write(axes, _PLOT + _INTERVAL, y - (0.055 if noise(row) else 0), signed_interval(row), fontsize=8, color=INK)
    _write(axes, _PLOT + _INTERVAL, y + 0.085, noise(row), fontsize=6.5, color=QUIET)
    _write(axes, _PLOT + _P, y, p_value(row["p_holm"]), fontsize=8, color=INK)
    weight = "bold" if stands_up(row) else "normal"
    _write(axes, _PLOT + _VERDICT, y, row["verdict"], fontsize=8, color=colour, fontweight=weight)


def _write(axes: Axes, inches: float, y: float, text: str, **style: Any) -> None:
    """Text whose left end stands so many inches right of the plot's left edge."""
    axes.text(inches / _PLOT, y, text, transform=axes.get_yaxis_transform(), ha="left", va="center", **style)
