"""The audit against a real instance: its event log, its runs, the asset and its check."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from medeval_assets.assets.lineage_audit import clean, lineage_audit
from medeval_assets.audit.verdict import AuditReport, Verdict
from medeval_assets.event_log import EventLog, audit_with_event_log
from medeval_assets.instance import open_instance
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets_tests.core.audit.small_lakes import row_of
from medeval_assets_tests.graph.small_platform import SmallPlatform

DATASET = LakeKey("datasets", task="mednli")
SOURCE = "mli_test_v1.jsonl"


@pytest.fixture
def instance(platform: SmallPlatform) -> Iterator[dg.DagsterInstance]:
    write_pairs(platform, 9)
    with open_instance(platform.settings) as opened:
        yield opened


def write_pairs(platform: SmallPlatform, count: int) -> None:
    rows = [
        {"pairID": f"p{n}", "sentence1": f"Patient {n} is well.", "sentence2": "He is ill.", "gold_label": "neutral"}
        for n in range(count)
    ]
    platform.write_source("mednli", SOURCE, "\n".join(map(json.dumps, rows)))


def prepare(platform: SmallPlatform, instance: dg.DagsterInstance) -> bool:
    ends = {f"dagster/asset_partition_range_{end}": "mednli" for end in ("start", "end")}
    return platform.run(instance, "prepare_tasks", ends)


def audited(platform: SmallPlatform, instance: dg.DagsterInstance | None, *, full: bool = False) -> AuditReport:
    return audit_with_event_log(platform.lake, platform.settings, instance, full=full)


def wrong(report: AuditReport) -> dict[str, str]:
    return {file.path: file.verdict.value for file in report.wrong}


def run_audit(platform: SmallPlatform, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return dg.materialize([lineage_audit, clean], instance=instance, resources={"home": platform.home()})


def test_what_runs_wrote_is_intact_and_what_moved_on_is_stale(
    platform: SmallPlatform, instance: dg.DagsterInstance
) -> None:
    assert prepare(platform, instance)
    assert prepare(platform, instance)  # both are reused, and recorded again
    report = audited(platform, instance)
    assert {file.verdict for file in report.files} == {Verdict.INTACT}
    write_pairs(platform, 10)
    report = audited(platform, instance)
    assert wrong(report) == {}
    stale = {file.path: file.reason for file in report.files if file.verdict is Verdict.STALE}
    assert SOURCE in stale["datasets/task=mednli/data.parquet"]
    assert prepare(platform, instance)
    report = audited(platform, instance)
    assert {file.verdict for file in report.files} == {Verdict.INTACT}


def test_the_event_log_knows_of_deleted_added_and_older_tables(
    platform: SmallPlatform, instance: dg.DagsterInstance
) -> None:
    assert prepare(platform, instance)
    write_pairs(platform, 10)
    assert prepare(platform, instance)
    current = Path(platform.lake.path(DATASET))
    content = current.read_bytes()
    (earlier,) = (version for version in platform.lake.versions(DATASET) if Path(version.path).read_bytes() != content)
    current.unlink()
    current.hardlink_to(earlier.path)
    assert wrong(audited(platform, instance)) == {"datasets/task=mednli/data.parquet": "tampered"}
    current.unlink()
    assert wrong(audited(platform, instance)) == {"datasets/task=mednli/data.parquet": "missing"}
    current.write_bytes(content)
    Path(earlier.path).unlink()
    assert list(wrong(audited(platform, instance, full=True)).values()) == ["missing"]


@pytest.mark.parametrize(
    ("status", "run_id", "expected"),
    [
        (dg.DagsterRunStatus.SUCCESS, None, {"orphan"}),
        (dg.DagsterRunStatus.STARTED, None, set()),
        (dg.DagsterRunStatus.CANCELING, None, set()),
        (None, "no-run-of-dagster", {"orphan"}),
        (None, "", {"orphan"}),
    ],
)
def test_only_a_run_that_did_not_end_well_may_write_what_is_not_recorded(
    platform: SmallPlatform,
    instance: dg.DagsterInstance,
    status: dg.DagsterRunStatus | None,
    run_id: str | None,
    expected: set[str],
) -> None:
    if status is not None:
        run = instance.create_run_for_job(platform.definitions().resolve_job_def("prepare_tasks"), status=status)
        run_id = run.run_id
    assert run_id is not None
    platform.lake.write(DATASET, [row_of("datasets")], Derivation(code_version="0"), run_id=run_id)
    assert set(wrong(audited(platform, instance)).values()) == expected


def test_what_is_made_after_its_run_failed_is_from_another_hand(
    platform: SmallPlatform, instance: dg.DagsterInstance
) -> None:
    platform.write_source("mednli", SOURCE, "no rows")
    assert not prepare(platform, instance)
    (run,) = instance.get_runs()
    log = EventLog(instance)
    now = datetime.now(UTC)
    assert log.may_be_unrecorded(run.run_id, (now - timedelta(hours=1)).isoformat())
    assert not log.may_be_unrecorded(run.run_id, (now + timedelta(hours=1)).isoformat())
    assert not log.may_be_unrecorded(run.run_id, "some day")


def test_the_log_is_read_from_where_the_last_audit_stopped(
    platform: SmallPlatform, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    notes = tmp_path / "log.parquet"
    assert prepare(platform, instance)
    first = EventLog(instance, remembered=notes).writes()
    assert {write.key.asset for write in first} == {"datasets", "prompt_sets"}
    assert all(write.file_sha256 and write.made for write in first)
    write_pairs(platform, 10)
    assert prepare(platform, instance)
    again = EventLog(instance, remembered=notes).writes()
    assert sorted(map(str, again)) == sorted(map(str, EventLog(instance).writes()))
    assert len(again) == 2 * len(first)
    instance.wipe_assets([dg.AssetKey("datasets")])
    assert {write.key.asset for write in EventLog(instance, remembered=notes).writes()} == {"prompt_sets"}


def test_the_asset_keeps_every_verdict_and_its_check_fails_on_what_is_wrong(
    platform: SmallPlatform, instance: dg.DagsterInstance
) -> None:
    assert prepare(platform, instance)
    result = run_audit(platform, instance)
    (check,) = result.get_asset_check_evaluations()
    assert result.success
    assert check.passed
    assert {row["verdict"] for row in platform.lake.rows(LakeKey("lineage_audit"))} == {"intact"}
    (platform.settings.lake / "datasets/<b>|`x`.md").write_text("added")
    result = run_audit(platform, instance)
    (check,) = result.get_asset_check_evaluations()
    assert result.success
    assert not check.passed
    (event,) = result.asset_materializations_for_node("lineage_audit")
    page = event.metadata["not_fine"].value
    assert isinstance(page, str)
    assert "| orphan | datasets/\\<b\\>\\|\\`x\\`.md | the lake has no such file |" in page
    assert event.metadata["orphan"].value == 1
    (platform.settings.lake / "datasets/<b>|`x`.md").unlink()
    # Its own tables are part of the lake, the older one in the archive too.
    (check,) = run_audit(platform, instance).get_asset_check_evaluations()
    assert check.passed
