"""LineageRecord: where a table came from. It travels in the footer of the table's own file."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from medeval_assets.catalog.task_spec import Access
from medeval_assets.lake.key import LakeKey


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputRecord(_Frozen):
    """A table of the lake that was read, by the hash of its content at that time."""

    asset: str = Field(description="Asset whose table it is")
    model: str = Field(default="", description="Model key, or empty")
    task: str = Field(default="", description="Task key, or empty")
    content_sha256: str = Field(description="Hash of the rows that were read, as in the record of that table")

    @property
    def key(self) -> LakeKey:
        return LakeKey(self.asset, self.model, self.task)


class RawFileRecord(_Frozen):
    """A raw file that was read."""

    name: str = Field(description="The file's name in its task's folder")
    sha256: str = Field(description="Hash of its bytes")
    size: int = Field(description="Bytes")


class Derivation(_Frozen):
    """Everything a table's content depends on. A table is stale when its derivation would be another one today."""

    code_version: str = Field(description="Version of the step that made the table")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="What the step was told: limit, wording, decoding, …"
    )
    inputs: tuple[InputRecord, ...] = Field(default=(), description="Tables that were read, in the order they were")
    raw_files: tuple[RawFileRecord, ...] = Field(default=(), description="Files of the task's owner that were read")
    model: dict[str, str] = Field(
        default_factory=dict,
        description="Identity of the checkpoint, for what a model returned: hashes of weights, tokenizer, template",
    )

    @field_validator("parameters")
    @classmethod
    def _as_read_back(cls, parameters: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """JSON knows no tuples: what is compared must be what a footer gives back."""
        if info.mode == "json":
            return parameters
        read_back: dict[str, Any] = json.loads(json.dumps(parameters))
        return read_back


RECORD_VERSION: Literal[1] = 1


class LineageRecord(_Frozen):
    """Where a table came from: JSON in the footer of its Parquet file, under the key `medeval.lineage`.

    It holds no host names, user names, secrets or text of examples.
    """

    record_version: Literal[1] = Field(default=RECORD_VERSION, description="Version of the record's own form")

    asset: str = Field(description="Asset whose table it is")
    model: str = Field(default="", description="Model key; empty where the asset is not partitioned by model")
    task: str = Field(default="", description="Task key; empty where the asset is not partitioned by task")
    derivation: Derivation
    content_sha256: str = Field(
        description="Hash of the logical table, the same however the file is encoded: SHA-256 over the column names "
        "and types, then every row as a line of canonical JSON"
    )
    table_version: int = Field(default=1, ge=1, description="Version of the table's columns")
    rows: int = Field(description="Rows of the table")
    run_id: str = Field(description="Dagster's run that wrote it")
    created_at: str = Field(description="When it was written, ISO 8601, UTC")
    package_version: str = Field(description="Version of medeval-assets")
    git_commit: str = Field(description="Its commit, where it ran from a checkout; else empty")
    git_dirty: bool = Field(description="Whether tracked files differed from that commit")
    access: Access = Field(
        default=Access.PUBLIC, description="Who may see the rows: the strictest class of all the data behind them"
    )
    licence: str = Field(default="", description="Licences of the data behind the rows")
    synthetic: bool = Field(default=False, description="Whether it rests on the project's own synthetic samples")
    environment: dict[str, str] = Field(
        default_factory=dict,
        description="Engine, device and versions of the libraries that computed the rows; no part of staleness",
    )

    @property
    def key(self) -> LakeKey:
        return LakeKey(self.asset, self.model, self.task)

    def as_input(self) -> InputRecord:
        """How a table derived from this one refers to it."""
        return InputRecord(asset=self.asset, model=self.model, task=self.task, content_sha256=self.content_sha256)
