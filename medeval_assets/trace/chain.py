"""Link: a table of the chain behind a number, with what it was made from, down to raw files and weights."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from medeval_assets.errors import BadInput, Problem
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake, Version
from medeval_assets.lake.lineage_record import LineageRecord

State = Literal["current", "earlier version", "removed", "missing"]


@dataclass(frozen=True)
class Link:
    """One table, found by the hash that whoever read it recorded.

    state: `current`, an `earlier version` in the archive, `removed` on purpose (its record stays), or `missing`.
    version: where it lies in the archive, for an earlier version.
    record: None where it is missing.
    inputs: the tables it was made from, in the order of its record.
    """

    key: LakeKey
    content_sha256: str
    state: State
    version: Version | None
    record: LineageRecord | None
    inputs: Sequence[Link]

    def tables(self) -> Iterator[Link]:
        """This table and all behind it, each once."""
        seen: set[tuple[LakeKey, str]] = set()
        waiting = [self]
        while waiting:
            link = waiting.pop(0)
            if (link.key, link.content_sha256) not in seen:
                seen.add((link.key, link.content_sha256))
                yield link
                waiting += link.inputs

    def of(self, asset: str) -> Link | None:
        """The table of an asset in the chain."""
        return next((link for link in self.tables() if link.key.asset == asset), None)

    def as_json(self) -> dict[str, Any]:
        """The link and what is behind it, as JSON values."""
        return {
            "asset": self.key.asset,
            "model": self.key.model,
            "task": self.key.task,
            "content_sha256": self.content_sha256,
            "state": self.state,
            "record": None if self.record is None else self.record.model_dump(mode="json"),
            "inputs": [link.as_json() for link in self.inputs],
        }


def chain_of(lake: Lake, key: LakeKey) -> Link:
    """The chain behind the current table. BadInput where there is none, or its record cannot be read.

    Only footers are read, and only those on the chain.
    """
    record = lake.record(key)
    if record is None:
        remedy = f"Evaluate it first: medeval evaluate -m {shlex.quote(key.model)} -t {shlex.quote(key.task)}."
        raise BadInput([Problem(str(key), "there is no such table", remedy)])
    return Link(key, record.content_sha256, "current", None, record, _inputs(lake, record))


def command_of(chain: Link) -> str:
    """The command that makes the cell again, from what its records say it was made with."""
    words = ["medeval", "evaluate", "-m", chain.key.model, "-t", chain.key.task]
    generations, prompts = chain.of("generations"), chain.of("prompt_sets")
    if generations is not None and generations.record is not None:
        limit = generations.record.derivation.parameters.get("limit")
        words += ["--limit", str(limit)] if limit is not None else []
    if prompts is not None and prompts.record is not None:
        wording = prompts.record.derivation.parameters.get("prompts")
        words += ["--prompts", str(wording)] if wording not in (None, "project") else []
    return shlex.join(words)


def _inputs(lake: Lake, record: LineageRecord) -> list[Link]:
    return [_found(lake, source.key, source.content_sha256) for source in record.derivation.inputs]


def _found(lake: Lake, key: LakeKey, content_sha256: str) -> Link:
    found = lake.record_with(key, content_sha256)
    if found is not None:
        version, record = found
        state: State = "current" if version is None else "earlier version"
        return Link(key, content_sha256, state, version, record, _inputs(lake, record))
    for removal in reversed(lake.removals(key)):
        if removal.record.content_sha256 == content_sha256:
            return Link(key, content_sha256, "removed", None, removal.record, _inputs(lake, removal.record))
    return Link(key, content_sha256, "missing", None, None, ())
