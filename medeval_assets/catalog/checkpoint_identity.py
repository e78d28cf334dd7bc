"""CheckpointIdentity: which weights, which tokenizer, which config, which template."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from medeval_assets.catalog.checkpoint_folder import weight_files
from medeval_assets.catalog.file_hashes import FileHashes
from medeval_assets.catalog.model_spec import ModelSpec

_TOKENIZER = (
    "added_tokens.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
_CONFIG = ("config.json", "generation_config.json")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class CheckpointIdentity:
    """What was run, as SHA-256 in hex.

    checkpoint: as in the catalog, without this machine's folders.
    revision: the commit that the hub gave, else what the catalog says, else "".
    weights_sha256, tokenizer_sha256, config_sha256: over the names and the contents of the files; the config includes
        generation_config.json.
    chat_template_sha256: of the template text used, "" for none.
    adapter_sha256: over the LoRA adapter's config and weights, "" for none.
    code_sha256: over the checkpoint's own Python files, those in subfolders included; "" where they are not run.
    """

    checkpoint: str
    revision: str
    weights_sha256: str
    tokenizer_sha256: str
    config_sha256: str
    chat_template_sha256: str
    adapter_sha256: str = ""
    code_sha256: str = ""

    @property
    def identity_sha256(self) -> str:
        """One hash over the six: copies of the same files are the same model, wherever they lie."""
        parts = {
            "adapter": self.adapter_sha256,
            "chat_template": self.chat_template_sha256,
            "code": self.code_sha256,
            "config": self.config_sha256,
            "tokenizer": self.tokenizer_sha256,
            "weights": self.weights_sha256,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def identify(
    spec: ModelSpec,
    folder: Path,
    template_text: str | None,
    *,
    adapter: Path | None = None,
    cache: Path | None = None,
) -> CheckpointIdentity:
    """The identity of the checkpoint in `folder` under this template.

    adapter: folder of the LoRA adapter, if any.
    cache: folder that remembers the hashes of weights that have not changed; None hashes them each time.
    """
    commit = folder.name if folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name) else None
    return CheckpointIdentity(
        checkpoint=spec.checkpoint_name,
        revision=commit or spec.revision or "",
        weights_sha256=_hash_of(weight_files(folder), FileHashes(cache)),
        tokenizer_sha256=_hash_of(_present(folder, _TOKENIZER), FileHashes(None)),
        config_sha256=_hash_of(_present(folder, _CONFIG), FileHashes(None)),
        chat_template_sha256="" if template_text is None else hashlib.sha256(template_text.encode()).hexdigest(),
        adapter_sha256="" if adapter is None else _hash_of(_adapter_files(adapter), FileHashes(cache)),
        code_sha256=_hash_of(_code_files(spec, folder), FileHashes(None), folder) if spec.engine.remote_code else "",
    )


def small_files_sha256(folder: Path, spec: ModelSpec) -> str:
    """One hash over tokenizer, config and code that is run: what decides, beside the template, how prompts look."""
    files = [*_present(folder, (*_TOKENIZER, *_CONFIG)), *_code_files(spec, folder)]
    return _hash_of(files, FileHashes(None), folder)


def _code_files(spec: ModelSpec, folder: Path) -> list[Path]:
    """The Python that may be run. Subfolders count: `custom_generate/generate.py` is one of them."""
    return sorted(folder.rglob("*.py")) if spec.engine.remote_code else []


def _adapter_files(folder: Path) -> list[Path]:
    return [*_present(folder, ["adapter_config.json"]), *weight_files(folder)]


def _present(folder: Path, names: Iterable[str]) -> list[Path]:
    return [folder / name for name in names if (folder / name).is_file()]


def _hash_of(files: Iterable[Path], hashes: FileHashes, below: Path | None = None) -> str:
    """One hash over names and contents. below: names are paths from there; without it, file names."""
    listed = sorted((path.relative_to(below).as_posix() if below else path.name, hashes.of(path)) for path in files)
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()
