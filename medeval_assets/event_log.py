"""What Dagster recorded of the lake: every materialization of every table, and how the runs ended.

Belongs here: reading the instance's event log for the audit. Does not belong here: what is made of it (`audit`).
Concept: https://docs.dagster.io/guides/build/assets/metadata-and-tags
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from medeval_assets.audit.audit import Changes, OnRead, audit
from medeval_assets.audit.known_writes import KnownWrite
from medeval_assets.audit.verdict import AuditReport
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.known_records import KnownRecords
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.lake.migrations import TABLE_VERSIONS
from medeval_assets.lake.whole_file import write_whole
from medeval_assets.partitions import lake_key
from medeval_assets.recipes.today import Today
from medeval_assets.resources import all_models
from medeval_assets.settings import Settings

_log = logging.getLogger(__name__)

_STAMP = b"medeval.event_log"
_PAGE = 1000
_COLUMNS = ("asset", "model", "task", "content_sha256", "file_sha256", "made", "recorded")
_FAILED = {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


def audit_with_event_log(
    lake: Lake,
    settings: Settings,
    instance: dg.DagsterInstance | None,
    *,
    full: bool = False,
    on_read: OnRead | None = None,
) -> AuditReport:
    """Audit the lake: by itself, against what its tables would be made from today, and against the event log if any."""
    kept = settings.home / "audit"
    models = all_models(settings)

    def today(records: Sequence[LineageRecord]) -> Changes:
        return Today(KnownRecords(lake, records), settings, models).changes

    known = None if instance is None else EventLog(instance, remembered=kept / "known_writes.parquet", full=full)
    return audit(lake, remembered=kept / "remembered.parquet", known=known, today=today, full=full, on_read=on_read)


class EventLog:
    """The instance's materializations of the lake's tables.

    remembered: where what was read is kept, so that the next audit only reads what came since; not used when `full`.
    """

    def __init__(self, instance: dg.DagsterInstance, *, remembered: Path | None = None, full: bool = False) -> None:
        self._instance = instance
        self._path = remembered
        self._writes: dict[str, list[KnownWrite]] = {asset: [] for asset in TABLE_VERSIONS}
        self._read_up_to: dict[str, int] = {}
        self._runs: dict[str, tuple[dg.DagsterRunStatus, float | None] | None] = {}
        if remembered is not None and not full:
            self._recall(remembered)

    def writes(self) -> Sequence[KnownWrite]:
        """Every materialization up to now, oldest first for each table. What a run told before is kept."""
        new = 0
        for asset in TABLE_VERSIONS:
            for record in self._since(asset):
                new += 1
                self._read_up_to[asset] = record.storage_id
                write = _write_in(asset, record)
                if write is not None:
                    self._writes[asset].append(write)
        if new and self._path is not None:
            self._remember(self._path)
        return [write for writes in self._writes.values() for write in writes]

    def may_be_unrecorded(self, run_id: str, made: str) -> bool:
        """Whether the run is not over, failed, or was killed: what it wrote last may not be recorded then."""
        if run_id not in self._runs:
            found = self._instance.get_run_record_by_id(run_id) if run_id else None
            self._runs[run_id] = None if found is None else (found.dagster_run.status, found.end_time)
        run = self._runs[run_id]
        if run is None or run[0] is dg.DagsterRunStatus.SUCCESS:
            return False
        status, ended = run
        try:
            return status not in _FAILED or ended is None or datetime.fromisoformat(made).timestamp() <= ended
        except ValueError:
            return False

    def _since(self, asset: str) -> Iterator[dg.EventLogRecord]:
        key = dg.AssetKey(asset)
        newest = self._instance.fetch_materializations(key, limit=1).records
        before = self._read_up_to.get(asset)
        if before is not None and (not newest or newest[0].storage_id < before):
            # The log was wiped, or it is another one: what it said before does not count any more.
            self._writes[asset], before = [], None
            del self._read_up_to[asset]
        if not newest or newest[0].storage_id == before:
            return
        cursor = None
        records_filter = dg.AssetRecordsFilter(asset_key=key, after_storage_id=before)
        while True:
            page = self._instance.fetch_materializations(records_filter, limit=_PAGE, cursor=cursor, ascending=True)
            yield from page.records
            if not page.has_more:
                return
            cursor = page.cursor

    def _recall(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:  # `read_table` would import pandas
                table = file.read()
            about = json.loads(table.schema.metadata[_STAMP])
            columns = [table.column(name).to_pylist() for name in _COLUMNS]
            if about["instance"] != self._identity():
                return
            read_up_to = {asset: int(number) for asset, number in about["read_up_to"].items()}
        except (OSError, pa.ArrowException, ValueError, KeyError, TypeError, AttributeError):
            return  # it only saves time
        self._read_up_to = {asset: number for asset, number in read_up_to.items() if asset in self._writes}
        for asset, model, task, *values in zip(*columns, strict=True):
            if asset in self._read_up_to:
                self._writes[asset].append(KnownWrite(LakeKey(asset, model, task), *values))

    def _remember(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = [
            (one.key.asset, one.key.model, one.key.task, one.content_sha256, one.file_sha256, one.made, one.recorded)
            for writes in self._writes.values()
            for one in writes
        ]
        about = {_STAMP: json.dumps({"instance": self._identity(), "read_up_to": self._read_up_to}).encode()}
        schema = pa.schema([(name, pa.string()) for name in _COLUMNS], metadata=about)
        columns = list(zip(*rows, strict=True)) or [()] * len(_COLUMNS)
        buffer = io.BytesIO()
        pq.write_table(pa.table([pa.array(one, pa.string()) for one in columns], schema=schema), buffer)
        try:
            write_whole(path, buffer.getvalue())
        except OSError as error:
            # It only saves time: the audit goes on without it.
            reason = error.strerror or type(error).__name__
            _log.warning("%s: what was read of the event log could not be kept (%s)", path, reason)

    def _identity(self) -> str:
        """Which instance it is; "" where its storage does not say, and then only the log's own numbers tell."""
        return str(getattr(self._instance.run_storage, "get_run_storage_id", str)())


def _write_in(asset: str, record: dg.EventLogRecord) -> KnownWrite | None:
    """The write that a materialization tells of; None where it tells of no table of the lake."""
    event = record.asset_materialization
    if event is None:
        return None
    names = ("content_sha256", "file_sha256", "made")
    told = {name: event.metadata[name].value for name in names if name in event.metadata}
    if not isinstance(told.get("content_sha256"), str):
        return None
    try:
        key = lake_key(asset, event.partition) if event.partition else LakeKey(asset)
    except Exception:  # a partition that this release does not have: Dagster raises errors of several kinds
        return None
    recorded = datetime.fromtimestamp(record.timestamp, UTC).isoformat(timespec="microseconds")
    content_sha256, file_sha256, made = (str(told.get(name, "")) for name in names)
    return KnownWrite(key, content_sha256, file_sha256, made, recorded)
