"""Checkpoints that were put under `<home>/incoming/`: a complete folder is a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from medeval_assets.catalog.checkpoint_folder import checkpoint_problems
from medeval_assets.catalog.checkpoint_template import own_template
from medeval_assets.catalog.json_object import read_json_object
from medeval_assets.catalog.model_entry import MODEL_FIELDS, Given, ModelEntry, fields_of, model_of
from medeval_assets.catalog.model_spec import KEY_RULE, ModelSpec, is_key
from medeval_assets.catalog.quoted import quoted
from medeval_assets.catalog.yaml_mapping import Place, read_yaml_mapping
from medeval_assets.errors import BadInput, Problem, nearest

DESCRIPTION = "medeval.yaml"


def incoming_models(
    folder: Path, catalog: Mapping[str, ModelSpec] | None = None
) -> tuple[dict[str, ModelSpec], dict[str, list[Problem]]]:
    """(models, problems) of every folder below `folder`, by the folder's name, in order of name.

    A folder without problems is a model under its name: biomedical unless it says otherwise, under its own chat
    template if it has one, with the context its config allows. A `medeval.yaml` inside may give any field of a
    catalog entry but `checkpoint`. Folders whose name begins with a dot are left alone.

    catalog: the other models. Where given, a folder named like one of them is a problem, and so is a `base` or an
    `as:` that names neither one of them nor an incoming model.
    """
    models: dict[str, ModelSpec] = {}
    problems: dict[str, list[Problem]] = {}
    if not folder.is_dir():
        return models, problems
    for path in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        try:
            models[path.name] = _model_in(path)
        except BadInput as error:
            problems[path.name] = list(error.problems)
    if catalog is not None:
        known = {*catalog, *models, *problems}
        linked = {key: _link_problems(spec, catalog, known) for key, spec in models.items()}
        problems = dict(sorted({**problems, **{key: found for key, found in linked.items() if found}}.items()))
        models = {key: spec for key, spec in models.items() if not linked[key]}
    return models, problems


def _link_problems(spec: ModelSpec, catalog: Mapping[str, ModelSpec], known: Collection[str]) -> list[Problem]:
    problems: list[Problem] = []
    if spec.key in catalog:
        problems.append(Problem(spec.key, "a model of the catalog has this key", "Rename the folder."))
    for field, target in (("base", spec.base), ("chat_template", spec.template_owner)):
        if target is not None and target not in known:
            where = f"{spec.key}/{DESCRIPTION} {field}"
            problems.append(Problem(where, f"no model {quoted(target)} in the catalog", nearest(target, known)))
    return problems


def _model_in(folder: Path) -> ModelSpec:
    """The folder as a model. Raises BadInput with everything that keeps it from being one."""
    label = quoted(folder.name, 100).strip("`")
    if not is_key(folder.name):
        what = "the folder's name cannot be a model's key"
        raise BadInput([Problem(label, what, f"Rename it. {KEY_RULE}")])
    problems = checkpoint_problems(folder)
    place = Place(f"{label}/{DESCRIPTION}", 1)
    described = ModelEntry(folder.name, place, {})
    if (folder / DESCRIPTION).is_file():
        try:
            root = read_yaml_mapping(folder / DESCRIPTION, place.file)
        except BadInput as error:
            raise BadInput([*problems, *error.problems]) from error
        described, findings = fields_of(folder.name, place, root, folder, MODEL_FIELDS - {"checkpoint"})
        problems += [finding.problem() for finding in findings]
    if not problems:
        written = {field: given for field, given in described.fields.items() if given.value is not None}
        entry = ModelEntry(folder.name, place, {**_defaults(folder, label), **written})
        model, findings = model_of(entry)
        if model is not None:
            return model
        problems = [finding.problem() for finding in findings]
    raise BadInput(problems)


def _defaults(folder: Path, label: str) -> dict[str, Given]:
    """What the files of a complete checkpoint say, as fields of an entry."""
    config = read_json_object(folder / "config.json", f"{label}/config.json")
    architectures = config.get("architectures")
    masked = isinstance(architectures, list) and any("MaskedLM" in str(name) for name in architectures)
    fields: dict[str, object] = {
        "checkpoint": f"folder:{folder.absolute()}",
        "role": "biomedical",
        "kind": "encoder" if masked else "causal",
        "chat_template": "tokenizer" if own_template(folder, label) else "none",
        "engine.context": config.get("max_position_embeddings", config.get("n_positions")),
    }
    return {
        field: Given(value, folder.name, Place(f"{label}/config.json", 1, field)) for field, value in fields.items()
    }
