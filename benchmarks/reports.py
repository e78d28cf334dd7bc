"""Leaderboard and comparisons of many models: time and memory, and how both grow with the number of models.

Run: make bench-reports. Each size is measured in a process of its own, on a lake it wrote before: scores and metric
tables as the assets keep them, four metrics a cell. Half of the models are biomedical, each paired with one of the
others. Measured is what the two assets do: find the tables, read them, compute, check and write, page and picture.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.comparisons.lake_comparisons import MARGIN, comparison_rows, scored_by_pairs
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import FOOTER_KEY, Lake
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets.reports import comparison_picture, leaderboard_picture
from medeval_assets.reports.comparison_page import markdown_page
from medeval_assets.reports.lake_leaderboard import evaluated_cells, leaderboard_rows
from medeval_assets.reports.leaderboard_page import markdown_table
from medeval_assets.statistics.intervals import wilson
from medeval_assets.tasks import all_tasks

METRICS = {
    "accuracy_lenient": "Accuracy (lenient)",
    "accuracy_strict": "Accuracy (strict)",
    "accuracy_likelihood": "Accuracy (likelihood)",
    "rougeL": "ROUGE-L",
}
NOTHING = Derivation(code_version="1")


def benchmark_tasks(count: int) -> dict[str, TaskSpec]:
    medqa = all_tasks()["medqa"]
    return {f"task-{number:02}": replace(medqa, name=f"task-{number:02}") for number in range(count)}


def benchmark_models(count: int) -> list[str]:
    return [f"model-{number:03}" for number in range(count)]


def benchmark_pairs(models: list[str]) -> list[tuple[str, str]]:
    half = len(models) // 2
    return list(zip(models[:half], models[half:], strict=True))


def write_lake(lake: Lake, models: int, tasks: int, examples: int) -> None:
    """Tables of numbers drawn from a fixed seed.

    One cell is written by the lake, with all its checks; the others are copies with numbers of their own, since to
    check 20,000 tables would take a quarter of an hour.
    """
    draw = np.random.default_rng(1)
    ids = [f"example-{number:05}" for number in range(examples)]
    prompts = [hashlib.sha256(name.encode()).hexdigest() for name in ids]
    first = np.zeros(examples)
    model_scores, model_table = (LakeKey(asset, model="model", task="task") for asset in ("scores", "metric_tables"))
    rows = [row for metric, title in METRICS.items() for row in score_rows(ids, prompts, metric, title, first)]
    lake.write(model_scores, rows, NOTHING, run_id="")
    lake.write(model_table, [metric_row(metric, title, first) for metric, title in METRICS.items()], NOTHING, run_id="")
    scores, table = lake.read(model_scores), lake.read(model_table)
    for task in benchmark_tasks(tasks):
        lake.write(LakeKey("datasets", task=task), dataset_rows(ids), NOTHING, run_id="")
        for model in benchmark_models(models):
            skill = draw.uniform(0.3, 0.7)
            values = draw.random((len(METRICS), examples))
            values[:-1] = values[:-1] < skill
            metric_rows = [metric_row(*named, row) for named, row in zip(METRICS.items(), values, strict=True)]
            columns = {name: [row[name] for row in metric_rows] for name in ("value", "standard_error", "low", "high")}
            drawn = {"numerator": values.ravel(), "value": values.ravel()}
            put(lake, model_scores, model_scores._replace(model=model, task=task), scores, drawn)
            put(lake, model_table, model_table._replace(model=model, task=task), table, columns)


def put(lake: Lake, copied: LakeKey, key: LakeKey, table: pa.Table, columns: dict[str, Any]) -> None:
    """A copy of a table with other numbers, under another key."""
    record = lake.record(copied)
    assert record is not None
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.float64()))
    path = Path(lake.path(key))
    path.parent.mkdir(parents=True)
    footer = record.model_copy(update={"model": key.model, "task": key.task}).model_dump_json().encode()
    pq.write_table(table.replace_schema_metadata({FOOTER_KEY: footer}), path, compression="zstd")


def dataset_rows(ids: list[str]) -> list[dict[str, Any]]:
    options = {"A": "a", "B": "b"}
    same = {"split": "test", "inputs": {}, "options": options, "targets": ["A"], "documents": []}
    return [{**same, "example_id": name, "cluster_id": name} for name in ids]


def score_rows(ids: list[str], prompts: list[str], metric: str, title: str, values: Any) -> list[dict[str, Any]]:
    same = {
        "metric": metric,
        "title": title,
        "profile": "corrected",
        "denominator": 1.0,
        "perfect": 1.0,
        "parse_rule": "strict",
        "failure": "",
        "fitting_sha256": "",
        "cut": False,
        "characters": 12,
    }
    return [
        {**same, "example_id": name, "cluster_id": name, "prompt_sha256": prompt, "numerator": value, "value": value}
        for name, prompt, value in zip(ids, prompts, values.tolist(), strict=True)
    ]


def metric_row(metric: str, title: str, values: Any) -> dict[str, Any]:
    value, n = float(values.mean()), len(values)
    low, high = wilson(value * n, n)
    return {
        "metric": metric,
        "title": title,
        "profile": "corrected",
        "headline": metric == "accuracy_lenient",
        "n": n,
        "clusters": n,
        "value": value,
        "standard_error": float(values.std() / n**0.5),
        "low": low,
        "high": high,
        "method": "wilson",
        "rules": {"strict": n},
        "failures": 0,
        "failure_kinds": {},
        "failure_rate": 0.0,
        "failure_low": 0.0,
        "failure_high": 0.0,
        "if_wrong": value,
        "if_right": value,
        "cut": 0,
        "skipped": 0,
    }


def measure(folder: Path, models: int, tasks: int) -> None:
    """Print the seconds of both reports and the most memory this process ever had."""
    lake, specs, names = Lake(folder), benchmark_tasks(tasks), benchmark_models(models)
    start = time.perf_counter()
    cells = evaluated_cells(lake, specs, names)
    lake.write(LakeKey("leaderboard"), leaderboard_rows(lake, specs, cells, {}), NOTHING, run_id="")
    rows = lake.rows(LakeKey("leaderboard"))
    markdown_table(rows)
    leaderboard_picture.picture(rows, width=1100)
    middle = time.perf_counter()
    pairs = benchmark_pairs(names)
    inputs = scored_by_pairs(lake, specs, pairs)
    lake.write(LakeKey("comparisons"), comparison_rows(lake, specs, inputs, pairs, margin=MARGIN), NOTHING, run_id="")
    rows = lake.rows(LakeKey("comparisons"))
    markdown_page(rows)
    comparison_picture.picture(rows, width=1100)
    end = time.perf_counter()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{models:4} models × {tasks} tasks: leaderboard {middle - start:6.2f} s, "
        f"comparisons {end - middle:6.2f} s ({len(rows)}), both {end - start:6.2f} s, {memory:.2f} GiB at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[10, 50, 100, 200])
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="measure what is in this lake")
    given = parser.parse_args()
    if given.folder is not None:
        measure(given.folder, given.models[0], given.tasks)
        return
    for models in given.models:
        with tempfile.TemporaryDirectory() as folder:
            write_lake(Lake(folder), models, given.tasks, given.examples)
            size = ["--folder", folder, "--models", str(models), "--tasks", str(given.tasks)]
            subprocess.run([sys.executable, __file__, *size], check=True)


if __name__ == "__main__":
    main()
