"""Small lakes with a table of every asset, and an orchestrator that recorded what was written to them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from medeval_assets.audit.known_writes import KnownWrite
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation, LineageRecord
from medeval_assets.lake.tables import arrow_schema

RUN = "run-that-ended-well"
KILLED = "run-that-was-killed"

_FITTING: dict[str, Any] = {
    "split": "test",
    "prompt_sha256": "0" * 64,
    "fitting_sha256": "",
    "finish_reason": "stop",
    "agreement": "",
    "family": "planned",
    "verdict": "",
    "kind": "current",
    "file_sha256": "",
    "content_sha256": "",
    "cue": "",
}


def row_of(asset: str, number: int = 0) -> dict[str, Any]:
    """A row that fits the asset's table; another number makes another one."""
    row: dict[str, Any] = {}
    for column in arrow_schema(asset):
        kind = column.type
        if asset == "lineage_audit" and column.name == "verdict":
            row[column.name] = "intact"
        elif column.name in _FITTING:
            row[column.name] = _FITTING[column.name]
        elif pa.types.is_string(kind):
            row[column.name] = f"{column.name} {number}"
        elif pa.types.is_boolean(kind):
            row[column.name] = bool(number % 2)
        elif pa.types.is_integer(kind):
            row[column.name] = number
        elif pa.types.is_floating(kind):
            row[column.name] = 0.5
        else:
            row[column.name] = []
    return row


@dataclass
class Log:
    """What an orchestrator would have recorded."""

    recorded: list[KnownWrite] = field(default_factory=list)

    def writes(self) -> Sequence[KnownWrite]:
        return list(self.recorded)

    def may_be_unrecorded(self, run_id: str, made: str) -> bool:
        return run_id == KILLED


@dataclass
class SmallLake:
    """A lake and what was recorded of it."""

    lake: Lake
    log: Log = field(default_factory=Log)

    @property
    def root(self) -> Path:
        return Path(self.lake.root)

    def write(
        self, key: LakeKey, number: int = 0, rows: int = 2, inputs: Sequence[LineageRecord] = (), run: str = RUN
    ) -> LineageRecord:
        """A table of the key, recorded unless its run was killed."""
        derivation = Derivation(code_version=str(number), inputs=tuple(one.as_input() for one in inputs))
        record = self.lake.write(
            key, [row_of(key.asset, number + index) for index in range(rows)], derivation, run_id=run
        )
        if run != KILLED:
            sha256 = self.lake.file_sha256(key)
            self.log.recorded.append(KnownWrite(key, record.content_sha256, sha256, record.created_at))
        return record

    def current(self, key: LakeKey) -> Path:
        return Path(self.lake.path(key))

    def versions(self, key: LakeKey) -> list[Path]:
        return [Path(version.path) for version in self.lake.versions(key)]


def every_kind(root: Path | str) -> SmallLake:
    """One table of each asset, some with an earlier version."""
    small = SmallLake(Lake(root))
    dataset = LakeKey("datasets", task="mednli")
    small.write(dataset, 1)
    records = {"datasets": small.write(dataset, 2)}

    def add(key: LakeKey, *inputs: str) -> None:
        records[key.asset] = small.write(key, inputs=[records[one] for one in inputs])

    add(LakeKey("prompt_sets", task="mednli"), "datasets")
    for asset, inputs in (
        ("generations", ["prompt_sets", "datasets"]),
        ("scores", ["datasets", "generations"]),
        ("metric_tables", ["scores"]),
        ("repeat_checks", ["datasets", "prompt_sets", "generations"]),
    ):
        add(LakeKey(asset, "biomed", "mednli"), *inputs)
    add(LakeKey("leaderboard"), "metric_tables", "datasets")
    add(LakeKey("comparisons"), "scores", "repeat_checks")
    add(LakeKey("lineage_audit"))
    return small


def random_lake(root: Path, draw: random.Random) -> SmallLake:
    """Any number of tables of any shape: rewritten, removed, half finished."""
    small = SmallLake(Lake(root))
    made: list[LineageRecord] = []
    for number in range(draw.randrange(5)):
        asset = draw.choice(["datasets", "prompt_sets", "generations", "scores", "metric_tables", "leaderboard"])
        task = "" if asset == "leaderboard" else draw.choice(["mednli", "medqa"])
        model = draw.choice(["a", "b-7b"]) if asset in {"generations", "scores", "metric_tables"} else ""
        key = LakeKey(asset, model, task)
        inputs = draw.sample(made, min(len(made), draw.randrange(3)))
        made.append(small.write(key, number, draw.randrange(4), inputs))
        if draw.random() < 0.2:
            for version in small.lake.versions(key)[: draw.choice([1, None])]:
                small.lake.remove(version, draw.choice(["purge", "retention"]))
        if draw.random() < 0.1 and small.current(key).exists():
            small.write(key, number + 100, run=KILLED)
        if draw.random() < 0.1:
            (root / f".{number}.tmp").write_bytes(b"half")
    return small
