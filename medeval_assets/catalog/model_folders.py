"""Model folders: each folder of a place is a model under its own name, and a `medeval.yaml` inside may describe it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from medeval_assets.catalog.model_entry import Given, ModelEntry, fields_of, model_of
from medeval_assets.catalog.model_spec import KEY_RULE, ModelSpec, is_key
from medeval_assets.catalog.quoted import quoted
from medeval_assets.catalog.yaml_mapping import Place, read_yaml_mapping
from medeval_assets.errors import BadInput, Problem, nearest

DESCRIPTION = "medeval.yaml"

Found = tuple[dict[str, ModelSpec], dict[str, list[Problem]]]
"""The models, and what keeps other folders from being one; both by the folder's name, in order of name."""


def models_below(
    place: Path, read: Callable[[Path, str], ModelSpec], catalog: Mapping[str, ModelSpec] | None = None
) -> Found:
    """Every folder of `place` as `read` gives it: (path, name for messages) → model, or BadInput.

    Folders whose name begins with a dot are left alone. A folder that is a link, or holds one that leads out of it, is
    a problem: what lies in these places was put there by others.

    catalog: the other models. Where given, a folder named like one of them is a problem, and so is a `base` or an
    `as:` that names neither one of them nor a model of this place.
    """
    models: dict[str, ModelSpec] = {}
    problems: dict[str, list[Problem]] = {}
    if not place.is_dir():
        return models, problems
    for path in sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith(".")):
        label = quoted(path.name, 100).strip("`")
        try:
            if not is_key(path.name):
                what = "the folder's name cannot be a model's key"
                raise BadInput([Problem(label, what, f"Rename it. {KEY_RULE}")])
            outside = links_outside(path, label)
            if outside:
                raise BadInput(outside)
            models[path.name] = read(path, label)
        except BadInput as error:
            problems[path.name] = list(error.problems)
    if catalog is not None:
        known = {*catalog, *models, *problems}
        linked = {key: _link_problems(spec, catalog, known) for key, spec in models.items()}
        problems = dict(sorted({**problems, **{key: found for key, found in linked.items() if found}}.items()))
        models = {key: spec for key, spec in models.items() if not linked[key]}
    return models, problems


def links_outside(folder: Path, label: str) -> list[Problem]:
    """The folder itself where it is a link, else every link below it that leads out of it."""
    remedy = "Copy what it leads to, or enter the folder in models.yaml, by its own path."
    if folder.is_symlink():
        return [Problem(label, "the folder is a link", remedy)]
    real = folder.resolve()
    problems: list[Problem] = []
    for place, folders, files in os.walk(folder):
        for path in sorted(Path(place) / name for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(real):
                where = f"{label}/{quoted(path.relative_to(folder).as_posix(), 100).strip('`')}"
                problems.append(Problem(where, "a link that leads out of the folder", remedy))
    return problems


def read_description(folder: Path, label: str, known: Collection[str]) -> tuple[ModelEntry, list[Problem]]:
    """The fields that the folder's `medeval.yaml` gives, none where there is no such file, and what is wrong with them.

    known: the fields it may have. BadInput where the file cannot be read at all.
    """
    place = Place(f"{label}/{DESCRIPTION}", 1)
    if not (folder / DESCRIPTION).is_file():
        return ModelEntry(folder.name, place, {}), []
    entry, findings = fields_of(folder.name, place, read_yaml_mapping(folder / DESCRIPTION, place.file), folder, known)
    return entry, [finding.problem() for finding in findings]


def described_model(described: ModelEntry, defaults: Mapping[str, object], source: Place) -> ModelSpec:
    """The model with the described fields, and the defaults for the others. Raises BadInput where it is none.

    source: where the defaults stand, for messages.
    """
    given = {
        field: Given(value, described.key, Place(source.file, source.line, field)) for field, value in defaults.items()
    }
    written = {field: value for field, value in described.fields.items() if value.value is not None}
    model, findings = model_of(ModelEntry(described.key, described.place, {**given, **written}))
    if model is None:
        raise BadInput([finding.problem() for finding in findings])
    return model


def _link_problems(spec: ModelSpec, catalog: Mapping[str, ModelSpec], known: Collection[str]) -> list[Problem]:
    problems: list[Problem] = []
    if spec.key in catalog:
        problems.append(Problem(spec.key, "a model of the catalog has this key", "Rename the folder."))
    for field, target in (("base", spec.base), ("chat_template", spec.template_owner)):
        if target is not None and target not in known:
            where = f"{spec.key}/{DESCRIPTION} {field}"
            problems.append(Problem(where, f"no model {quoted(target)} in the catalog", nearest(target, known)))
    return problems
