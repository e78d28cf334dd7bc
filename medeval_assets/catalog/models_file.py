"""The catalog's files: every model, with all that is wrong in one message."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import yaml

from medeval_assets.catalog.model_entry import MISSING, MODEL_FIELDS, ModelEntry, entry_of, model_of
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.quoted import quoted
from medeval_assets.catalog.yaml_mapping import Finding, Place, pairs_of, read_yaml_mapping
from medeval_assets.errors import BadInput, Problem, nearest

_ENTRY_FIELDS = MODEL_FIELDS | {"extends"}


def read_models(paths: Sequence[Path]) -> dict[str, ModelSpec]:
    """The models of all the files by key, in the order written.

    An entry may extend one of any file: it takes over every field it does not give itself, those of `engine`
    one by one; an empty field (`base: null`) takes nothing over. Relative paths start from the folder of the
    file they are written in. Raises BadInput with every problem of every file.
    """
    labels = _labels(paths)
    unreadable: list[Problem] = []
    findings: list[Finding] = []
    entries: dict[str, ModelEntry] = {}
    for path, label in zip(paths, labels, strict=True):
        try:
            root = read_yaml_mapping(path, label)
        except BadInput as error:
            unreadable += error.problems
            continue
        findings += _read_entries(root, label, path.parent, entries)

    parents = {key: parent for key, entry in entries.items() if (parent := entry.text("extends")) is not None}
    findings += _cycle_findings(entries, parents, "extends")
    merged = {key: _with_ancestors(key, entries, parents) for key in entries}
    owners = {
        key: text[3:]
        for key, (entry, _) in merged.items()
        if (text := entry.text("chat_template")) is not None and text.startswith("as:")
    }
    findings += _cycle_findings({key: entry for key, (entry, _) in merged.items()}, owners, "chat_template")

    models: dict[str, ModelSpec] = {}
    for key, (entry, complete) in merged.items():
        model, wrong = model_of(entry, complete=complete)
        # A parent that lacks a field is told so itself.
        parent_fields = merged[parents[key]][0].fields if parents.get(key) in merged else None
        findings += [
            finding
            for finding in wrong
            if parent_fields is None
            or finding.what != MISSING
            or finding.place.path.rpartition(".")[2] in parent_fields
        ]
        if model is not None:
            models[key] = model
        if not unreadable:
            findings += _link_findings(entry, entries)

    if findings or unreadable:
        order = {label: number for number, label in enumerate(labels)}
        findings.sort(key=lambda finding: (order[finding.place.file], finding.place.line))
        raise BadInput([*unreadable, *dict.fromkeys(finding.problem() for finding in findings)])
    return models


def find_models(names: Sequence[str], models: Mapping[str, ModelSpec]) -> list[ModelSpec]:
    """The models of these names, each once, in the order given. Raises BadInput naming the unknown ones."""
    problems = [
        Problem(f"model {quoted(name)}", "not in the catalog", nearest(name, models))
        for name in dict.fromkeys(names)
        if name not in models
    ]
    if problems:
        raise BadInput(problems)
    return [models[name] for name in dict.fromkeys(names)]


def _labels(paths: Sequence[Path]) -> list[str]:
    """A short name for each file: its own, or with its folder's where two files share one."""
    names = [path.name for path in paths]
    short = [
        name if names.count(name) == 1 else f"{path.absolute().parent.name}/{name}"
        for name, path in zip(names, paths, strict=True)
    ]
    return short if len(set(short)) == len(short) else [str(path) for path in paths]


def _read_entries(root: yaml.MappingNode, label: str, folder: Path, entries: dict[str, ModelEntry]) -> list[Finding]:
    """Put the file's entries into `entries`; returns what is wrong with the file's shape."""
    top, findings = pairs_of(root, label, "")
    found = False
    for pair in top:
        if pair.name != "models":
            findings.append(Finding(pair.place, "unknown field", "The file has one field, `models`."))
            continue
        found = True
        if not isinstance(pair.node, yaml.MappingNode) or not pair.node.value:
            findings.append(Finding(pair.place, "not a mapping of keys to models", "Write `models:`, then entries."))
            continue
        keyed, repeated = pairs_of(pair.node, label, "models.")
        findings += repeated
        for item in keyed:
            if item.name in entries:
                first = entries[item.name].place
                what = f"the key is already used at {first.file}:{first.line}"
                findings.append(Finding(item.place, what, "Rename one; `extends` makes a variant of a model."))
                continue
            entries[item.name], wrong = entry_of(item, folder, _ENTRY_FIELDS)
            findings += wrong
    if not found:
        findings.append(Finding(Place(label, 1), "the field `models` is missing", "Put the entries below `models:`."))
    return findings


def _with_ancestors(key: str, entries: Mapping[str, ModelEntry], parents: Mapping[str, str]) -> tuple[ModelEntry, bool]:
    """The entry with all it extends, and whether every entry on the way was there and readable."""
    chain = [key]
    complete = bool(entries[key].fields)
    while (parent := parents.get(chain[-1])) is not None:
        if parent in chain or parent not in entries:
            complete = False
            break
        chain.append(parent)
        complete = complete and bool(entries[parent].fields)
    merged = entries[chain[-1]]
    for descendant in reversed(chain[:-1]):
        merged = entries[descendant].extending(merged)
    return merged, complete


def _cycle_findings(entries: Mapping[str, ModelEntry], links: Mapping[str, str], field: str) -> list[Finding]:
    """One finding for each circle of links, at the entry of it that was written first."""
    findings: list[Finding] = []
    settled: set[str] = set()
    for start in entries:
        trail: dict[str, None] = {}
        key: str | None = start
        while key is not None and key not in settled and key not in trail:
            trail[key] = None
            key = links.get(key)
        if key is not None and key in trail:
            circle = list(trail)[list(trail).index(key) :]
            way = " → ".join(quoted(name) for name in [*circle, circle[0]])
            place = entries[circle[0]].place_of(field)
            findings.append(Finding(place, f"goes in a circle: {way}", "Let one of them stand on its own."))
        settled.update(trail)
    return findings


def _link_findings(entry: ModelEntry, known: Collection[str]) -> list[Finding]:
    """What of this entry's own links points nowhere."""
    links = {"extends": entry.text("extends"), "base": entry.text("base")}
    template = entry.text("chat_template")
    if template is not None and template.startswith("as:"):
        links["chat_template"] = template[3:]
    return [
        Finding(given.place, f"no model {quoted(target)} in the catalog", nearest(target, known))
        for field, target in links.items()
        if target is not None
        and target not in known
        and (given := entry.fields.get(field)) is not None
        and entry.wrote(given)
    ]
