"""WrittenLog: what an orchestrator would have recorded of a lake, in a file that outlives the processes that write."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medeval_assets.audit.known_writes import KnownWrite
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation, LineageRecord
from medeval_assets_tests.core.audit.small_lakes import row_of


@dataclass
class WrittenLog:
    """A line for each table that was about to be written, and one when it was.

    killed: runs that did not end well, so that what they wrote last may not be recorded.
    """

    path: Path
    killed: set[str] = field(default_factory=set)

    def writes(self) -> Sequence[KnownWrite]:
        found = [line["recorded"] for line in self._lines() if "recorded" in line]
        return [KnownWrite(LakeKey(*one.pop("key")), **one) for one in found]

    def may_be_unrecorded(self, run_id: str, made: str) -> bool:
        return run_id in self.killed

    def last(self, key: LakeKey) -> tuple[int | None, set[int]]:
        """The number of the table that was recorded last, and those of all that were about to be written since."""
        written: int | None = None
        since: set[int] = set()
        for line in self._lines():
            for what, about in line.items():
                if what == "written" and LakeKey(**about["key"]) == key:
                    written, since = about["number"], set()
                elif what == "about_to_write" and LakeKey(**about["key"]) == key:
                    since.add(about["number"])
        return written, since

    def write(
        self, lake: Lake, key: LakeKey, number: int, run: str, *, inputs: Sequence[LakeKey] = (), rows: int = 2
    ) -> LineageRecord:
        """Write a table of this number, and record it as an asset does."""
        records = [record for needed in inputs if (record := lake.record(needed)) is not None]
        derivation = Derivation(code_version=str(number), inputs=tuple(one.as_input() for one in records))
        about = {"key": key._asdict(), "number": number}
        self._add({"about_to_write": about})
        table = [row_of(key.asset, number + index) for index in range(rows)]
        record = lake.write(key, table, derivation, run_id=run)
        file_sha256, now = lake.file_sha256(key), datetime.now(UTC).isoformat(timespec="microseconds")
        write = KnownWrite(key, record.content_sha256, file_sha256, record.created_at, now)
        self._add({"written": about, "recorded": asdict(write)})
        return record

    def _add(self, line: dict[str, Any]) -> None:
        # One write to the end of the file: lines of several processes do not mix.
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, json.dumps(line).encode() + b"\n")
        os.close(descriptor)

    def _lines(self) -> Iterator[dict[str, Any]]:
        if self.path.exists():
            yield from map(json.loads, self.path.read_text("ascii").splitlines())
