"""Registration: files of answers that another tool produced become a model under `<home>/external`."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from medeval_assets.catalog.external import DESCRIBED
from medeval_assets.catalog.model_entry import ModelEntry
from medeval_assets.catalog.model_folders import DESCRIPTION, described_model, read_description
from medeval_assets.catalog.model_spec import KEY_RULE, ModelSpec, is_key
from medeval_assets.catalog.quoted import quoted
from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.catalog.whole_folder import DISK_FULL, FREE_SPACE
from medeval_assets.catalog.yaml_mapping import Place
from medeval_assets.errors import BadInput, Problem, nearest
from medeval_assets.metrics.predictions_file import PredictionsFile, read_predictions
from medeval_assets.prompts.prompt_set import prompt_set
from medeval_assets.prompts.wording import wording_for
from medeval_assets.settings import Settings
from medeval_assets.sources.dataset import read_dataset


@dataclass(frozen=True)
class Registered:
    """What a file answers of a task's prompts.

    other_prompts: of the answered ones, those whose prediction says that it was asked with another prompt.
    """

    task: str
    prompts: int
    answered: int
    other_prompts: int


@dataclass(frozen=True)
class Registration:
    """Files that are to become a model, or to be added to it.

    key: of the model; one of the catalog or of `incoming/` is refused.
    files: (task, its predictions file).
    base: key of the generalist it is compared with, which makes it a biomedical model; "" leaves that as it is.
    title: its name in tables; "" leaves that as it is.
    """

    key: str
    files: Sequence[tuple[TaskSpec, Path]]
    base: str = ""
    title: str = ""


def refuse_wrong_names(registration: Registration, models: Mapping[str, ModelSpec], settings: Settings) -> None:
    """BadInput where the key cannot be used or the base is no model. models: all there are."""
    key, base, problems = registration.key, registration.base, []
    taken = models.get(key)
    if not is_key(key):
        problems.append(Problem(f"model {quoted(key)}", "not a usable key", KEY_RULE))
    elif taken is not None and taken.checkpoint != f"generations:{_folder(key, settings)}":
        remedy = "Give the answers a key of their own."
        problems.append(Problem(f"model {quoted(key)}", "the catalog has another model of this key", remedy))
    if base and base not in models:
        problems.append(Problem(f"base {quoted(base)}", "not in the catalog", nearest(base, models)))
    if problems:
        raise BadInput(problems)


def register(
    registration: Registration,
    models: Mapping[str, ModelSpec],
    settings: Settings,
    prompts: Literal["project", "clue"] = "project",
) -> list[Registered]:
    """Check every file against its task's dataset, then keep them all: `<home>/external/<key>/<task>.jsonl`.

    prompts: whose words today's prompts use.

    BadInput with all that is wrong with names, description and files, or where they cannot be written: then nothing
    has changed. Each file is replaced as a whole, and those of other tasks stay.
    """
    refuse_wrong_names(registration, models, settings)
    folder = _folder(registration.key, settings)
    description = _description(registration, models, folder)
    checked: dict[str, tuple[Path, str]] = {}
    registered: list[Registered] = []
    problems: list[Problem] = []
    for task, path in registration.files:
        try:
            file, summary = _checked(task, path, settings, prompts)
        except BadInput as error:
            problems += error.problems
            continue
        checked[f"{task.name}.jsonl"] = path, file.sha256
        registered.append(summary)
    if problems:
        raise BadInput(problems)
    _keep(folder, description, checked)
    return registered


def _folder(key: str, settings: Settings) -> Path:
    return settings.external.absolute() / key


def _checked(
    task: TaskSpec, path: Path, settings: Settings, prompts: Literal["project", "clue"]
) -> tuple[PredictionsFile, Registered]:
    examples = read_dataset(task, settings).examples
    file = read_predictions(path, {example.example_id for example in examples if example.split == "test"})
    today = prompt_set(task, examples, wording_for(task, prompts, settings))
    asked_with = {one.example_id: one.prompt_sha256 for one in file.predictions}
    answered = [prompt for prompt in today if prompt.example_id in asked_with]
    if not answered:
        what = f"it has no prediction for any of the {len(today)} prompts of {task.name}"
        raise BadInput([Problem(path.name, what, "Worked examples are not scored; `medeval prompts` prints the rest.")])
    others = sum(asked_with[prompt.example_id] not in ("", prompt.prompt_sha256) for prompt in answered)
    return file, Registered(task.name, len(today), len(answered), others)


def _description(registration: Registration, models: Mapping[str, ModelSpec], folder: Path) -> str:
    """What `medeval.yaml` will say: what it says now, with the new base and title."""
    described, problems = read_description(folder, registration.key, DESCRIBED)
    if problems:
        raise BadInput(problems)
    said = {field: given.value for field, given in described.fields.items() if given.value is not None}
    fields = {"role": "generalist", **said}
    if registration.base:
        fields |= {"role": "biomedical", "base": registration.base}
    if registration.title:
        fields |= {"title": registration.title}
    place = Place(f"{registration.key}/{DESCRIPTION}", 1)
    defaults = {"checkpoint": f"generations:{folder}", **fields}
    spec = described_model(ModelEntry(registration.key, place, {}), defaults, place)
    if spec.base is not None and spec.base not in models:
        where = f"{place.file} base"
        raise BadInput([Problem(where, f"no model {quoted(spec.base)} in the catalog", nearest(spec.base, models))])
    return yaml.safe_dump(fields, allow_unicode=True, sort_keys=False)


def _keep(folder: Path, description: str, files: Mapping[str, tuple[Path, str]]) -> None:
    """Write every file beside its place first, so that what can fail fails before anything is replaced."""
    drafts: dict[Path, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (DESCRIPTION, *files):
            drafts[folder / name] = folder / f".{name}-{uuid.uuid4().hex}"
        drafts[folder / DESCRIPTION].write_text(description, encoding="utf-8")
        for name, (path, sha256) in files.items():
            draft = drafts[folder / name]
            shutil.copyfile(path, draft)
            with draft.open("rb") as copy:
                if hashlib.file_digest(copy, "sha256").hexdigest() != sha256:
                    raise BadInput([Problem(path.name, "it changed while it was read", "Wait until it is written.")])
                os.fsync(copy.fileno())
        for target, draft in drafts.items():
            draft.replace(target)
    except OSError as error:
        what = f"the answers cannot be written ({error.strerror}); what was there before is intact"
        remedy = FREE_SPACE if error.errno in DISK_FULL else "Check the permissions and limits of MEDEVAL_HOME."
        raise BadInput([Problem(str(folder), what, remedy)]) from error
    finally:
        for draft in drafts.values():
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()
