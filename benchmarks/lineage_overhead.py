"""What lineage adds to the writing of a cell, against a bare `pyarrow.parquet.write_table` of the same rows.

The floor is what any tool does that keeps a table: build it from rows and write it. Beside it stands the same with the
file brought to the disk, which a write that must survive a power failure cannot do without.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.audit import generation_rows
from benchmarks.reports import METRICS, score_rows
from medeval_assets.lake import lake as lake_module
from medeval_assets.lake import tables
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation, InputRecord
from medeval_assets.lake.tables import arrow_schema

RUNS = 9

Rows = list[dict[str, Any]]


def rows_of(asset: str, examples: int) -> Rows:
    """A cell of so many examples; scores have a row for each example and metric."""
    ids = [f"example-{number:05}" for number in range(examples)]
    prompts = ["0" * 64] * examples
    if asset == "generations":
        return generation_rows(ids, prompts)
    values = np.arange(examples) % 2.0
    return [row for name, title in METRICS.items() for row in score_rows(ids, prompts, name, title, values)]


class Parts:
    """Times of the parts of a write, by wrapping what the lake calls."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(work)
        def called(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return work(*arguments, **named)
            finally:
                self.seconds[name] += time.perf_counter() - started

        return called


def median(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(RUNS):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def measure(asset: str, examples: int) -> Iterator[str]:
    rows, key = rows_of(asset, examples), LakeKey(asset, "model", "mednli")
    schema = arrow_schema(asset)
    inputs = tuple(
        InputRecord(asset=one, task="mednli", content_sha256="0" * 64) for one in ("datasets", "prompt_sets")
    )
    derivation = Derivation(code_version="1", parameters={"limit": None}, inputs=inputs)
    with tempfile.TemporaryDirectory() as folder:
        lake, bare = Lake(Path(folder) / "lake"), Path(folder) / "bare.parquet"

        def floor() -> None:
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), bare, compression="zstd")

        def floor_on_disk() -> None:
            floor()
            with bare.open("rb") as file:
                os.fsync(file.fileno())

        def with_lineage() -> None:
            lake.write(key, rows, derivation, run_id="run")

        with_lineage()  # what is imported and asked once a process
        bare_seconds, disk_seconds, seconds = median(floor), median(floor_on_disk), median(with_lineage)
        yield (
            f"{asset:12} {len(rows):6} rows  bare {1e3 * bare_seconds:6.1f} ms, on disk {1e3 * disk_seconds:6.1f} ms, "
            f"with lineage {1e3 * seconds:6.1f} ms: {seconds / bare_seconds:.1f} and {seconds / disk_seconds:.1f} times"
        )
        yield "    of which " + ", ".join(parts_of(with_lineage))


def parts_of(write: Callable[[], None]) -> Iterator[str]:
    """What the parts of one write take, each as a median of several."""
    wrapped = {
        "checks": (tables, "table_problems"),
        "content hash": (lake_module, "content_sha256"),
        "encoding": (lake_module, "_encode"),
        "archive and link": (Lake, "_put"),
    }
    original = {name: getattr(place, attribute) for name, (place, attribute) in wrapped.items()}
    taken: dict[str, list[float]] = defaultdict(list)
    try:
        for _ in range(RUNS):
            parts = Parts()
            for name, (place, attribute) in wrapped.items():
                setattr(place, attribute, parts.timed(name, original[name]))
            write()
            for name in wrapped:
                taken[name].append(parts.seconds[name])
    finally:
        for name, (place, attribute) in wrapped.items():
            setattr(place, attribute, original[name])
    for name in wrapped:
        yield f"{name} {1e3 * statistics.median(taken[name]):.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, nargs="+", default=[20, 1000, 10000])
    given = parser.parse_args()
    for asset in ("generations", "scores"):
        for examples in given.examples:
            for line in measure(asset, examples):
                print(line, flush=True)


if __name__ == "__main__":
    main()
