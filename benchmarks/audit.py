"""The audit of a big lake: time of a full one and of the next, which reads only what changed, and how both grow.

Run: make bench-lineage. Each size is measured on a lake of its own. A cell is three tables (answers, scores, metrics),
each current and in the archive; the datasets are there once a task. What was recorded as written is held in memory, as
it is after an audit has read it; reading it from a new Dagster instance is measured apart, by the event.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.reports import METRICS, dataset_rows, metric_row, score_rows
from medeval_assets.audit.audit import Changes, audit
from medeval_assets.audit.known_writes import KnownWrite
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.models_file import read_models
from medeval_assets.lake.content_hash import content_sha256
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.known_records import KnownRecords
from medeval_assets.lake.lake import FOOTER_KEY, VERSIONS, Lake
from medeval_assets.lake.lineage_record import Derivation, LineageRecord
from medeval_assets.lake.tables import arrow_schema
from medeval_assets.recipes.today import Today
from medeval_assets.settings import Settings
from medeval_assets.tasks import all_tasks

FULL_SECONDS, INCREMENTAL_SECONDS = 60, 5  # what 10,000 cells may take on two cores


@dataclass
class Recorded:
    """What was written, as if a run that ended well had recorded it."""

    recorded: list[KnownWrite] = field(default_factory=list)

    def writes(self) -> Sequence[KnownWrite]:
        return self.recorded

    def may_be_unrecorded(self, run_id: str, made: str) -> bool:
        return False


def generation_rows(ids: list[str], prompts: list[str]) -> list[dict[str, Any]]:
    same = {
        "text": "The answer is B, because the other options do not explain the finding.",
        "finish_reason": "stop",
        "skip_reason": "",
        "prompt_tokens": 312,
        "generated_tokens": 17,
        "option_logprobs": [-1.5, -0.5],
        "option_tokens": [1, 1],
        "fitting": "",
        "request_sha256": "0" * 64,
    }
    return [{**same, "example_id": one, "prompt_sha256": two} for one, two in zip(ids, prompts, strict=True)]


class Writer:
    """Writes tables as the lake does, without its checks: those would take far longer than what is measured."""

    def __init__(self, lake: Lake, log: Recorded) -> None:
        self._lake = lake
        self._log = log

    def write(
        self, like: LineageRecord, table: pa.Table, key: LakeKey, inputs: Sequence[LineageRecord]
    ) -> LineageRecord:
        derivation = Derivation(
            code_version="1", parameters={"limit": None}, inputs=tuple(one.as_input() for one in inputs)
        )
        about = {"asset": key.asset, "model": key.model, "task": key.task, "derivation": derivation}
        record = like.model_copy(update={**about, "content_sha256": content_sha256(table), "rows": table.num_rows})
        buffer = io.BytesIO()
        footer = {FOOTER_KEY: record.model_dump_json().encode()}
        pq.write_table(table.replace_schema_metadata(footer), buffer, compression="zstd")
        sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
        version = Path(f"{self._lake.root}/{VERSIONS}/{key.folder}/{sha256}.parquet")
        current = Path(self._lake.path(key))
        version.parent.mkdir(parents=True, exist_ok=True)
        current.parent.mkdir(parents=True, exist_ok=True)
        version.write_bytes(buffer.getvalue())
        os.link(version, current)
        self._log.recorded.append(KnownWrite(key, record.content_sha256, sha256, record.created_at))
        return record


def write_lake(lake: Lake, log: Recorded, cells: int, examples: int) -> list[str]:
    """Every task's dataset and as many models as make the cells; returns the models' keys."""
    ids = [f"example-{number:05}" for number in range(examples)]
    prompts = [hashlib.sha256(name.encode()).hexdigest() for name in ids]
    values = np.arange(examples) % 2.0
    rows = {
        "datasets": dataset_rows(ids),
        "generations": generation_rows(ids, prompts),
        "scores": [row for name, title in METRICS.items() for row in score_rows(ids, prompts, name, title, values)],
        "metric_tables": [metric_row(name, title, values) for name, title in METRICS.items()],
    }
    tables = {asset: pa.Table.from_pylist(rows[asset], schema=arrow_schema(asset)) for asset in rows}
    with tempfile.TemporaryDirectory() as folder:
        like = Lake(folder).write(
            LakeKey("datasets", task="mednli"), rows["datasets"], Derivation(code_version="1"), run_id="r"
        )
    writer = Writer(lake, log)
    tasks = list(all_tasks())
    datasets = {task: writer.write(like, tables["datasets"], LakeKey("datasets", task=task), ()) for task in tasks}
    models: list[str] = []
    for number in range(cells):
        task = tasks[number % len(tasks)]
        model = f"model-{number // len(tasks):04}"
        models += [model] if model not in models[-1:] else []
        answers = writer.write(like, tables["generations"], LakeKey("generations", model, task), [datasets[task]])
        scores = writer.write(like, tables["scores"], LakeKey("scores", model, task), [datasets[task], answers])
        writer.write(like, tables["metric_tables"], LakeKey("metric_tables", model, task), [scores])
    return models


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def measure(cells: int, examples: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        settings = Settings(home=home, sources=home / "sources")
        lake, log = Lake.of(settings), Recorded()
        keys = write_lake(lake, log, cells, examples)
        spec = next(iter(read_models(settings.catalog_files).values()))
        models: dict[str, ModelSpec] = {key: spec.model_copy(update={"key": key}) for key in keys}

        def today(records: Sequence[LineageRecord]) -> Changes:
            return Today(KnownRecords(lake, records), settings, models).changes

        notes = home / "audit/remembered.parquet"
        for name, full, stale in (
            ("full", True, today),
            ("incremental", False, today),
            ("incremental, staleness left out", False, None),
        ):
            seconds, report = timed(
                lambda full=full, stale=stale: audit(lake, remembered=notes, known=log, today=stale, full=full)  # type: ignore[misc]
            )
            assert not report.wrong, report.wrong[:3]
            yield f"{cells:6} cells, {len(report.files):6} files  {name:32} {seconds:6.1f} s   {report.read:6} read"


def measure_log(events: int) -> str:
    import dagster as dg

    from medeval_assets.event_log import EventLog
    from medeval_assets.instance import open_instance

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        before = dict(os.environ)
        try:
            with open_instance(Settings(home=home, sources=home)) as instance:
                told = {"content_sha256": "0" * 64, "file_sha256": "0" * 64, "made": "2026-01-01T00:00:00.000000+00:00"}
                for _ in range(events):
                    instance.report_runless_asset_event(
                        dg.AssetMaterialization("datasets", partition="mednli", metadata=told)
                    )
                notes = home / "log.parquet"
                first, _ = timed(lambda: EventLog(instance, remembered=notes).writes())
                again, found = timed(lambda: EventLog(instance, remembered=notes).writes())
                assert len(found) == events
        finally:
            os.environ.clear()
            os.environ.update(before)
    return (
        f"event log: {1e3 * first / events:.2f} ms an event the first time, {1e3 * again:.0f} ms for all {events} later"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--examples", type=int, default=20)
    parser.add_argument("--events", type=int, default=1000)
    given = parser.parse_args()
    print(f"budget for 10,000 cells on two cores: full {FULL_SECONDS} s, incremental {INCREMENTAL_SECONDS} s")
    for cells in given.cells:
        for line in measure(cells, given.examples):
            print(line, flush=True)
    print(measure_log(given.events))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
