"""Removal: a table that was taken out of the lake on purpose, and the proof of what it was."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from medeval_assets.lake.lineage_record import LineageRecord

Reason = Literal["purge", "retention"]


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
