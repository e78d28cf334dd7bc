"""ModelEntry: one model as written in a file, each field with the place it stands."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from medeval_assets.catalog.model_spec import EngineNeeds, ModelSpec
from medeval_assets.catalog.quoted import quoted
from medeval_assets.catalog.yaml_mapping import Finding, Pair, Place, pairs_of, plain_value
from medeval_assets.errors import nearest

MISSING = "the field is missing"
MODEL_FIELDS = frozenset(ModelSpec.model_fields) - {"key"}

_KINDS: Mapping[type, str] = {
    str: "text",
    bool: "yes or no",
    int: "a number",
    float: "a number",
    dict: "a mapping",
    list: "a list",
}


@dataclass(frozen=True)
class Given:
    """A field's value, the key of the entry that wrote it, and where."""

    value: object
    key: str
    place: Place


@dataclass(frozen=True)
class ModelEntry:
    """One model as written.

    place: of its key, with the path of the entry.
    fields: by name, those of the engine as `engine.gpus` and so on; paths in them are absolute. None is what
        a field written without a value holds: it takes back an inherited one.
    """

    key: str
    place: Place
    fields: Mapping[str, Given]

    def extending(self, parent: ModelEntry) -> ModelEntry:
        """This entry with the parent's fields where it has none of its own."""
        return ModelEntry(self.key, self.place, {**parent.fields, **self.fields})

    def wrote(self, given: Given) -> bool:
        """Whether the field was written in this very entry, not inherited."""
        return given.key == self.key

    def text(self, field: str) -> str | None:
        """The field where it is text, else None."""
        given = self.fields.get(field)
        return given.value if given is not None and isinstance(given.value, str) else None

    def place_of(self, field: str) -> Place:
        """Where the field stands in this entry; the entry's own line where it is absent or inherited."""
        given = self.fields.get(field)
        if given is not None and self.wrote(given):
            return given.place
        return Place(self.place.file, self.place.line, f"{self.place.path}.{field}".removeprefix("."))


def entry_of(pair: Pair, folder: Path, known: Collection[str]) -> tuple[ModelEntry, list[Finding]]:
    """The entry that a mapping's pair holds.

    folder: what relative paths in it start from.
    known: the fields it may have.
    """
    if not isinstance(pair.node, yaml.MappingNode):
        finding = Finding(pair.place, "the entry is not a mapping", "Give it at least `checkpoint` and `role`.")
        return ModelEntry(pair.name, pair.place, {}), [finding]
    return fields_of(pair.name, pair.place, pair.node, folder, known)


def fields_of(
    key: str, place: Place, node: yaml.MappingNode, folder: Path, known: Collection[str]
) -> tuple[ModelEntry, list[Finding]]:
    """The entry `key` whose fields are those of `node`; arguments as in `entry_of`."""
    fields: dict[str, Given] = {}
    prefix = f"{place.path}." if place.path else ""
    pairs, findings = pairs_of(node, place.file, prefix)
    for pair in pairs:
        if pair.name not in known:
            findings.append(Finding(pair.place, "unknown field", nearest(pair.name, known)))
        elif pair.name == "engine" and isinstance(pair.node, yaml.MappingNode):
            inner, repeated = pairs_of(pair.node, place.file, f"{pair.place.path}.")
            findings += repeated
            for need in inner:
                if need.name in EngineNeeds.model_fields:
                    findings += _read(key, need, f"engine.{need.name}", folder, fields)
                else:
                    remedy = nearest(need.name, EngineNeeds.model_fields)
                    findings.append(Finding(need.place, "unknown field", remedy))
        else:
            findings += _read(key, pair, pair.name, folder, fields)
    return ModelEntry(key, place, fields), findings


def _read(key: str, pair: Pair, field: str, folder: Path, fields: dict[str, Given]) -> list[Finding]:
    try:
        value = plain_value(pair.node)
    except ValueError:
        return [Finding(pair.place, "not a readable value", "If it is meant as text, put it in quotes.")]
    if field == "chat_template" and _climbs_out(value):
        remedy = "Put the template below that folder, or write an absolute path where that is allowed."
        return [Finding(pair.place, "the path leads out of the folder of this file", remedy)]
    fields[field] = Given(_anchored(value, folder), key, pair.place)
    return []


def _climbs_out(value: object) -> bool:
    """Whether `file:` has a relative path that leaves the folder it starts from."""
    scheme, _, target = value.partition(":") if isinstance(value, str) else ("", "", "")
    return scheme == "file" and Path(os.path.normpath(target.strip())).parts[:1] == (os.pardir,)


def _anchored(value: object, folder: Path) -> object:
    """`folder:`, `file:` and `generations:` with their path made absolute; anything else as it is."""
    if isinstance(value, str) and "\0" not in value:
        scheme, _, target = value.partition(":")
        if scheme in {"folder", "file", "generations"} and target.strip():
            return f"{scheme}:{folder.absolute() / Path(target.strip()).expanduser()}"
    return value


def model_of(entry: ModelEntry, *, complete: bool = True) -> tuple[ModelSpec | None, list[Finding]]:
    """The entry as a ModelSpec, or None and what is wrong with it.

    What is wrong with an inherited value is left out: it is found where the value was written.
    complete: False where part of the entry could not be read, so that missing fields mean nothing.
    """
    values: dict[str, Any] = {}
    for field, given in entry.fields.items():
        outer, _, inner = field.partition(".")
        if given.value is not None and inner:
            engine = values.setdefault(outer, {})
            if isinstance(engine, dict):
                engine[inner] = given.value
        elif given.value is not None and outer != "extends":
            values[outer] = given.value
    try:
        return ModelSpec(key=entry.key, **values), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    findings: list[Finding] = []
    for detail in details:
        joint = str(detail.get("ctx", {}).get("field") or "")
        field = ".".join(str(part) for part in detail["loc"])
        if joint:
            field = f"{field}.{joint}" if field else joint
        given_there = entry.fields.get(field)
        inherited = given_there is not None and not entry.wrote(given_there)
        if (inherited and not joint) or (detail["type"] == "missing" and not complete):
            continue
        place = entry.place if field == "key" else entry.place_of(field)
        findings.append(Finding(place, *_in_plain_words(dict(detail), field)))
    return None, findings


def _in_plain_words(detail: Mapping[str, Any], field: str) -> tuple[str, str]:
    """(what, remedy) for one of pydantic's errors."""
    context = detail.get("ctx", {})
    value = detail["input"]
    found = _KINDS.get(type(value), f"a {type(value).__name__}")
    what, remedy = "not a usable value", "Compare it with data/catalog/models.yaml."
    match detail["type"]:
        case "refused":
            shown = f"{quoted(value)}: " if isinstance(value, str) else ""
            what, remedy = f"{shown}{context['what']}", context["remedy"]
        case "missing":
            what, remedy = MISSING, f"Add `{field}: …`."
        case "string_type":
            nested = isinstance(value, dict | list)
            what, remedy = (
                f"expected text, found {found}",
                "Write one text." if nested else "Put it in quotes.",
            )
        case "list_type":
            what, remedy = f"expected a list, found {found}", "Write `[one, two]`."
        case "int_type":
            what, remedy = f"expected a whole number, found {found}", "Write it without quotes, such as `1`."
        case "bool_type":
            what, remedy = f"expected true or false, found {found}", "Write `true` or `false`."
        case "literal_error":
            options = re.findall("'([^']*)'", context["expected"])
            shown = quoted(value) if isinstance(value, str) else found
            what, remedy = f"{shown} is none of {', '.join(options)}", nearest(str(value)[:100], options)
        case "greater_than_equal":
            what, remedy = f"less than {context['ge']}", f"Give at least {context['ge']}."
        case "less_than_equal":
            what, remedy = f"more than {context['le']}", f"Give at most {context['le']}."
        case "model_type":
            what, remedy = f"expected a mapping, found {found}", "Write its fields below it, indented."
    return what, remedy
