"""The partitions, and the run that evaluates one model.

Belongs here: what a partition is and how a run is asked for. Does not belong here: which models and tasks exist
(`catalog`, `tasks`) and when a run is asked for (`automation`).
Concept: https://docs.dagster.io/guides/build/partitions-and-backfills/partitioning-assets
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import dagster as dg

from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.lake.key import LakeKey
from medeval_assets.tasks import all_tasks

MODELS = dg.DynamicPartitionsDefinition(name="models")
TASKS = dg.StaticPartitionsDefinition(list(all_tasks()))
GRID = dg.MultiPartitionsDefinition({"model": MODELS, "task": TASKS})

EVALUATION_JOB = "evaluate_model"
GPUS_TAG = "medeval/gpus"

_RANGE_START = "dagster/asset_partition_range_start"
_RANGE_END = "dagster/asset_partition_range_end"


def task_ranges(tasks: Iterable[str]) -> list[list[str]]:
    """The tasks in their order, grouped into runs of neighbours: a ranged run can only take neighbours."""
    wanted = set(tasks)
    ranges: list[list[str]] = []
    adjacent = False
    for name in all_tasks():
        if name in wanted:
            if adjacent:
                ranges[-1].append(name)
            else:
                ranges.append([name])
        adjacent = name in wanted
    return ranges


def task_range_tags(tasks: Sequence[str]) -> dict[str, str]:
    """Run tags that materialize the task-partitioned assets for neighbouring tasks."""
    return {_RANGE_START: tasks[0], _RANGE_END: tasks[-1]}


def model_run_request(
    model: ModelSpec, tasks: Sequence[str] | None = None, *, run_key: str | None = None
) -> dg.RunRequest:
    """One run that loads one model once and evaluates it on neighbouring tasks (all of them unless told).

    `BackfillPolicy.single_run()` would group by whichever dimension has fewer keys, so the range is asked for by tags:
    Dagster takes a range as the product of its ends' dimensions. The model's GPU needs travel on the run's tags, where
    the Kubernetes and Ray launchers read them.
    """
    tasks = list(all_tasks()) if tasks is None else list(tasks)
    if task_ranges(tasks) != [tasks]:
        raise ValueError("the tasks of one run are neighbours in the order of TASKS; use task_ranges()")
    tags = {
        _RANGE_START: grid_key(model.key, tasks[0]),
        _RANGE_END: grid_key(model.key, tasks[-1]),
        "medeval/model": model.key,
        **gpu_tags(model.engine.gpus),
    }
    return dg.RunRequest(run_key=run_key, job_name=EVALUATION_JOB, tags=tags)


def gpu_tags(gpus: int) -> dict[str, str]:
    """Tags that ask Kubernetes and Ray for GPUs; only the count where none is needed."""
    tags = {GPUS_TAG: str(gpus)}
    if gpus:
        limits = {"container_config": {"resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}}
        tags |= {
            "dagster-k8s/config": json.dumps(limits),
            "dagster-ray/config": json.dumps({"num_gpus": gpus}),
        }
    return tags


def grid_key(model: str, task: str) -> dg.MultiPartitionKey:
    """A cell's key in GRID."""
    return dg.MultiPartitionKey({"model": model, "task": task})


def lake_key(asset: str, partition: str) -> LakeKey:
    """The table of the lake that a partition of TASKS or of GRID stands for."""
    if TASKS.has_partition_key(partition):
        return LakeKey(asset, task=partition)
    dimensions = GRID.get_partition_key_from_str(partition).keys_by_dimension
    return LakeKey(asset, dimensions["model"], dimensions["task"])
