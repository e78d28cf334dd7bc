"""The chat template a model runs under."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from medeval_assets.catalog.checkpoint_source import template_folder
from medeval_assets.catalog.checkpoint_template import own_template, read_template, template_problems
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.quoted import quoted
from medeval_assets.errors import BadInput, Problem, nearest
from medeval_assets.settings import Settings


def chat_template_text(
    spec: ModelSpec, models: Mapping[str, ModelSpec], settings: Settings, folder: Path, *, download: bool = True
) -> str | None:
    """The Jinja text of the template that the model's `chat_template` asks for; None for `none`.

    folder: the model's own checkpoint. Only files are read, no tokenizer is loaded. Raises BadInput where the
    template is missing or broken.
    download: False raises NotHere where it is another model's, whose files are not here.
    """
    owner = _owner(spec, models)
    if owner.chat_template == "none":
        return None
    if owner.chat_template.startswith("file:"):
        path = Path(owner.chat_template.removeprefix("file:"))
        text, where = read_template(path, f"{owner.key} {path.name}"), f"{owner.key} {path.name}"
    else:
        own = own_template(
            folder if owner.key == spec.key else template_folder(owner, settings, download=download), owner.key
        )
        if own is None:
            remedy = "Set `chat_template` to `none`, `file:path` or `as:<key of a model that has it>`."
            raise BadInput([Problem(owner.key, "the checkpoint brings no chat template", remedy)])
        text, where = own
    problems = template_problems(text, where)
    if problems:
        raise BadInput(problems)
    return text


def _owner(spec: ModelSpec, models: Mapping[str, ModelSpec]) -> ModelSpec:
    """The model at the end of the `as:` links."""
    passed = {spec.key}
    while spec.template_owner is not None:
        where, target = f"models.{spec.key}.chat_template", spec.template_owner
        if target not in models:
            raise BadInput([Problem(where, f"no model {quoted(target)}", nearest(target, models))])
        if target in passed:
            raise BadInput([Problem(where, "goes in a circle", "Let one of the models stand on its own.")])
        passed.add(target)
        spec = models[target]
    return spec
