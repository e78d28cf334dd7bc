"""Facts about Dagster that the platform rests on. An upgrade that changes one fails here, not in a user's run."""

from collections.abc import Iterator

import dagster as dg
import pytest

MODELS = dg.DynamicPartitionsDefinition(name="models")
TASKS = dg.StaticPartitionsDefinition(["a", "b", "c"])
GRID = dg.MultiPartitionsDefinition({"model": MODELS, "task": TASKS})
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
RANGE = {"dagster/asset_partition_range_start": "m1|a", "dagster/asset_partition_range_end": "m1|c"}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        made.add_dynamic_partitions("models", ["m0", "m1", "m2"])
        yield made


def run(
    instance: dg.DagsterInstance, assets: list[dg.AssetsDefinition], tags: dict[str, str]
) -> dg.ExecuteInProcessResult:
    job = dg.Definitions(assets).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, tags=tags, run_config=QUIET, raise_on_error=False)


def test_a_range_of_one_model_takes_its_tasks_and_nothing_else(instance: dg.DagsterInstance) -> None:
    seen: list[str] = []

    @dg.asset(partitions_def=GRID, backfill_policy=dg.BackfillPolicy.single_run())
    def cells(context: dg.AssetExecutionContext) -> None:
        seen.extend(context.partition_keys)
        for key in context.partition_keys:
            context.add_asset_metadata({"task": key[-1]}, partition_key=key)

    assert run(instance, [cells], RANGE).success
    assert seen == ["m1|a", "m1|b", "m1|c"]
    assert instance.get_materialized_partitions(cells.key) == set(seen)
    events = instance.fetch_materializations(cells.key, limit=10).records
    told = {
        record.asset_materialization.partition: record.asset_materialization.metadata["task"].value
        for record in events
        if record.asset_materialization
    }
    assert told == {"m1|a": "a", "m1|b": "b", "m1|c": "c"}


def test_finished_partitions_of_a_failed_step_stay_and_the_retry_completes_the_rest(
    instance: dg.DagsterInstance,
) -> None:
    broken = {"m1|b"}

    @dg.asset(partitions_def=GRID, backfill_policy=dg.BackfillPolicy.single_run())
    def generations(context: dg.AssetExecutionContext) -> None:
        done = [key for key in context.partition_keys if key not in broken]
        if broken:
            for key in done:
                context.log_event(dg.AssetMaterialization(context.asset_key, partition=key))
            raise dg.Failure("one failed", allow_retries=False)

    @dg.asset(partitions_def=GRID, deps=[generations], backfill_policy=dg.BackfillPolicy.single_run())
    def scores() -> None: ...

    assert not run(instance, [generations, scores], RANGE).success
    assert instance.get_materialized_partitions(generations.key) == {"m1|a", "m1|c"}
    assert instance.get_materialized_partitions(scores.key) == set()
    broken.clear()
    assert run(instance, [generations, scores], RANGE).success
    assert instance.get_materialized_partitions(scores.key) == {"m1|a", "m1|b", "m1|c"}


def test_without_the_return_annotation_the_io_manager_refuses_several_partitions(
    instance: dg.DagsterInstance,
) -> None:
    @dg.asset(partitions_def=GRID, backfill_policy=dg.BackfillPolicy.single_run())
    def cells(context: dg.AssetExecutionContext):  # type: ignore[no-untyped-def]  # what is shown
        return None

    assert not run(instance, [cells], RANGE).success


def test_a_check_knows_the_partitions_of_a_ranged_run(instance: dg.DagsterInstance) -> None:
    seen: list[str] = []

    @dg.asset(partitions_def=GRID, backfill_policy=dg.BackfillPolicy.single_run())
    def cells() -> None: ...

    @dg.asset_check(asset=cells)
    def looks(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        seen.extend(context.partition_keys)
        return dg.AssetCheckResult(passed=True)

    job = dg.Definitions([cells], asset_checks=[looks]).resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=instance, tags=RANGE, run_config=QUIET).success
    assert seen == ["m1|a", "m1|b", "m1|c"]


def test_a_key_with_a_bar_is_accepted_and_then_missing_from_the_grid(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("models", ["x|y"])
    assert "x|y" in instance.get_dynamic_partitions("models")
    assert not any("x|y" in key for key in GRID.get_partition_keys(dynamic_partitions_store=instance))
