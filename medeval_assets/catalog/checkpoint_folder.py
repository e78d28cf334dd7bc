"""A checkpoint folder: what keeps it from being used, found without loading anything."""

from __future__ import annotations

import json
import re
from pathlib import Path

from medeval_assets.catalog.checkpoint_template import own_template, template_problems
from medeval_assets.catalog.json_object import read_json_object
from medeval_assets.catalog.quoted import quoted
from medeval_assets.errors import BadInput, Problem

INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")

# The format's own limit.
_MOST_HEADER_BYTES = 100_000_000
_PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
_CLASS_OF_THE_FOLDER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\.[A-Za-z_][A-Za-z0-9_]*")
_COPY_AGAIN = "Copy the file again from where the checkpoint came from."
_SAVE_WHOLE = "Save the whole checkpoint there, as `save_pretrained` does."


def checkpoint_problems(folder: Path, label: str | None = None, *, remote_code: bool = False) -> list[Problem]:
    """Everything that keeps the folder from being used, in the order config, tokenizer, weights, chat template.

    label: what the messages call the folder; its name where None.
    remote_code: the Python that lies in the folder may be run.
    """
    name = folder.name if label is None else label
    if not folder.is_dir():
        return [Problem(name, "no such folder", "Check the checkpoint's path.")]
    try:
        problems = [
            *_config_problems(folder, name, remote_code),
            *_tokenizer_problems(folder, name, remote_code),
            *_weight_problems(folder, name),
            *_template_problems(folder, name),
        ]
    except OSError as error:
        return [Problem(name, f"the folder cannot be read ({error.strerror})", "Check its permissions.")]
    # A tokenizer_config.json that cannot be read is met twice: with the tokenizer and with the chat template.
    return list(dict.fromkeys(problems))


def weight_files(folder: Path) -> list[Path]:
    """The folder's safetensors files by name."""
    return sorted(path for path in folder.glob("*.safetensors") if path.is_file())


def _config_problems(folder: Path, name: str, remote_code: bool) -> list[Problem]:
    where = f"{name}/config.json"
    if not (folder / "config.json").is_file():
        return [Problem(where, "the file is missing", _SAVE_WHOLE)]
    try:
        config = read_json_object(folder / "config.json", where)
    except BadInput as error:
        return list(error.problems)
    problems = [*_code_problems(config, where, remote_code), *_elsewhere_problems(config, where)]
    if (folder / "adapter_config.json").exists():
        what = "an adapter lies in the checkpoint, and libraries apply it or not as they please"
        remedy = "Move its files into a folder of their own, and name that as the model's `adapter`."
        problems.append(Problem(f"{name}/adapter_config.json", what, remedy))
    if not isinstance(config.get("model_type"), str) or not config["model_type"]:
        problems.append(Problem(where, "no `model_type`, so it is unknown what the weights are", _SAVE_WHOLE))
    return problems


def _tokenizer_problems(folder: Path, name: str, remote_code: bool) -> list[Problem]:
    problems: list[Problem] = []
    found = [file for file in TOKENIZER_FILES if (folder / file).is_file()]
    if not found:
        problems.append(Problem(name, f"no tokenizer (none of {', '.join(TOKENIZER_FILES)})", _SAVE_WHOLE))
    if "tokenizer.json" in found and not _ends_like_json(folder / "tokenizer.json"):
        problems.append(Problem(f"{name}/tokenizer.json", "the file is truncated", _COPY_AGAIN))
    path = folder / "tokenizer_config.json"
    if path.is_file():
        try:
            tokenizer = read_json_object(path, f"{name}/{path.name}")
            problems += _code_problems(tokenizer, f"{name}/{path.name}", remote_code)
            problems += _outside_problems(tokenizer, f"{name}/{path.name}", folder)
        except BadInput as error:
            problems += error.problems
    return problems


def _code_problems(config: dict[str, object], where: str, remote_code: bool) -> list[Problem]:
    if "auto_map" not in config:
        return []
    if not remote_code:
        what = "`auto_map` asks to run code that comes with the checkpoint, which is refused"
        remedy = (
            "Use a checkpoint of an architecture that transformers has itself and remove `auto_map`, or read the code "
            "and write `engine: {remote_code: true}` into the model's entry in models.yaml."
        )
        return [Problem(where, what, remedy)]
    # What is not in a file of the folder is not in the model's identity: another repository, a subfolder.
    elsewhere = [name for _, name in _settings(config["auto_map"]) if _CLASS_OF_THE_FOLDER.fullmatch(name) is None]
    remedy = "Copy the code beside the config, and name it there as `file.Class`."
    return [Problem(where, f"`auto_map` names {quoted(name)}, which lies elsewhere", remedy) for name in elsewhere]


def _elsewhere_problems(config: dict[str, object], where: str) -> list[Problem]:
    """Fields of a config by which libraries read or run what is not among the files that are checked here."""
    problems: list[Problem] = []
    if config.get("transformers_weights") is not None:
        what = f"`transformers_weights` names the weights itself ({quoted(config['transformers_weights'])})"
        problems.append(Problem(where, what, "Remove it, and call the file model.safetensors."))
    for name, value in _settings(config):
        if name.strip("_").startswith(("attn_implementation", "experts_implementation")) and "/" in value:
            what = f"{quoted(name)} asks to run compiled code from the hub ({quoted(value)}), which is refused"
            problems.append(Problem(where, what, "Remove it: the engine chooses."))
    return problems


def _outside_problems(config: dict[str, object], where: str, folder: Path) -> list[Problem]:
    """File names in a tokenizer's config that lead to a file outside. Those of another machine's files lead nowhere."""
    problems: list[Problem] = []
    for name, value in _settings(config):
        if not name.endswith("_file") or "\0" in value:
            continue
        # A library would look from where it runs, or from the folder.
        found = [path for path in (Path(value), folder / value) if path.exists()]
        if not all(path.resolve().is_relative_to(folder.resolve()) for path in found):
            what = f"{quoted(name)} names {quoted(value)}, which lies outside the folder"
            problems.append(Problem(where, what, "Remove it: a tokenizer's files lie beside its config."))
    return problems


def _settings(value: object, name: str = "") -> list[tuple[str, str]]:
    """(name, text) of every setting that is text, however deep; what is in a list has the list's name."""
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in _settings(inner, str(key))]
    if isinstance(value, list):
        return [found for inner in value for found in _settings(inner, name)]
    return [(name, value)] if isinstance(value, str) else []


def _ends_like_json(path: Path) -> bool:
    # Parsing a tokenizer of many megabytes each time a folder is looked at would take too long.
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 64, 0))
        return file.read().rstrip().endswith(b"}")


def _weight_problems(folder: Path, name: str) -> list[Problem]:
    files = weight_files(folder)
    index = folder / INDEX
    if not files and not index.is_file():
        if any(path.suffix in _PICKLES for path in folder.iterdir()):
            remedy = "Convert to safetensors: `model.save_pretrained(folder)` with a current transformers."
            return [Problem(name, "its weights are pickles, which can run code when read, so they are refused", remedy)]
        return [Problem(name, "no weights (no *.safetensors)", _SAVE_WHOLE)]
    problems = _index_problems(folder, name) if index.is_file() else []
    if not index.is_file() and not (folder / "model.safetensors").is_file():
        problems.append(Problem(name, f"neither model.safetensors nor {INDEX}", _SAVE_WHOLE))
    for path in files:
        what = _damage(path)
        if what:
            problems.append(Problem(f"{name}/{path.name}", what, _COPY_AGAIN))
    return problems


def _index_problems(folder: Path, name: str) -> list[Problem]:
    where = f"{name}/{INDEX}"
    try:
        shards = read_json_object(folder / INDEX, where).get("weight_map")
    except BadInput as error:
        return list(error.problems)
    if not isinstance(shards, dict) or not shards or not all(isinstance(file, str) for file in shards.values()):
        return [Problem(where, "no `weight_map` of weights to files", _COPY_AGAIN)]
    problems: list[Problem] = []
    for file in sorted(set(shards.values())):
        if "/" in file or "\\" in file or "\0" in file or not file.endswith(".safetensors"):
            what = f"names {quoted(file)}, which is no safetensors file of the folder"
            problems.append(Problem(where, what, _COPY_AGAIN))
        elif not (folder / file).is_file():
            problems.append(Problem(where, f"names {quoted(file)}, which is not there", _SAVE_WHOLE))
    return problems


def _damage(path: Path) -> str:
    """What is wrong with a safetensors file, or "": 8 bytes of header length, a JSON header, then exactly the data."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(8)
            if prefix == b"version ":
                return "a Git LFS pointer stands in the file's place (`git lfs pull` gets the file)"
            length = int.from_bytes(prefix, "little")
            if len(prefix) < 8 or length > _MOST_HEADER_BYTES or 8 + length > size:
                return "the file is truncated or no safetensors file (its header is not whole)"
            header = json.loads(file.read(length).decode())
        ends = [_end(tensor) for tensor_name, tensor in header.items() if tensor_name != "__metadata__"]
    except OSError as error:
        return f"the file cannot be read ({error.strerror})"
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return "no safetensors file (its header is not readable)"
    promised = 8 + length + max(ends, default=0)
    if promised == size:
        return ""
    return f"the file is {'truncated' if size < promised else 'damaged'} ({size} bytes instead of {promised})"


def _end(tensor: dict[str, list[int]]) -> int:
    """Where a tensor's bytes end, counted from the end of the header. Raises ValueError for no such thing."""
    start, end = tensor["data_offsets"]
    if not (isinstance(start, int) and isinstance(end, int) and 0 <= start <= end):
        raise ValueError("not a range of bytes")
    return end


def _template_problems(folder: Path, name: str) -> list[Problem]:
    try:
        own = own_template(folder, name)
    except BadInput as error:
        return list(error.problems)
    return template_problems(*own) if own else []
