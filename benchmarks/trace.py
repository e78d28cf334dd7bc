"""`medeval trace` on a lake of many cells, in this process and as a command of its own."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from benchmarks.audit import Recorded, write_lake
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.settings import Settings
from medeval_assets.tasks import all_tasks
from medeval_assets.trace.chain import chain_of
from medeval_assets.trace.tree import trace_tree

SECONDS = 1  # what a trace may take at 10,000 cells
RUNS = 7


def timed(work: Callable[[], object]) -> str:
    taken = []
    for _ in range(RUNS):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return f"{statistics.median(taken):7.3f} s ({min(taken):.3f} to {max(taken):.3f})"


def measure(cells: int, examples: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder), sources=Path(folder) / "sources")
        lake = Lake.of(settings)
        model, task = write_lake(lake, Recorded(), cells, examples)[-1], next(iter(all_tasks()))
        environment = {**os.environ, "MEDEVAL_HOME": folder}

        def trace_here() -> str:
            chain = chain_of(lake, LakeKey("metric_tables", model, task))
            rows = lake.rows(chain.key)
            with (console := Console(width=160)).capture() as capture:
                console.print(trace_tree(chain, rows))
            json.dumps(chain.as_json())
            return capture.get()

        def command(*options: str) -> None:
            program = Path(sys.executable).with_name("medeval")
            subprocess.run(
                [program, "trace", model, task, *options], env=environment, check=True, stdout=subprocess.DEVNULL
            )

        assert "datasets" in trace_here()
        for name, work in (
            ("in process", trace_here),
            ("as a command", command),
            ("as a command, --json", lambda: command("--json")),
        ):
            yield f"{cells:6} cells  {name:22} {timed(work)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--examples", type=int, default=20)
    given = parser.parse_args()
    print(f"budget at 10,000 cells: {SECONDS} s; median of {RUNS} runs")
    for cells in given.cells:
        for line in measure(cells, given.examples):
            print(line, flush=True)


if __name__ == "__main__":
    main()
