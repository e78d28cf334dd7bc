"""Evaluating again when nothing changed, and planning it: seconds of the whole command, start-up included.

Run: make bench-reevaluation. Six models of random weights on every task, on the bundled samples; the first evaluation
fills a temporary folder and is not measured. The floor is the same command when it has nothing to look at: `medeval
--help`, and an evaluation of one baseline on one task. Exits 1 where a model was loaded or a table was made again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from medeval_assets.settings import Settings
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.graph.small_platform import make_roomy_checkpoint

MODELS = 6
LIMIT = 2
RUNS = 3


def medeval(home: Path, *arguments: str) -> tuple[float, str]:
    """Wall seconds of the command, and what it printed."""
    environment = {**os.environ, "MEDEVAL_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    start = time.perf_counter()
    command = [str(Path(sys.executable).parent / "medeval"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return seconds, done.stdout


def write_models(home: Path, count: int) -> list[str]:
    keys = [f"model-{number}" for number in range(count)]
    for number, key in enumerate(keys):
        make_roomy_checkpoint(home / "mine" / key, seed=number)
    entries = {
        key: {"checkpoint": f"folder:mine/{key}", "role": "generalist", "engine": {"gpus": 0, "dtype": "float32"}}
        for key in keys
    }
    for key in keys[1::2]:
        entries[key] |= {"role": "biomedical", "base": keys[0]}
    (home / "models.yaml").write_text(yaml.safe_dump({"models": entries}, sort_keys=False), encoding="utf-8")
    return keys


def tables(home: Path) -> dict[Path, int]:
    """When each file of the lake was written."""
    return {path: path.stat().st_mtime_ns for path in Settings(home, home).lake.rglob("*.parquet")}


def shown(name: str, seconds: list[float]) -> None:
    print(f"{name:46} {statistics.median(seconds):6.2f} s ({min(seconds):.2f} to {max(seconds):.2f})", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=MODELS)
    parser.add_argument("--home", type=Path, help="a folder to keep; what is in it from before is used again")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = (given.home or Path(temporary)).absolute()
        home.mkdir(parents=True, exist_ok=True)
        chosen = [word for key in write_models(home, given.models) for word in ("-m", key)]
        first, _ = medeval(home, "evaluate", *chosen, "--limit", str(LIMIT))
        print(f"{given.models} models × {len(all_tasks())} tasks, {first:.0f} s the first time")
        medeval(home, "evaluate", "-m", "baseline-majority", "-t", "mednli")
        before = tables(home)
        shown("medeval --help", [medeval(home, "--help")[0] for _ in range(RUNS)])
        one = ("evaluate", "-m", "baseline-majority", "-t", "mednli")
        shown("evaluate again, one baseline, one task", [medeval(home, *one)[0] for _ in range(RUNS)])
        again = ("evaluate", *chosen, "--limit", str(LIMIT))
        shown(f"evaluate again, {given.models} models, every task", [medeval(home, *again)[0] for _ in range(RUNS)])
        planned = [medeval(home, "plan", *chosen, "--limit", str(LIMIT), "--json") for _ in range(RUNS)]
        shown(f"plan, {given.models} models, every task", [seconds for seconds, _ in planned])
        unchanged = tables(home) == before and all(json.loads(said)["nothing_to_do"] for _, said in planned)
    print("nothing was made again" if unchanged else "something was made again")
    return 0 if unchanged else 1


if __name__ == "__main__":
    sys.exit(main())
