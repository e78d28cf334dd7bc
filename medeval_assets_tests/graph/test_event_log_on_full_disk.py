"""What was read of Dagster's event log is kept for the next audit, and an audit does without where it cannot be."""

from __future__ import annotations

import logging
from pathlib import Path

import dagster as dg
import pytest

from medeval_assets.event_log import EventLog
from medeval_assets_tests.core.lake.small_disk import small_disk


def materialized(number: int) -> dg.AssetMaterialization:
    told = {"content_sha256": f"{number:064x}", "file_sha256": f"{number:064x}", "made": "2026-01-01T00:00:00+00:00"}
    return dg.AssetMaterialization("leaderboard", metadata=told)


def test_a_full_disk_keeps_no_audit_from_knowing_what_was_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with dg.DagsterInstance.ephemeral() as instance, small_disk(tmp_path / "disk") as disk:
        kept = disk.folder / "audit" / "known_writes.parquet"
        for number in range(300):
            instance.report_runless_asset_event(materialized(number))
        for space in range(100):
            caplog.clear()
            with disk.left(space), caplog.at_level(logging.WARNING, "medeval_assets"):
                assert len(EventLog(instance, remembered=kept).writes()) == 300
            messages = [message for message in caplog.messages if str(kept) in message]
            if kept.exists():
                break
            assert len(messages) == 1
            assert "what was read of the event log could not be kept (" in messages[0]
            assert not kept.parent.exists() or list(kept.parent.iterdir()) == []
        assert space > 0
        assert messages == []
        # The next one goes on from there, also where it can keep nothing.
        instance.report_runless_asset_event(materialized(300))
        with disk.left(0):
            writes = EventLog(instance, remembered=kept).writes()
        assert [write.content_sha256 for write in writes] == [f"{number:064x}" for number in range(301)]
