"""Numbers as people read them: percentages, differences in percentage points, p values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MINUS = "\N{MINUS SIGN}"
NOTHING = "–"


def percent(fraction: float | None) -> str:
    """0.6434 → "64.3"."""
    return NOTHING if fraction is None else f"{100 * fraction:.1f}"


def detectable(fraction: float | None) -> str:
    """A detectable difference in percentage points; ">100" where no difference there is would be found."""
    return ">100" if fraction is not None and fraction > 1 else percent(fraction)


def signed(fraction: float | None) -> str:
    """A difference in percentage points with its sign: -0.032 → "−3.2"; 0 → "0.0"."""
    if fraction is None:
        return NOTHING
    text = f"{100 * abs(fraction):.1f}"
    if not float(text):
        return text
    return f"+{text}" if fraction > 0 else f"{_MINUS}{text}"


def signed_interval(row: Mapping[str, Any]) -> str:
    """A comparison's difference and its interval in percentage points: "−3.2 (−6.1 to −0.3)"."""
    if row["low"] is None:
        return signed(row["difference"])
    return f"{signed(row['difference'])} ({signed(row['low'])} to {signed(row['high'])})"


def noise(row: Mapping[str, Any]) -> str:
    """The noise floor under a comparison's difference: "noise ±0.4 (20)", the examples in brackets; "" if unknown."""
    return "" if row["noise"] is None else f"noise ±{100 * row['noise']:.1f} ({row['noise_examples']})"


def p_value(p: float | None) -> str:
    """Three decimals, "<0.001" below them."""
    if p is None:
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.3f}"
