"""A YAML file read as nodes, which know their lines and still hold the keys that a plain load would drop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from medeval_assets.catalog.quoted import quoted
from medeval_assets.errors import BadInput, Problem

MOST_BYTES = 4_000_000

_YAML_REMEDY = "Check the indentation and the quotes there."


@dataclass(frozen=True)
class Place:
    """Where something stands: `file:line path`. Lines count from 1."""

    file: str
    line: int
    path: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.path}".rstrip()


@dataclass(frozen=True)
class Finding:
    """A Problem whose place can still be sorted."""

    place: Place
    what: str
    remedy: str

    def problem(self) -> Problem:
        return Problem(str(self.place), self.what, self.remedy)


@dataclass(frozen=True)
class Pair:
    """One `name: value` of a mapping."""

    name: str
    place: Place
    node: yaml.Node


def read_yaml_mapping(path: Path, label: str) -> yaml.MappingNode:
    """The file's one document, which must be a mapping. Raises BadInput, which calls it `label`."""

    def bad(what: str, remedy: str, line: int | None = None) -> BadInput:
        return BadInput([Problem(label if line is None else f"{label}:{line}", what, remedy)])

    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise bad(f"cannot be read ({error.strerror})", "Check its name and its permissions.") from error
    if len(content) > MOST_BYTES:
        raise bad(f"larger than {MOST_BYTES} bytes", "A catalog is a short text file: is it the right one?")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise bad(f"byte 0x{content[error.start]:02x} is not UTF-8", "Save the file as UTF-8.", line) from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = quoted(error.problem or "unreadable", 100).strip("`")
        raise bad(f"not YAML ({said})", _YAML_REMEDY, mark.line + 1 if mark else None) from error
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise bad("a control character, which YAML does not allow", _YAML_REMEDY, line) from error
    except RecursionError as error:
        raise bad("nested too deeply to read", _YAML_REMEDY) from error
    if root is None:
        raise bad("the file is empty", "See data/catalog/models.yaml for what belongs there.")
    if not isinstance(root, yaml.MappingNode):
        raise bad("not a mapping of names to values", _YAML_REMEDY, root.start_mark.line + 1)
    return root


def pairs_of(node: yaml.MappingNode, file: str, prefix: str) -> tuple[list[Pair], list[Finding]]:
    """The pairs of a mapping in their order, each name once; a repeated name is a Finding.

    prefix: path of the mapping itself, such as `models.`.
    """
    pairs: dict[str, Pair] = {}
    findings: list[Finding] = []
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            place = Place(file, line, prefix.rstrip("."))
            findings.append(Finding(place, "a name that is no plain text", "Write `name: value`."))
            continue
        place = Place(file, line, prefix + quoted(key.value, 100).strip("`"))
        if key.value in pairs:
            first = pairs[key.value].place
            findings.append(Finding(place, f"the name is already used in line {first.line}", "Remove one of the two."))
            continue
        pairs[key.value] = Pair(key.value, place, value)
    return list(pairs.values()), findings


def plain_value(node: yaml.Node) -> object:
    """A scalar's value as YAML 1.1 reads it, and a list of such values; an empty dict stands for a mapping.

    Inside a list an empty one stands for another: nodes may hold themselves.

    Raises ValueError for a scalar that is not what its tag says.
    """
    if isinstance(node, yaml.MappingNode):
        return {}
    if isinstance(node, yaml.SequenceNode):
        return [[] if isinstance(item, yaml.SequenceNode) else plain_value(item) for item in node.value]
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError, LookupError, TypeError, OverflowError) as error:
        raise ValueError(f"not a value of the kind {node.tag}") from error
