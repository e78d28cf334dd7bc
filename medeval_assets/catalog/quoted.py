"""Foreign text made fit for a message."""

from __future__ import annotations


def quoted(text: object, most: int = 60) -> str:
    """`text` in backticks, on one line: unprintable letters become `?`, and it is cut after `most`."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in str(text)[: most + 1])
    return f"`{shown[:most]}…`" if len(shown) > most else f"`{shown}`"
