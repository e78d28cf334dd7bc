"""Why a table is stale: what its derivation has otherwise than the one it would have today."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from medeval_assets.lake.lineage_record import Derivation


@dataclass(frozen=True)
class Change:
    """One thing that a table depends on and that is another one today.

    kind: `code version`, `parameter`, `input`, `raw file` or `model`.
    name: which one, e.g. `decoding.max_new_tokens`, `datasets × mednli`, `weights_sha256`; "" where there is only one.
    before, after: JSON values; None where there was or is none.
    """

    kind: str
    name: str
    before: Any
    after: Any

    def __str__(self) -> str:
        """In words, without the values."""
        if self.before is None and self.after is None:
            return f"{self.kind}: {self.name}"
        name = f" {self.name}" if self.name else ""
        gone = self.after is None and self.kind != "parameter"
        return f"{self.kind}{name} {'gone' if gone else 'changed'}"


def in_words(found: Iterable[Change]) -> str:
    """Why a table is stale, on one line."""
    return "; ".join(dict.fromkeys(" ".join(str(change).split()) for change in found))


def changes(before: Derivation, after: Derivation) -> list[Change]:
    """All that differs, in the order code version, model, raw files, inputs, parameters; empty where nothing does."""
    raw_files = [{file.name: file.sha256 for file in one.raw_files} for one in (before, after)]
    inputs = [{str(table.key): table.content_sha256 for table in one.inputs} for one in (before, after)]
    found = [
        *_between("code version", {"": before.code_version}, {"": after.code_version}),
        *_between("model", before.model, after.model),
        *_between("raw file", *raw_files),
        *_between("input", *inputs),
        *_between("parameter", dict(_leaves(before.parameters)), dict(_leaves(after.parameters))),
    ]
    if not found and before != after:
        # The same things in another order make another table too.
        found = [Change("input", "the order of the inputs", None, None)]
    return found


def _between(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name) or (name in before) != (name in after):
            yield Change(kind, name, before.get(name), after.get(name))


def _leaves(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested maps by their dotted paths."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield path + name, value
