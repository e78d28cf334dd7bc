"""What the orchestrator knows of the lake: which tables it recorded as written, and which runs it cannot vouch for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from medeval_assets.lake.key import LakeKey


@dataclass(frozen=True)
class KnownWrite:
    """A table that was recorded as written.

    made: its record's `created_at`. recorded: when that was told, in the same form.
    file_sha256, made: "" where the record is from a release that did not note them. recorded: "" where it is not known.
    """

    key: LakeKey
    content_sha256: str
    file_sha256: str = ""
    made: str = ""
    recorded: str = ""


class KnownWrites(Protocol):
    """The orchestrator's records."""

    def writes(self) -> Sequence[KnownWrite]:
        """Every write recorded up to now, oldest first."""

    def may_be_unrecorded(self, run_id: str, made: str) -> bool:
        """Whether the run could write a table then of which there is no record, because it did not end well (yet)."""
