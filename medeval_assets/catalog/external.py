"""Answers of models that run elsewhere, under `<home>/external/`: a folder with a file of them a task is a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medeval_assets.catalog.model_folders import DESCRIPTION, Found, described_model, models_below, read_description
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.yaml_mapping import Place
from medeval_assets.errors import BadInput, Problem

DESCRIBED = ("role", "base", "title", "size", "licence", "note")
"""What a `medeval.yaml` may say of such a model."""

_ENDING = ".jsonl"


def external_models(folder: Path, catalog: Mapping[str, ModelSpec] | None = None) -> Found:
    """(models, problems) of every folder below `folder`; see `models_below`.

    A folder that holds a `<task>.jsonl` is a model under its name: a generalist unless its `medeval.yaml` says
    otherwise. What is in its files is read when they are evaluated.
    """
    return models_below(folder, _model_in, catalog)


def generations_file(spec: ModelSpec, task: str) -> Path:
    """Where the answers of a `generations:` model for this task lie."""
    return Path(spec.checkpoint.partition(":")[2]) / f"{task}{_ENDING}"


def can_answer(spec: ModelSpec, task: str) -> bool:
    """Whether the model can be asked about this task: always, unless its answers come from files and there is none."""
    return spec.source != "generations" or generations_file(spec, task).is_file()


def _model_in(folder: Path, label: str) -> ModelSpec:
    described, problems = read_description(folder, label, DESCRIBED)
    if not any(path.is_file() and not path.name.startswith(".") for path in folder.glob(f"*{_ENDING}")):
        problems.append(Problem(label, f"no file named like <task>{_ENDING}", "Register one: medeval evaluate --help."))
    if problems:
        raise BadInput(problems)
    defaults = {"checkpoint": f"generations:{folder.absolute()}", "role": "generalist"}
    return described_model(described, defaults, Place(f"{label}/{DESCRIPTION}", 1))
