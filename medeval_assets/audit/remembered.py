"""Remembered: what the last audit read, so that the next one reads only what changed, and knows what is gone."""

from __future__ import annotations

import io
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from medeval_assets.audit.file_check import CHECK_VERSION, FileFacts
from medeval_assets.lake.migrations import TABLE_VERSIONS
from medeval_assets.lake.whole_file import write_whole

_log = logging.getLogger(__name__)

_STAMP = b"medeval.audit"
_COLUMNS = ("path", "size", "stamp", "file_sha256", "content_sha256", "record", "wrong", "decoded")


class Seen(NamedTuple):
    """A file as the last audit saw it. stamp: another one when the file was written to since."""

    size: int
    stamp: str
    file_sha256: str


@dataclass
class Remembered:
    """Path → the file as it was, and hash of a file's bytes → what was read from it."""

    seen: dict[str, Seen] = field(default_factory=dict)
    facts: dict[str, FileFacts] = field(default_factory=dict)


def remembered_in(path: Path, lake_url: str) -> Remembered:
    """What was kept there of this lake; nothing where there is nothing, or nothing that can be used.

    What an older release of the audit found in the files is not used, but which files it saw is.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:  # `read_table` would import pandas
            table = file.read()
        about = json.loads(table.schema.metadata[_STAMP])
        columns = [table.column(name).to_pylist() for name in _COLUMNS]
        if about["lake"] != lake_url:
            return Remembered()
        same_checks = about["checks"] == _checks()
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):
        # It only saves time, and knows which archive files there were; an audit never fails for it.
        return Remembered()
    found = Remembered()
    for name, size, stamp, file_sha256, content_sha256, record, wrong, decoded in zip(*columns, strict=True):
        found.seen[name] = Seen(size, stamp if same_checks else "", file_sha256)
        if same_checks and decoded is not None:
            found.facts[file_sha256] = FileFacts(file_sha256, record, content_sha256, wrong, decoded)
    return found


def remember(path: Path, lake_url: str, remembered: Remembered) -> None:
    """Keep it for the next audit; as a whole or not at all.

    It only saves time: where it cannot be written, that is told, and the audit goes on.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[object]] = {name: [] for name in _COLUMNS}
    written: set[str] = set()
    for name, seen in remembered.seen.items():
        # Two names of one table's file, current and archived, have its facts once.
        facts = None if seen.file_sha256 in written else remembered.facts.get(seen.file_sha256)
        written.add(seen.file_sha256)
        values = (facts.content_sha256, facts.record, facts.wrong, facts.decoded) if facts else (None, None, None, None)
        for column, value in zip(_COLUMNS, (name, seen.size, seen.stamp, seen.file_sha256, *values), strict=True):
            columns[column].append(value)
    kinds = {"size": pa.int64(), "decoded": pa.bool_()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in _COLUMNS])
    about = {_STAMP: json.dumps({"lake": lake_url, "checks": _checks()}).encode()}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=schema.with_metadata(about)), buffer, compression="zstd")
    try:
        write_whole(path, buffer.getvalue())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        _log.warning("%s: what this audit read could not be kept for the next one (%s)", path, reason)


def _checks() -> str:
    """What decides on what is found in a file: the checks, and the tables as they are declared."""
    return json.dumps([CHECK_VERSION, TABLE_VERSIONS], sort_keys=True)
