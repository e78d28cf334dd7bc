"""A model's values as they leave the platform: each with its interval, and with the hashes of what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.errors import BadInput, Problem
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import InputRecord, LineageRecord

CONFIDENCE = 0.95
"""Of every interval that the platform gives."""


@dataclass(frozen=True)
class CellResults:
    """What was measured of a model on a task.

    metrics: the rows of the metric table that have a value, the headline first.
    record: of the metric table. lineage: the tables it rests on, the nearest first, down to the dataset.
    dataset: the one of them that the examples stand in. limit: at most this many were asked; None: all.
    """

    task: TaskSpec
    metrics: Sequence[Mapping[str, Any]]
    record: LineageRecord
    lineage: Sequence[InputRecord]
    dataset: InputRecord
    limit: int | None

    @property
    def dataset_title(self) -> str:
        """The dataset's name, which says where it is made up."""
        return f"{self.task.title} (synthetic samples)" if self.record.synthetic else self.task.title

    @property
    def source(self) -> str:
        """What the values were computed with: the package, its version and its commit."""
        commit = f", commit {self.record.git_commit[:12]}" if self.record.git_commit else ""
        changed = " with local changes" if self.record.git_dirty else ""
        return f"medeval-assets {self.record.package_version}{commit}{changed}"

    def evidence(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """How far a value can be trusted and what it rests on, for readers that know only a bare number."""
        return {
            "n": row["n"],
            "clusters": row["clusters"],
            "low": row["low"],
            "high": row["high"],
            "confidence": CONFIDENCE,
            "standard_error": row["standard_error"],
            "interval": row["method"],
            "profile": row["profile"],
            "unreadable_rate": row["failure_rate"],
            "skipped": row["skipped"],
            "limit": self.limit,
            "synthetic": self.record.synthetic,
            "metric_table_sha256": self.record.content_sha256,
        }


def results_of(lake: Lake, tasks: Mapping[str, TaskSpec], model: str, *, synthetic: bool) -> list[CellResults]:
    """What the lake holds on the model, task by task. synthetic: also what rests on the project's synthetic samples.

    BadInput where there is nothing, where all of it is synthetic and that was not asked for, or where what a value
    rests on cannot be found: such a value is not given away.
    """
    found = {key.task for key in lake.keys("metric_tables") if key.model == model}
    keys = [LakeKey("metric_tables", model, task) for task in tasks if task in found]
    if not keys:
        raise BadInput([Problem(f"model {model}", "nothing was measured of it yet", "Run `medeval evaluate` first.")])
    records = [record for record in lake.records(keys) if synthetic or not record.synthetic]
    if not records:
        what = "all of its values rest on synthetic samples, which say nothing about a model"
        raise BadInput([Problem(f"model {model}", what, "Evaluate it on real files, or ask with `--synthetic`.")])
    return [_cell(lake, tasks[record.task], record) for record in records]


def results_document(model: str, results: Sequence[CellResults]) -> dict[str, Any]:
    """Everything as JSON values, for programs."""
    return {
        "model": model,
        "results": [
            {
                "task": cell.task.name,
                "title": cell.task.title,
                "homepage": cell.task.homepage,
                "licence": cell.record.licence,
                "access": cell.record.access.value,
                "synthetic": cell.record.synthetic,
                "source": cell.source,
                "made": cell.record.created_at,
                "dataset_sha256": cell.dataset.content_sha256,
                "lineage": [
                    {"asset": one.asset, "model": one.model, "task": one.task, "content_sha256": one.content_sha256}
                    for one in [cell.record.as_input(), *cell.lineage]
                ],
                "metrics": [
                    {
                        "metric": row["metric"],
                        "title": row["title"],
                        "headline": row["headline"],
                        "value": row["value"],
                        **cell.evidence(row),
                    }
                    for row in cell.metrics
                ],
            }
            for cell in results
        ],
    }


def hub_entries(results: Sequence[CellResults], benchmarks: Mapping[str, str]) -> str:
    """The headline values as YAML for `.eval_results/medeval.yaml` of a model's repository on the Hugging Face Hub.

    benchmarks: task → the dataset that stands for it on the Hub, `org/name` or `org/name:task`. Only the user knows
    that what was measured here is what a leaderboard there means; tasks without one are left out.
    """
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
    from huggingface_hub.utils._fixes import yaml_dump

    entries: list[EvalResultEntry] = []
    for cell in results:
        headline = next((row for row in cell.metrics if row["headline"]), None)
        if cell.task.name not in benchmarks or headline is None:
            continue
        dataset, _, name = benchmarks[cell.task.name].partition(":")
        entries.append(
            EvalResultEntry(
                dataset_id=dataset,
                task_id=name or "default",
                value=headline["value"],
                date=cell.record.created_at,
                notes=_notes(cell, headline),
            )
        )
    return yaml_dump(eval_result_entries_to_yaml(entries), sort_keys=False)


def _notes(cell: CellResults, row: Mapping[str, Any]) -> str:
    made_up = "on synthetic samples, says nothing about the model; " if cell.record.synthetic else ""
    interval = "" if row["low"] is None else f", 95 % interval {row['low']:.4f} to {row['high']:.4f}"
    return (
        f"{made_up}{row['title']}, n {row['n']}{interval}, rules {row['profile']}; {cell.source}; "
        f"not verified by others; dataset content sha256 {cell.dataset.content_sha256}, "
        f"metric table content sha256 {cell.record.content_sha256}"
    )


def _cell(lake: Lake, task: TaskSpec, record: LineageRecord) -> CellResults:
    rows = [row for row in lake.rows(record.key) if row["value"] is not None]
    lineage: dict[InputRecord, LineageRecord] = {}
    ahead = list(record.derivation.inputs)
    while ahead:
        one = ahead.pop(0)
        if one not in lineage:
            lineage[one] = _made_then(lake, record, one)
            ahead += lineage[one].derivation.inputs
    dataset = next((one for one in lineage if one.asset == "datasets"), None)
    if dataset is None:
        raise BadInput([Problem(str(record.key), "its record names no dataset", "Materialize it again.")])
    limits = [made.derivation.parameters.get("limit") for one, made in lineage.items() if one.asset == "generations"]
    return CellResults(task, rows, record, list(lineage), dataset, limits[0] if limits else None)


def _made_then(lake: Lake, record: LineageRecord, one: InputRecord) -> LineageRecord:
    """The record of the very table that was read, also where another one is current or where it was removed."""
    found = lake.record_with(one.key, one.content_sha256)
    if found is not None:
        return found[1]
    for removal in lake.removals(one.key):
        if removal.record.content_sha256 == one.content_sha256:
            return removal.record
    what = f"it rests on a table that is not in the lake: {one.key}, content {one.content_sha256[:12]}…"
    raise BadInput([Problem(str(record.key), what, "Materialize it again.")])
