"""Verdicts: what an audit says of each file of the lake, and of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

from medeval_assets.lake.key import LakeKey

Kind = Literal["current", "version", "removal", "other"]


class Verdict(StrEnum):
    """What became of a file.

    intact: it is what its name, its record and the event log say. stale: that too, but what it was made from moved on.
    tampered: it is another one than it was. missing: it should be there. orphan: nobody knows where it is from.
    unreadable: nothing can be read from it.
    """

    INTACT = "intact"
    STALE = "stale"
    TAMPERED = "tampered"
    MISSING = "missing"
    ORPHAN = "orphan"
    UNREADABLE = "unreadable"


FINE = frozenset({Verdict.INTACT, Verdict.STALE})


class Place(NamedTuple):
    """What a path below the lake's root stands for. key: None where the lake's layout knows no such path.

    sha256: of the file's bytes, where the name says it.
    """

    kind: Kind
    key: LakeKey | None = None
    sha256: str = ""


@dataclass(frozen=True)
class AuditedFile:
    """A file of the lake, or one that should be there, and what was found. reason: "" where it is intact."""

    path: str
    place: Place
    verdict: Verdict
    reason: str = ""
    size: int = 0
    file_sha256: str = ""
    content_sha256: str = ""

    @property
    def row(self) -> dict[str, str | int]:
        """As a row of the table `lineage_audit`, and as JSON."""
        key = self.place.key or LakeKey("")
        return {
            "path": self.path,
            "asset": key.asset,
            "model": key.model,
            "task": key.task,
            "kind": self.place.kind,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "size": self.size,
            "file_sha256": self.file_sha256,
            "content_sha256": self.content_sha256,
        }


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    files: by path. read: how many files were read anew; the others are as they were at the audit before.
    event_log: whether the lake was compared with what Dagster recorded.
    """

    files: Sequence[AuditedFile]
    read: int
    event_log: bool

    @property
    def wrong(self) -> list[AuditedFile]:
        """The files that are neither intact nor stale."""
        return [file for file in self.files if file.verdict not in FINE]

    @property
    def counts(self) -> Mapping[str, int]:
        """Verdict → files."""
        counted = Counter(file.verdict for file in self.files)
        return {verdict.value: counted[verdict] for verdict in Verdict}
