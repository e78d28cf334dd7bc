"""Facts about Dagster that the platform rests on. An upgrade that changes one fails here, not in a user's run."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

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


# What Dagster itself calls out of date


class Versioned:
    """Two assets of two partitions, one made from the other. set_version: what the first gives as its data version."""

    def __init__(self, instance: dg.DagsterInstance, set_version: Mapping[str, str] | None) -> None:
        self._instance = instance
        self.content = {"a": "1", "b": "1"}

        @dg.asset(partitions_def=PARTS, backfill_policy=dg.BackfillPolicy.single_run(), code_version="1")
        def root() -> None: ...

        @dg.asset(deps=[root], partitions_def=PARTS, backfill_policy=dg.BackfillPolicy.single_run(), code_version="1")
        def before(context: dg.AssetExecutionContext) -> None:
            if set_version is not None:
                version = set_version["range" if len(context.partition_keys) > 1 else "single"]
                content = self.content[context.partition_keys[0]]
                context.set_data_version(context.asset_key, dg.DataVersion(version.format(content=content)))

        @dg.asset(deps=[before], partitions_def=PARTS, backfill_policy=dg.BackfillPolicy.single_run(), code_version="1")
        def after() -> None: ...

        @dg.asset(deps=[before], code_version="1")
        def whole() -> None: ...

        self._definitions = dg.Definitions([root, before, after, whole])

    def run(self, *assets: str, start: str = "", end: str = "") -> None:
        tags = {"dagster/asset_partition_range_start": start, "dagster/asset_partition_range_end": end} if start else {}
        job = dg.define_asset_job("some", selection=list(assets))
        definitions = dg.Definitions.merge(self._definitions, dg.Definitions(jobs=[job]))
        done = definitions.resolve_job_def("some").execute_in_process(
            instance=self._instance, tags=tags, run_config=QUIET
        )
        assert done.success

    def versions(self) -> set[str]:
        """Of the partitions that were made last."""
        found: dict[str, str] = {}
        for record in reversed(self._instance.fetch_materializations(dg.AssetKey("before"), limit=10).records):
            event = record.asset_materialization
            assert event is not None
            found[str(event.partition)] = (event.tags or {})["dagster/data_version"]
        return set(found.values())

    def told(self, asset: str, partition: str | None = None) -> list[str]:
        """Why Dagster calls the asset, or a partition of it, out of date."""
        graph: Any = self._definitions.resolve_asset_graph()
        resolver = CachingStaleStatusResolver(self._instance, graph, LoadingContextForTest(self._instance))
        return [cause.reason for cause in resolver.get_stale_causes(dg.AssetKey(asset), partition)]


PARTS = dg.StaticPartitionsDefinition(["a", "b"])
NEW_VERSION = "has a new dependency data version"


@pytest.mark.parametrize("set_version", [None, {"range": "{content}", "single": "{content}"}])
def test_all_partitions_of_a_run_have_one_data_version(
    instance: dg.DagsterInstance, set_version: Mapping[str, str] | None
) -> None:
    versioned = Versioned(instance, set_version)
    versioned.content["b"] = "2"
    versioned.run("root", "before", start="a", end="b")
    # https://github.com/dagster-io/dagster/issues/18649: there is no way to give each its own.
    assert len(versioned.versions()) == 1


@pytest.mark.parametrize(
    ("set_version", "called_out_of_date"),
    [
        (None, True),  # Dagster's own is a hash over the versions of all partitions of the run that were read
        ({"range": "of the range", "single": "{content}"}, True),
        ({"range": "always this", "single": "always this"}, False),
    ],
)
def test_a_run_of_one_partition_after_one_of_several_looks_like_new_data_unless_the_version_is_always_the_same(
    instance: dg.DagsterInstance, set_version: Mapping[str, str] | None, called_out_of_date: bool
) -> None:
    versioned = Versioned(instance, set_version)
    versioned.run("root", "before", "after", start="a", end="b")
    assert versioned.told("after", "a") == []
    versioned.run("root", "before", start="a", end="a")  # nothing changed
    assert versioned.told("after", "a") == ([NEW_VERSION] if called_out_of_date else [])
    assert versioned.told("after", "b") == []


def test_a_partition_that_is_new_is_new_data_to_what_is_made_from_all(instance: dg.DagsterInstance) -> None:
    versioned = Versioned(instance, {"range": "always this", "single": "always this"})
    versioned.run("root", "before", start="a", end="a")
    versioned.run("whole")
    assert versioned.told("whole") == []
    versioned.run("root", "before", start="b", end="b")
    assert versioned.told("whole") == [NEW_VERSION]
    versioned.run("whole")
    assert versioned.told("whole") == []


def test_a_partitioned_asset_as_a_whole_is_never_out_of_date(instance: dg.DagsterInstance) -> None:
    versioned = Versioned(instance, {"range": "{content}", "single": "{content}"})
    versioned.run("root", "before", "after", start="a", end="a")
    versioned.content["a"] = "2"
    versioned.run("before", start="a", end="a")
    assert versioned.told("after", "a") == [NEW_VERSION]
    assert versioned.told("after") == []


def test_a_materialization_that_is_logged_has_only_the_version_that_it_is_given(instance: dg.DagsterInstance) -> None:
    """So a partition that is recorded by a failing step must be given the version that it would have had."""

    @dg.asset(partitions_def=PARTS, code_version="1")
    def before(context: dg.AssetExecutionContext) -> None:
        context.log_event(dg.AssetMaterialization(context.asset_key, partition="a"))
        context.log_event(
            dg.AssetMaterialization(context.asset_key, partition="b", tags={"dagster/data_version": "given"})
        )
        raise dg.Failure("one failed", allow_retries=False)

    tags = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "a"}
    assert not run(instance, [before], tags).success
    for partition, version in (("a", None), ("b", "given")):
        record = instance.get_latest_data_version_record(before.key, partition_key=partition)
        assert record is not None
        assert (record.event_log_entry.tags or {}).get("dagster/data_version") == version


def test_the_checks_of_several_assets_run_with_any_of_them_only_if_they_can_be_told_apart(
    instance: dg.DagsterInstance,
) -> None:
    @dg.asset
    def one() -> None: ...

    @dg.asset
    def other() -> None: ...

    def job_with(can_subset: bool) -> dg.JobDefinition:
        @dg.multi_asset_check(
            specs=[dg.AssetCheckSpec("looks", asset=asset) for asset in ("one", "other")], can_subset=can_subset
        )
        def looks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
            for key in context.selected_asset_check_keys:
                yield dg.AssetCheckResult(asset_key=key.asset_key, check_name=key.name, passed=True)

        job = dg.define_asset_job("just_one", selection=["one"])
        return dg.Definitions([one, other], asset_checks=[looks], jobs=[job]).resolve_job_def("just_one")

    with pytest.raises(dg.DagsterInvalidDefinitionError):
        job_with(can_subset=False)
    done = job_with(can_subset=True).execute_in_process(instance=instance, run_config=QUIET)
    assert [check.asset_key.to_user_string() for check in done.get_asset_check_evaluations()] == ["one"]
