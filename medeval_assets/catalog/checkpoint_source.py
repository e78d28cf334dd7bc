"""Where a checkpoint's files come from: a folder, the hub, or an installed package."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from medeval_assets.catalog.checkpoint_folder import checkpoint_problems, weight_files
from medeval_assets.catalog.gguf_package import converted, converted_folder
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.whole_folder import DISK_FULL, FREE_SPACE, error_number
from medeval_assets.errors import BadInput, Problem
from medeval_assets.settings import Settings

_TEXT_FILES = ("*.json", "*.jinja", "*.txt", "tokenizer.model")
_TEMPLATE_FILES = ("chat_template.jinja", "tokenizer_config.json")
# What lies in subfolders, and Mistral's `consolidated` files, are the same weights once more.
_LEFT_OUT = ("*/*", "consolidated*")


class NotHere(BadInput):
    """Files that would have to be downloaded or converted first."""


def resolve(spec: ModelSpec, settings: Settings, *, download: bool = True) -> Path:
    """The folder that holds the model's files; downloads or converts them when they are not there yet.

    download: False raises NotHere instead.
    Raises BadInput that says what to do: no network, no access, no such repository, no space, or everything that
    `checkpoint_problems` finds.
    """
    target = spec.checkpoint.partition(":")[2]
    code = spec.engine.remote_code
    if spec.source == "hub":
        folder = _download(spec, settings, ("*.safetensors", *_TEXT_FILES, *(["*.py"] if code else [])), download)
        if not download and checkpoint_problems(folder, spec.key, remote_code=code):
            raise _not_here(spec)
        if not weight_files(folder):
            what = "the repository has no safetensors, and pickles are refused"
            remedy = "Convert it and use `folder:path`, or set `revision` to one that has safetensors."
            raise BadInput([Problem(f"{spec.key} {spec.checkpoint}", what, remedy)])
    elif spec.source == "folder":
        folder = Path(target)
    elif spec.source == "gguf-package":
        if not download and not converted_folder(target, settings).is_dir():
            raise _not_here(spec)
        folder = converted(target, settings)
    else:
        what = "the model has no checkpoint: nothing of it is loaded"
        raise BadInput([Problem(f"{spec.key} {spec.source}", what, "Name a model that has one.")])
    problems = checkpoint_problems(folder, spec.key, remote_code=code)
    if problems and spec.source == "gguf-package":
        remedy = f"Remove the folder checkpoints/{folder.name}: it is made again when needed."
        problems = [Problem(problem.where, problem.what, remedy) for problem in problems]
    if problems:
        raise BadInput(problems)
    return folder


def resolve_adapter(spec: ModelSpec, settings: Settings, *, download: bool = True) -> Path | None:
    """The folder that holds the model's LoRA adapter; None where it has none. BadInput and NotHere as in `resolve`."""
    if spec.adapter is None:
        return None
    scheme, _, target = spec.adapter.partition(":")
    if scheme == "hub":
        adapted = spec.model_copy(update={"checkpoint": spec.adapter, "revision": None})
        folder = _download(adapted, settings, ("adapter_config.json", "*.safetensors"), download)
    else:
        folder = Path(target)
    missing = [name for name in ("adapter_config.json", "adapter_model.safetensors") if not (folder / name).is_file()]
    if missing:
        remedy = "An adapter folder holds adapter_config.json and adapter_model.safetensors; pickles are refused."
        raise BadInput([Problem(f"{spec.key} adapter", f"there is no {' and no '.join(missing)}", remedy)])
    return folder


def template_folder(spec: ModelSpec, settings: Settings, *, download: bool = True) -> Path:
    """A folder with the model's chat template, where it has one; of a hub repository no weights are downloaded.

    download: False raises NotHere where nothing of it is here.
    """
    if spec.checkpoint.startswith("hub:"):
        return _download(spec, settings, _TEMPLATE_FILES, download)
    return resolve(spec, settings, download=download)


def _not_here(spec: ModelSpec) -> NotHere:
    what = "its files are not on this machine"
    return NotHere([Problem(f"{spec.key} {spec.checkpoint}", what, "They come with its first evaluation.")])


def _download(spec: ModelSpec, settings: Settings, patterns: Sequence[str], download: bool = True) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repository = spec.checkpoint.removeprefix("hub:")
    # Read here, because the hub's library reads them once, when it is imported.
    home = Path(os.environ.get("HF_HOME") or settings.home / "hub")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    try:
        return Path(
            snapshot_download(
                repository,
                revision=spec.revision,
                cache_dir=cache,
                allow_patterns=list(patterns),
                ignore_patterns=list(_LEFT_OUT),
                local_files_only=not download,
            )
        )
    except GatedRepoError as error:
        cause: Exception = error
        what = "the repository is gated"
        remedy = f"Accept its terms at https://huggingface.co/{repository}, then run `hf auth login`."
    except RepositoryNotFoundError as error:
        cause = error
        what = "no such repository on the hub, or no access to it"
        remedy = "Check its name; for a private one run `hf auth login`."
    except RevisionNotFoundError as error:
        cause = error
        what, remedy = "the repository has no such revision", "Check `revision`: a branch, a tag or a commit."
    except LocalEntryNotFoundError as error:
        if not download:
            raise _not_here(spec) from error
        cause = error
        what = "the hub cannot be reached, and the files are not in its cache"
        remedy = "Check the network, or copy the checkpoint here and use `folder:path`."
    except Exception as error:
        # A download can fail in many libraries; their words may hold signed addresses, so only the kind is shown.
        cause = error
        full = error_number(error) in DISK_FULL
        what = "the disk is full" if full else f"the download failed ({type(error).__name__})"
        remedy = FREE_SPACE if full else "Try again: what was downloaded is kept."
    raise BadInput([Problem(f"{spec.key} {spec.checkpoint}", what, remedy)]) from cause
