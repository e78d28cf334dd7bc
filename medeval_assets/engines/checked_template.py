"""The template check of a model as it stands in the catalog, from its tokenizer's files and its config alone."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medeval_assets.catalog.chat_template import chat_template_text
from medeval_assets.catalog.checkpoint_identity import small_files_sha256
from medeval_assets.catalog.checkpoint_source import template_folder
from medeval_assets.catalog.checkpoint_template import own_template
from medeval_assets.catalog.json_object import read_json_object
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.engines.checkpoint import load_config
from medeval_assets.engines.kept_findings import KeptFindings
from medeval_assets.engines.template_check import VERSION, Finding, Templated, template_findings
from medeval_assets.errors import BadInput
from medeval_assets.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CHAT_NAME = re.compile(r"(?i)(?:^|[-_./])(?:chat|instruct|it|sft|dpo)(?=$|[-_./])")


def renders_here(spec: ModelSpec) -> bool:
    """Whether the model's prompts are rendered here: it has a checkpoint, whatever runs it."""
    return spec.source in {"hub", "folder", "gguf-package"}


def checked_template(
    spec: ModelSpec,
    models: Mapping[str, ModelSpec],
    settings: Settings,
    *,
    folder: Path,
    template: str | None,
    tokenizer: Callable[[], PreTrainedTokenizerBase],
) -> list[Finding]:
    """What is found about the model's template; remembered below `<home>/cache` until something of it changes.

    Of its pair's other half only what is here is read; nothing is downloaded.

    folder: the model's own checkpoint. template: what it runs under. Raises BadInput where a file cannot be read.
    """
    own = own_template(folder, spec.key)
    base, base_template = _pair(spec, models, settings)
    depends_on = {
        "version": VERSION,
        "libraries": [version(name) for name in ("transformers", "tokenizers", "jinja2")],
        "files": small_files_sha256(folder, spec),
        "entry": [spec.key, spec.checkpoint_name, spec.kind],
        "templates": [template, own, base, base_template],
    }
    kept = KeptFindings(settings.home / "cache")
    sha256 = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
    findings = kept.of(sha256)
    if findings is None:
        config = load_config(folder, spec.engine).get_text_config()
        findings = template_findings(
            Templated(
                name=spec.key,
                tokenizer=tokenizer(),
                template=template,
                own=own[0] if own else None,
                base=base,
                base_template=base_template,
                named_chat=_CHAT_NAME.search(spec.checkpoint_name) is not None,
                vocabulary=config.vocab_size,
                end_tokens=_end_tokens(config, folder, spec.key),
                generates=spec.kind == "causal",
            )
        )
        kept.keep(sha256, findings)
    return findings


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


def _end_tokens(config: Any, folder: Path, key: str) -> frozenset[int]:
    """The ids that end an answer: generation_config.json says it, and where there is none, the config."""
    stated = getattr(config, "eos_token_id", None)
    if (path := folder / "generation_config.json").is_file():
        stated = read_json_object(path, f"{key}/{path.name}").get("eos_token_id")
    values = stated if isinstance(stated, list) else [stated]
    return frozenset(one for one in values if isinstance(one, int) and not isinstance(one, bool))
