"""Evaluating again when nothing changed, and planning it: seconds of the whole command, start-up included.

Beside the seconds on the clock stand those of the processor, which a busy machine changes less.

Run: make bench-reevaluation. Six models of random weights on every task, on the bundled samples; the first evaluation
fills a temporary folder and is not measured. The floor is the same command when it has nothing to look at: `medeval
--help`, and an evaluation of one baseline on one task. Exits 1 where a table was made again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from medeval_assets.settings import Settings
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.graph.small_platform import make_roomy_checkpoint

MODELS = 6
LIMIT = 2
RUNS = 3


@dataclass(frozen=True)
class Ran:
    """A command that ended well. seconds: on the clock; processor: of all its threads; printed: to stdout."""

    seconds: float
    processor: float
    printed: str


def medeval(home: Path, *arguments: str) -> Ran:
    """Run the command; the benchmark ends where it fails."""
    environment = {**os.environ, "MEDEVAL_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [str(Path(sys.executable).parent / "medeval"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Ran(seconds, processor, done.stdout)


def write_models(home: Path, count: int) -> list[str]:
    keys = [f"model-{number}" for number in range(count)]
    for number, key in enumerate(keys):
        make_roomy_checkpoint(home / "mine" / key, seed=number)
    entries = {
        key: {"checkpoint": f"folder:mine/{key}", "role": "generalist", "engine": {"gpus": 0, "dtype": "float32"}}
        for key in keys
    }
    # Some pairs, so that there are comparisons.
    for key in keys[1::2]:
        entries[key] |= {"role": "biomedical", "base": keys[0]}
    (home / "models.yaml").write_text(yaml.safe_dump({"models": entries}, sort_keys=False), encoding="utf-8")
    return keys


def tables(home: Path) -> dict[Path, int]:
    """When each file of the lake was written."""
    return {path: path.stat().st_mtime_ns for path in Settings(home, home).lake.rglob("*.parquet")}


def shown(name: str, runs: list[Ran]) -> None:
    seconds = [run.seconds for run in runs]
    processor = statistics.median(run.processor for run in runs)
    spread = f"({min(seconds):.2f} to {max(seconds):.2f})"
    print(f"{name:46} {statistics.median(seconds):6.2f} s {spread:20} processor {processor:6.2f} s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=MODELS)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--home", type=Path, help="a folder to keep; what is in it from before is used again")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = (given.home or Path(temporary)).absolute()
        home.mkdir(parents=True, exist_ok=True)
        chosen = [word for key in write_models(home, given.models) for word in ("-m", key)]
        first = medeval(home, "evaluate", *chosen, "--limit", str(LIMIT))
        print(f"{given.models} models × {len(all_tasks())} tasks, {first.seconds:.0f} s the first time", flush=True)
        one = ("evaluate", "-m", "baseline-majority", "-t", "mednli")
        medeval(home, *one)
        before = tables(home)
        shown("medeval --help", [medeval(home, "--help") for _ in range(given.runs)])
        shown("evaluate again, one baseline, one task", [medeval(home, *one) for _ in range(given.runs)])
        again = ("evaluate", *chosen, "--limit", str(LIMIT))
        shown(f"evaluate again, {given.models} models, every task", [medeval(home, *again) for _ in range(given.runs)])
        plans = [medeval(home, "plan", *chosen, "--limit", str(LIMIT), "--json") for _ in range(given.runs)]
        shown(f"plan, {given.models} models, every task", plans)
        unchanged = tables(home) == before and all(json.loads(plan.printed)["nothing_to_do"] for plan in plans)
    print("nothing was made again" if unchanged else "something was made again")
    return 0 if unchanged else 1


if __name__ == "__main__":
    sys.exit(main())
