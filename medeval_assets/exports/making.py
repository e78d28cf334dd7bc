"""What a table and its making are called where their lineage leaves the platform."""

from __future__ import annotations

import uuid

from medeval_assets.lake.lineage_record import LineageRecord

PROJECT = "https://pypi.org/project/medeval-assets/"
"""The project's name among the names of the web: what is below it is ours to define."""

_NAMES = uuid.UUID("5f0c8a7e-64b1-5d5e-9d0b-0e6d6f3a2c11")  # names the space of our UUIDs, nothing else


def named(*parts: str) -> str:
    """The UUID of what these parts identify: the same for the same parts, wherever and whenever it is asked for."""
    return str(uuid.uuid5(_NAMES, "\0".join(parts)))


def making_of(record: LineageRecord) -> str:
    """The UUID of the run of a step that made the table. The same content made again was made by another one."""
    return named("making", record.run_id, record.key.folder, record.content_sha256, record.created_at)
