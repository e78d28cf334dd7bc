"""What happens by itself: new checkpoints are evaluated, CPU work follows data, GPU work never does."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from medeval_assets.automation import new_models, weekly_evaluation
from medeval_assets.instance import add_model_partitions, open_instance
from medeval_assets.lake.key import LakeKey
from medeval_assets.partitions import EVALUATION_JOB, grid_key, model_run_request
from medeval_assets.resources import all_models
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.graph.small_platform import SmallPlatform, materialized

SHARD = "model-00001-of-00002.safetensors"


@pytest.fixture
def instance(platform: SmallPlatform) -> Iterator[dg.DagsterInstance]:
    with open_instance(platform.settings) as opened:
        yield opened


class Ticks:
    """Ticks of the sensor as its daemon makes them: what it asks for is done, and its cursor is kept."""

    def __init__(self, platform: SmallPlatform, instance: dg.DagsterInstance) -> None:
        self._platform = platform
        self._instance = instance
        self._cursor: str | None = None

    def __call__(self) -> tuple[list[str], list[dg.RunRequest], str]:
        """(partitions added, runs requested, reason where it skips)."""
        context = dg.build_sensor_context(
            instance=self._instance, cursor=self._cursor, resources={"home": self._platform.home()}
        )
        tick = new_models.evaluate_tick(context)
        self._cursor = tick.cursor
        added: list[str] = []
        for request in tick.dynamic_partitions_requests or []:
            assert isinstance(request, dg.AddDynamicPartitionsRequest)
            self._instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
            added += request.partition_keys
        return added, list(tick.run_requests or []), tick.skip_message or ""


def own_tags(request: dg.RunRequest) -> dict[str, str]:
    """A request's tags without those that name the sensor or schedule."""
    return {
        key: value for key, value in request.tags.items() if key not in {"dagster/sensor_name", "dagster/schedule_name"}
    }


def write_prompt_set(platform: SmallPlatform) -> None:
    """Prepare one task, which is enough for new checkpoints to be evaluated."""
    tasks = list(all_tasks())[:1] * 2
    ends = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
    with open_instance(platform.settings) as opened:
        assert platform.run(opened, "prepare_tasks", dict(zip(ends, tasks, strict=True)))


@pytest.fixture
def ticks(platform: SmallPlatform, instance: dg.DagsterInstance) -> Ticks:
    return Ticks(platform, instance)


def test_the_catalog_becomes_partitions_and_is_not_evaluated(platform: SmallPlatform, ticks: Ticks) -> None:
    platform.add_model("m1")
    added, requests, _ = ticks()
    assert added == list(all_models(platform.settings))
    assert "m1" in added
    assert requests == []
    assert ticks()[:2] == ([], [])


def without_a_shard(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / SHARD)
    index = {"weight_map": {"a": SHARD, "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def truncated(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("spoil", "missing"),
    [
        (without_a_shard, "model.safetensors.index.json: names `model-00002-of-00002.safetensors`, which is not there"),
        (truncated, "new-7b/model.safetensors: the file is truncated"),
    ],
)
def test_a_checkpoint_is_waited_for_and_then_evaluated_once(
    platform: SmallPlatform, ticks: Ticks, spoil: Callable[[Path], None], missing: str
) -> None:
    write_prompt_set(platform)
    ticks()
    folder = Path(shutil.copytree(platform.checkpoint, platform.settings.incoming / "new-7b"))
    spoil(folder)
    added, requests, skipped = ticks()
    assert (added, requests) == ([], [])
    assert "incoming/new-7b" in skipped
    assert missing in skipped

    shutil.rmtree(folder)
    shutil.copytree(platform.checkpoint, folder)
    added, requests, _ = ticks()
    model = all_models(platform.settings)["new-7b"]
    assert added == ["new-7b"]
    assert [own_tags(request) for request in requests] == [dict(model_run_request(model).tags)]
    assert [request.job_name for request in requests] == [EVALUATION_JOB]
    assert ticks()[:2] == ([], [])


@pytest.mark.parametrize("before_the_first_tick", [True, False])
def test_a_checkpoint_that_the_ui_or_an_evaluation_registered_is_still_evaluated(
    platform: SmallPlatform, instance: dg.DagsterInstance, ticks: Ticks, before_the_first_tick: bool
) -> None:
    write_prompt_set(platform)
    if not before_the_first_tick:
        ticks()
    shutil.copytree(platform.checkpoint, platform.settings.incoming / "new-7b")
    add_model_partitions(instance, all_models(platform.settings))
    added, requests, _ = ticks()
    assert added == []
    assert [request.tags["medeval/model"] for request in requests] == ["new-7b"]
    assert ticks()[:2] == ([], [])


def test_the_requested_run_evaluates_the_checkpoint_on_every_task(
    platform: SmallPlatform, instance: dg.DagsterInstance, ticks: Ticks, tiny_checkpoint: Path
) -> None:
    write_prompt_set(platform)
    shutil.copytree(tiny_checkpoint, platform.settings.incoming / "new-7b")
    _, (request,), _ = ticks()
    tasks = list(all_tasks())
    ends = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
    assert platform.run(instance, "prepare_tasks", dict(zip(ends, (tasks[0], tasks[-1]), strict=True)))
    assert platform.run(instance, str(request.job_name), dict(request.tags), limit=1)
    assert materialized(instance, "metric_tables") == {LakeKey("metric_tables", "new-7b", task) for task in tasks}


def test_datasets_are_read_once_by_themselves(platform: SmallPlatform, instance: dg.DagsterInstance) -> None:
    definitions = platform.definitions()
    asked = dg.evaluate_automation_conditions(definitions, instance, dg.AssetSelection.assets("datasets"))
    assert asked.get_requested_partitions(dg.AssetKey("datasets")) == set(all_tasks())
    for task in all_tasks():
        instance.report_runless_asset_event(dg.AssetMaterialization("datasets", partition=task))
    again = dg.evaluate_automation_conditions(
        definitions, instance, dg.AssetSelection.assets("datasets"), cursor=asked.cursor
    )
    assert again.total_requested == 0


def test_a_checkpoint_waits_for_the_first_prompt_sets(platform: SmallPlatform, ticks: Ticks) -> None:
    shutil.copytree(platform.checkpoint, platform.settings.incoming / "new-7b")
    added, requests, skipped = ticks()
    assert "new-7b" in added
    assert requests == []
    assert "no prompt set" in skipped
    write_prompt_set(platform)
    assert [request.tags["medeval/model"] for request in ticks()[1]] == ["new-7b"]


def test_every_week_one_run_for_each_registered_model(platform: SmallPlatform, instance: dg.DagsterInstance) -> None:
    models = all_models(platform.settings)
    chosen = list(models)[:3]
    instance.add_dynamic_partitions("models", [*chosen, "gone"])

    def requests(day: int) -> list[dg.RunRequest]:
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime.datetime(2026, 1, day, 2, tzinfo=datetime.UTC),
            resources={"home": platform.home()},
        )
        return list(weekly_evaluation.evaluate_tick(context).run_requests or [])

    first = requests(3)
    assert [own_tags(request) for request in first] == [dict(model_run_request(models[key]).tags) for key in chosen]
    assert {request.run_key for request in first}.isdisjoint({request.run_key for request in requests(10)})


def test_without_models_the_week_is_skipped(platform: SmallPlatform, instance: dg.DagsterInstance) -> None:
    context = dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=datetime.datetime(2026, 1, 3, 2, tzinfo=datetime.UTC),
        resources={"home": platform.home()},
    )
    assert weekly_evaluation.evaluate_tick(context).skip_message == "no model is a partition yet"


def test_new_data_asks_for_prompts_and_new_answers_for_scores_but_nothing_asks_for_answers(
    platform: SmallPlatform, instance: dg.DagsterInstance
) -> None:
    definitions = platform.definitions()
    instance.add_dynamic_partitions("models", ["m1", "m2"])

    def report(asset: str, partition: str) -> None:
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=partition))

    def leaderboard_asked() -> bool:
        return result.get_num_requested(dg.AssetKey("leaderboard")) == 1

    for task in all_tasks():
        report("datasets", task)
        report("prompt_sets", task)
    assets = ["datasets", "prompt_sets", "generations", "scores", "metric_tables"]
    everything = dg.AssetSelection.all()
    result = dg.evaluate_automation_conditions(definitions, instance, everything)

    def next_tick() -> dict[str, set[str]]:
        nonlocal result
        result = dg.evaluate_automation_conditions(definitions, instance, everything, cursor=result.cursor)
        asked = {asset: result.get_requested_partitions(dg.AssetKey(asset)) for asset in assets}
        return {asset: {str(key) for key in keys} for asset, keys in asked.items() if keys}

    report("datasets", "mednli")
    assert next_tick() == {"prompt_sets": {"mednli"}}
    report("prompt_sets", "mednli")
    assert next_tick() == {}
    cell = str(grid_key("m1", "mednli"))
    report("generations", cell)
    assert next_tick() == {"scores": {cell}, "metric_tables": {cell}}
    assert not leaderboard_asked()
    report("scores", cell)
    report("metric_tables", cell)
    assert next_tick() == {}
    assert leaderboard_asked()
    # Data and prompts of a task that has answers are made again: it is scored anew, not answered anew.
    report("datasets", "mednli")
    assert next_tick() == {"prompt_sets": {"mednli"}, "scores": {cell}, "metric_tables": {cell}}
    report("prompt_sets", "mednli")
    assert next_tick() == {}
