"""Removal: a table that was taken out of the lake on purpose, and the proof of what it was."""

from __future__ import annotations

import hashlib
import json
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from medeval_assets.lake.lineage_record import LineageRecord

Reason = Literal["purge", "retention"]

_CHECK = "sha256"


class Removal(BaseModel):
    """What stays of a table that was removed: its lineage record, which holds no text of examples, and its hashes.

    file_sha256: of the file's bytes. removed_at: ISO 8601, UTC.
    reason: `purge` where its data had to go, `retention` where it was an old version.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    record: LineageRecord
    file_sha256: str
    removed_at: str
    reason: Reason

    def as_file(self) -> bytes:
        """The file that keeps it: JSON, whose last field is the hash of the others, so that no byte changes unseen."""
        values = self.model_dump(mode="json")
        check = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
        return json.dumps({**values, _CHECK: check}, indent=1, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_file(cls, content: bytes) -> Self:
        """The removal that a file tells of, be it as written or not; ValueError where it tells of none."""
        try:
            values = json.loads(content)
        except RecursionError as error:
            raise ValueError("no removal") from error
        if not isinstance(values, dict):
            raise ValueError("no removal")
        return cls.model_validate({name: value for name, value in values.items() if name != _CHECK})
