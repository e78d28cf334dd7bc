"""Noise: how far a metric moves when the same model is asked the same again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import LineageRecord


@dataclass(frozen=True)
class Noise:
    """shift: the most that a metric moved in any way of asking again, as a fraction; n: examples asked again."""

    shift: float
    n: int


NoiseOfMetrics = Mapping[tuple[str, str], Noise]
"""By metric and profile."""


def noise_of(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Noise]:
    """The noise of each metric in a repeat check."""
    found: dict[tuple[str, str], Noise] = {}
    for row in rows:
        key = (row["metric"], row["profile"])
        if row["shift"] is not None and (key not in found or row["shift"] > found[key].shift):
            found[key] = Noise(row["shift"], row["n"])
    return found


def noise_floor(models: Sequence[Noise | None]) -> Noise | None:
    """The noise under a difference: both models' together; None where that of one is not known."""
    known = [noise for noise in models if noise is not None]
    if len(known) < len(models):
        return None
    return Noise(sum(noise.shift for noise in known), min(noise.n for noise in known))


def repeat_checks_of(lake: Lake, scores: Iterable[LineageRecord]) -> list[LineageRecord]:
    """Records of the repeat checks of these scores' own generations, in their order."""
    checked = {(key.task, key.model): key for key in lake.keys("repeat_checks")}
    scored = [record for record in scores if (record.task, record.model) in checked]
    checks = lake.records([checked[record.task, record.model] for record in scored])
    return [
        check
        for record, check in zip(scored, checks, strict=True)
        if _generations(record) and _generations(record) == _generations(check)
    ]


def _generations(record: LineageRecord) -> str:
    """The hash of the generations that a table was made from; "" for none."""
    hashes = [source.content_sha256 for source in record.derivation.inputs if source.asset == "generations"]
    return hashes[0] if hashes else ""
