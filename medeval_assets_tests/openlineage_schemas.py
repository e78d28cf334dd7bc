"""The JSON Schemas of OpenLineage: those that are published, from a clone, and those that the client was made from.

No package of a registry carries the published files. The official client's classes are generated from them, so the
schemas can be had back from these: names, types and what is required. That both say the same is checked with a clone.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import typing
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any
from urllib.parse import urlsplit

import attr
import jsonschema
from openlineage.client import generated
from openlineage.client.generated import base
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

Schema = dict[str, Any]

CORE = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
_ALWAYS_SET = {"_producer", "_schemaURL", "eventTime", "producer", "schemaURL"}
"""Fields that the client has a default for, and the specification asks for all the same."""

_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean"}
_FORMATS = {"_producer": "uri", "_schemaURL": "uri", "producer": "uri", "schemaURL": "uri", "eventTime": "date-time"}
_FORMATS |= {"runId": "uuid", "lastUpdated": "date-time"}


def client_schemas() -> dict[str, Schema]:
    """Address of a schema → the schema, of all classes that the client was given. They are stricter in one thing: what
    is not named is not allowed.
    """
    return {address: {"$id": address, "$defs": found} for address, found in _by_address().items()}


def published_schemas(clone: Path) -> dict[str, Schema]:
    """Address of a schema → the schema, of every version that a clone of OpenLineage's repository has."""
    files = [*sorted((clone / "website/static/spec").rglob("*.json")), *sorted((clone / "spec").rglob("*.json"))]
    read = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return {schema["$id"]: schema for schema in read if isinstance(schema, dict) and "$id" in schema}


class Validator:
    """Checks events against schemas: the event by the core, and each facet by the address that it gives itself."""

    def __init__(self, schemas: Mapping[str, Schema]) -> None:
        self._registry: Registry[Any] = Registry().with_resources(
            (address, Resource.from_contents(schema, default_specification=DRAFT202012))
            for address, schema in schemas.items()
        )
        self.facets: set[str] = set()

    def problems(self, event: Mapping[str, Any]) -> list[str]:
        """What is wrong with an event, facets included; `facets` gets the addresses by which it was checked."""
        found = self._problems(event["schemaURL"], event)
        for facet in facets_of(event):
            self.facets.add(facet["_schemaURL"])
            found += self._problems(facet["_schemaURL"], facet)
        return found

    def required(self, address: str) -> set[str]:
        """The names that a schema asks for."""
        file, _, pointer = address.partition("#/$defs/")
        schema = self._registry.contents(file)["$defs"][pointer]
        parts = schema.get("allOf", [schema])
        asked = {name for part in parts for name in part.get("required", [])}
        return asked.union(*(self.required(part["$ref"]) for part in parts if "$ref" in part))

    def _problems(self, address: str, value: Mapping[str, Any]) -> list[str]:
        checked = jsonschema.Draft202012Validator(
            {"$ref": address}, registry=self._registry, format_checker=_FORMAT_CHECKER
        )
        return [f"{address} {error.json_path}: {error.message}" for error in checked.iter_errors(value)]


def normal_forms(schemas: Mapping[str, Schema], addresses: Iterable[str]) -> dict[str, Any]:
    """Address → what its schema says of names, types and what is required, in one way of saying it.

    With those of all that they refer to.
    """
    found: dict[str, Any] = {}
    waiting = sorted(addresses)
    while waiting:
        address = waiting.pop()
        if address not in found:
            file, _, pointer = address.partition("#/$defs/")
            found[address] = _normal(schemas, file, schemas[file]["$defs"][pointer])
            waiting += [one for one in _strings(found[address]) if "#/$defs/" in one]
    return found


def facets_of(event: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    holders = [event.get("run", {}), event.get("job", {}), event.get("dataset", {})]
    holders += [*event.get("inputs", []), *event.get("outputs", [])]
    for holder in holders:
        for kind in ("facets", "inputFacets", "outputFacets"):
            yield from holder.get(kind, {}).values()


def _by_address() -> dict[str, dict[str, Schema]]:
    found: dict[str, dict[str, Schema]] = {}
    for module in pkgutil.iter_modules(generated.__path__, f"{generated.__name__}."):
        for kind in vars(importlib.import_module(module.name)).values():
            if isinstance(kind, type) and attr.has(kind) and hasattr(kind, "_get_schema"):
                file, _, name = kind._get_schema().partition("#/$defs/")
                found.setdefault(file, {})[name] = _schema_of(kind)
    return found


def _schema_of(kind: type) -> Schema:
    types = typing.get_type_hints(kind)
    fields = {field.name: field for field in attr.fields(kind)}
    required = [name for name, field in fields.items() if field.default is attr.NOTHING or name in _ALWAYS_SET]
    properties = {name: _type_schema(types[name]) for name in fields}
    for name in fields.keys() & _FORMATS.keys():
        properties[name] = {**properties[name], "format": _FORMATS[name]}
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(required),
        # What a facet's base lets in, a facet of the standard has no use for.
        "additionalProperties": kind.__name__.endswith("Facet") and kind.__module__ == base.__name__,
    }


def _type_schema(kind: Any) -> Schema:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, UnionType}:
        parts = [_type_schema(argument) for argument in arguments if argument is not NoneType]
        return parts[0] if len(parts) == 1 else {"anyOf": parts}
    if origin is list:
        return {"type": "array", "items": _type_schema(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type_schema(arguments[1])}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"type": "string", "enum": [one.value for one in kind]}
    if isinstance(kind, type) and attr.has(kind):
        return {"$ref": kind._get_schema()} if hasattr(kind, "_get_schema") else _schema_of(kind)
    return {"type": _SIMPLE[kind]} if kind in _SIMPLE else {}


def _normal(schemas: Mapping[str, Schema], file: str, schema: Schema, *, merging: bool = False) -> Any:
    """Maps of names to types; `{}` where anything goes."""
    if "$ref" in schema:
        # By name, so that what refers to itself has an end; who wants to compare asks for each name.
        address, _, pointer = schema["$ref"].rpartition("#/$defs/")
        target = f"{address or file}#/$defs/{pointer}"
        return target if not merging else _normal(schemas, address or file, schemas[address or file]["$defs"][pointer])
    if "allOf" in schema or "anyOf" in schema:
        merged: dict[str, Any] = {"object": {}, "required": [], "values": None}
        rest = {name: value for name, value in schema.items() if name not in {"allOf", "anyOf"}}
        for part in [*schema.get("allOf", []), *schema.get("anyOf", []), rest]:
            one = _normal(schemas, file, part, merging=True)
            if isinstance(one, dict):
                merged["object"] |= one["object"]
                merged["required"] = sorted({*merged["required"], *one["required"]})
                merged["values"] = merged["values"] or one["values"]
        return merged
    if schema.get("type") == "array":
        return [_normal(schemas, file, schema.get("items", {}))]
    if schema.get("type") == "object" or "properties" in schema:
        values = schema.get("additionalProperties")
        return {
            "object": {name: _normal(schemas, file, one) for name, one in schema.get("properties", {}).items()},
            "required": sorted(schema.get("required", [])),
            "values": _normal(schemas, file, values) if isinstance(values, dict) else None,
        }
    return ",".join(schema["enum"]) if "enum" in schema else schema.get("type")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)


def _is_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


_FORMAT_CHECKER = jsonschema.FormatChecker(formats=())
_FORMAT_CHECKER.checks("date-time", raises=ValueError)(_is_time)
_FORMAT_CHECKER.checks("uri", raises=ValueError)(
    lambda value: not isinstance(value, str) or bool(urlsplit(value).scheme)
)
_FORMAT_CHECKER.checks("uuid", raises=ValueError)(lambda value: not isinstance(value, str) or bool(uuid.UUID(value)))
