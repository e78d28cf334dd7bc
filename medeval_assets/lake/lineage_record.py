"""LineageRecord: where a table came from. It travels in the footer of the table's own file."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from medeval_assets.catalog.task_spec import Access
from medeval_assets.lake.key import LakeKey


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputRecord(_Frozen):
    """A table of the lake that was read, by the hash of its content at that time."""

    asset: str
    model: str = ""
    task: str = ""
    content_sha256: str

    @property
    def key(self) -> LakeKey:
        return LakeKey(self.asset, self.model, self.task)


class RawFileRecord(_Frozen):
    """A raw file that was read."""

    name: str
    sha256: str
    size: int


class Derivation(_Frozen):
    """Everything a table's content depends on. A table is stale when its derivation would be another one today.

    parameters: what the step was told (limit, wording, decoding, …), as JSON values.
    model: the checkpoint's identity (hashes of weights, tokenizer, chat template), for generations.
    """

    code_version: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: tuple[InputRecord, ...] = ()
    raw_files: tuple[RawFileRecord, ...] = ()
    model: dict[str, str] = Field(default_factory=dict)

    @field_validator("parameters")
    @classmethod
    def _as_read_back(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        """JSON knows no tuples: what is compared must be what a footer gives back."""
        read_back: dict[str, Any] = json.loads(json.dumps(parameters))
        return read_back


RECORD_VERSION: Literal[1] = 1


class LineageRecord(_Frozen):
    """The whole record. It holds no host names, user names, secrets or text of examples.

    content_sha256: hash of the logical table, the same however the Parquet file is encoded.
    access, licence, synthetic: follow the data from the source into every table derived from it.
    environment: engine, device and library versions; kept for the reader, no part of staleness.
    record_version: of the record's own form; table_version: of the table's columns (`lake.migrations`).
    """

    record_version: Literal[1] = RECORD_VERSION

    asset: str
    model: str = ""
    task: str = ""
    derivation: Derivation
    content_sha256: str
    table_version: int = Field(default=1, ge=1)
    rows: int
    run_id: str
    created_at: str
    package_version: str
    git_commit: str
    git_dirty: bool
    access: Access = Access.PUBLIC
    licence: str = ""
    synthetic: bool = False
    environment: dict[str, str] = Field(default_factory=dict)

    @property
    def key(self) -> LakeKey:
        return LakeKey(self.asset, self.model, self.task)

    def as_input(self) -> InputRecord:
        """How a table derived from this one refers to it."""
        return InputRecord(asset=self.asset, model=self.model, task=self.task, content_sha256=self.content_sha256)
