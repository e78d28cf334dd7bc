"""Checkpoints that were put under `<home>/incoming/`: a complete folder is a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medeval_assets.catalog.checkpoint_folder import checkpoint_problems
from medeval_assets.catalog.checkpoint_template import own_template
from medeval_assets.catalog.json_object import read_json_object
from medeval_assets.catalog.model_entry import MODEL_FIELDS, ModelEntry
from medeval_assets.catalog.model_folders import Found, described_model, models_below, read_description
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.yaml_mapping import Place
from medeval_assets.errors import BadInput, Problem


def incoming_models(folder: Path, catalog: Mapping[str, ModelSpec] | None = None) -> Found:
    """(models, problems) of every folder below `folder`; see `models_below`.

    A folder without problems is a model under its name: biomedical unless it says otherwise, under its own chat
    template if it has one, with the context its config allows. A `medeval.yaml` inside may give any field of a
    catalog entry but `checkpoint`. It came with the folder, so it can neither allow code to be run nor name files
    elsewhere.
    """
    return models_below(folder, _model_in, catalog)


def _model_in(folder: Path, label: str) -> ModelSpec:
    """The folder as a model. Raises BadInput with everything that keeps it from being one."""
    problems = checkpoint_problems(folder)
    try:
        described, wrong = read_description(folder, label, MODEL_FIELDS - {"checkpoint"})
    except BadInput as error:
        raise BadInput([*problems, *error.problems]) from error
    wrong += _overreaching(described, folder)
    if problems or wrong:
        raise BadInput([*problems, *wrong])
    config = f"{label}/config.json"
    return described_model(described, _defaults(folder, config), Place(config, 1))


def _overreaching(described: ModelEntry, folder: Path) -> list[Problem]:
    """What the folder's own description must not say."""
    problems: list[Problem] = []
    code = described.fields.get("engine.remote_code")
    if code is not None and code.value:
        what = "a folder cannot allow its own code to be run"
        remedy = "Read the code, then enter the folder in models.yaml with `engine: {remote_code: true}`."
        problems.append(Problem(str(code.place), what, remedy))
    for field in ("chat_template", "adapter"):
        scheme, _, target = (described.text(field) or "").partition(":")
        if scheme in {"file", "folder"} and not Path(target).resolve().is_relative_to(folder.resolve()):
            what = "it leads out of the folder"
            problems.append(Problem(str(described.place_of(field)), what, "Copy the file into the folder."))
    return problems


def _defaults(folder: Path, label: str) -> dict[str, object]:
    """What the files of a complete checkpoint say, as fields of an entry. label: what messages call its config."""
    config = read_json_object(folder / "config.json", label)
    architectures = config.get("architectures")
    masked = isinstance(architectures, list) and any("MaskedLM" in str(name) for name in architectures)
    return {
        "checkpoint": f"folder:{folder.absolute()}",
        "role": "biomedical",
        "kind": "encoder" if masked else "causal",
        "chat_template": "tokenizer" if own_template(folder, folder.name) else "none",
        "engine.context": config.get("max_position_embeddings", config.get("n_positions")),
    }
