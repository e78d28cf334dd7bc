"""The template check of a model as it stands in the catalog, from its tokenizer's files and its config alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from medeval_assets.catalog.chat_template import chat_template_text
from medeval_assets.catalog.checkpoint_source import template_folder
from medeval_assets.catalog.checkpoint_template import own_template
from medeval_assets.catalog.json_object import read_json_object
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.engines.checkpoint import load_config
from medeval_assets.engines.template_check import Templated
from medeval_assets.errors import BadInput
from medeval_assets.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CHAT_NAME = re.compile(r"(?i)(?:^|[-_./])(?:chat|instruct|it|sft|dpo)(?=$|[-_./])")


def renders_here(spec: ModelSpec) -> bool:
    """Whether the model's prompts are rendered here: it has a checkpoint, and no server applies a template."""
    return spec.source in {"hub", "folder", "gguf-package"} and spec.engine.name != "openai"


def templated(
    spec: ModelSpec,
    models: Mapping[str, ModelSpec],
    settings: Settings,
    *,
    folder: Path,
    template: str | None,
    tokenizer: PreTrainedTokenizerBase,
) -> Templated:
    """What is checked of the model. Of its pair's other half only what is here is read; nothing is downloaded.

    folder: the model's own checkpoint. template: what it runs under. Raises BadInput where a file cannot be read.
    """
    own = own_template(folder, spec.key)
    base, base_template = _pair(spec, models, settings)
    config = load_config(folder, spec.engine)
    text_config = config.get_text_config()
    ends = getattr(text_config, "eos_token_id", None)
    if (path := folder / "generation_config.json").is_file():
        ends = read_json_object(path, f"{spec.key}/{path.name}").get("eos_token_id", ends)
    return Templated(
        name=spec.key,
        tokenizer=tokenizer,
        template=template,
        own=own[0] if own else None,
        base=base,
        base_template=base_template,
        named_chat=_CHAT_NAME.search(spec.checkpoint_name) is not None,
        vocabulary=text_config.vocab_size,
        end_tokens=_token_ids(ends),
        generates=spec.kind == "causal",
    )


def _pair(spec: ModelSpec, models: Mapping[str, ModelSpec], settings: Settings) -> tuple[str, str | None]:
    """(key, template) of the generalist it is compared with; ("", None) where that is not known here."""
    base = models.get(spec.base or "")
    if base is None or not renders_here(base):
        return "", None
    if base.chat_template == "none":
        return base.key, None
    try:
        folder = template_folder(base, settings, download=False)
        return base.key, chat_template_text(base, models, settings, folder, download=False)
    except BadInput:
        return "", None


def _token_ids(value: object) -> frozenset[int]:
    values = value if isinstance(value, list) else [value]
    return frozenset(one for one in values if isinstance(one, int) and not isinstance(one, bool))
