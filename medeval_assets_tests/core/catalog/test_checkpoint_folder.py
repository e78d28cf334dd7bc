from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from medeval_assets.catalog.checkpoint_folder import INDEX, checkpoint_problems
from medeval_assets_tests.checkpoints import make_tiny_checkpoint


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "m"))


def change(folder: Path, name: str, **fields: object) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def remove(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).unlink()


def cut(folder: Path, name: str, size: int) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:size])


def shard(folder: Path, weight_map: object) -> None:
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def as_pickle(folder: Path) -> None:
    remove(folder, "model.safetensors")
    torch.save({"w": torch.zeros(1)}, folder / "pytorch_model.bin")


def template_in_config(folder: Path, template: object) -> None:
    remove(folder, "chat_template.jinja")
    change(folder, "tokenizer_config.json", chat_template=template)


WHOLE: list[Callable[[Path], object]] = [
    lambda folder: None,
    lambda folder: remove(folder, "chat_template.jinja", "tokenizer_config.json", "generation_config.json"),
    lambda folder: shard(folder, {"a": "model-1.safetensors"}),
    lambda folder: template_in_config(folder, "{% for m in messages %}{% if m %}{% break %}{% endif %}{% endfor %}"),
    lambda folder: template_in_config(folder, [{"name": "tool", "template": "{% oops"}]),
    lambda folder: template_in_config(folder, "{% generation %}{{ messages | tojson }}{% endgeneration %}"),
    lambda folder: torch.save({}, folder / "optimizer.pt"),
    lambda folder: save_file({}, folder / "empty.safetensors"),
    lambda folder: (folder / "tokenizer.json").rename(folder / "tokenizer.model"),
]


@pytest.mark.parametrize("prepare", WHOLE)
def test_whole_checkpoints_have_no_problem(checkpoint: Path, prepare: Callable[[Path], object]) -> None:
    prepare(checkpoint)
    assert checkpoint_problems(checkpoint) == []


def test_files_that_are_links_into_a_cache_are_fine(checkpoint: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in checkpoint.iterdir():
        (linked / path.name).symlink_to(path)
    assert checkpoint_problems(linked) == []


BROKEN: list[tuple[Callable[[Path], object], str, str]] = [
    (lambda folder: remove(folder, "config.json"), "m/config.json", "the file is missing"),
    (lambda folder: cut(folder, "config.json", 40), "m/config.json:", "not valid JSON"),
    (lambda folder: (folder / "config.json").write_text("[]"), "m/config.json", "not a JSON object"),
    (lambda folder: (folder / "config.json").write_bytes(b'{"a": "\xe9"}'), "m/config.json", "not UTF-8"),
    (lambda folder: (folder / "config.json").write_text("[" * 200_000), "m/config.json", "not valid JSON"),
    (lambda folder: change(folder, "config.json", model_type=None), "m/config.json", "no `model_type`"),
    (lambda folder: change(folder, "config.json", auto_map={}), "m/config.json", "asks to run code"),
    (
        lambda folder: change(folder, "tokenizer_config.json", auto_map={}),
        "m/tokenizer_config.json",
        "asks to run code",
    ),
    (lambda folder: cut(folder, "tokenizer_config.json", 30), "m/tokenizer_config.json:", "not valid JSON"),
    (lambda folder: remove(folder, "tokenizer.json"), "m", "no tokenizer"),
    (lambda folder: cut(folder, "tokenizer.json", 5000), "m/tokenizer.json", "truncated"),
    (lambda folder: remove(folder, "model.safetensors"), "m", "no weights"),
    (as_pickle, "m", "its weights are pickles"),
    (
        lambda folder: (folder / "model.safetensors").rename(folder / "w.safetensors"),
        "m",
        "neither model.safetensors nor",
    ),
    (lambda folder: shard(folder, {"a": "model-1.safetensors", "b": "model-2.safetensors"}), f"m/{INDEX}", "not there"),
    (
        lambda folder: shard(folder, {"a": "../m/model-1.safetensors"}),
        f"m/{INDEX}",
        "no safetensors file of the folder",
    ),
    (lambda folder: shard(folder, {"a": "config.json"}), f"m/{INDEX}", "no safetensors file of the folder"),
    (lambda folder: shard(folder, ["model-1.safetensors"]), f"m/{INDEX}", "no `weight_map`"),
    (lambda folder: shard(folder, {"a": 1}), f"m/{INDEX}", "no `weight_map`"),
    (lambda folder: (folder / INDEX).write_text("{"), f"m/{INDEX}:1", "not valid JSON"),
    (
        lambda folder: (folder / "chat_template.jinja").write_text("{{ bos_token }}\n{% for m in messages %}"),
        "m/chat_template.jinja",
        "broken chat template, line 2",
    ),
    (
        lambda folder: (folder / "chat_template.jinja").write_text("{{ messages | sing }}"),
        "m/chat_template.jinja",
        "No filter named 'sing'",
    ),
    (
        lambda folder: (folder / "chat_template.jinja").write_text("{{" + "(" * 50_000),
        "m/chat_template.jinja",
        "broken chat template",
    ),
    (lambda folder: (folder / "chat_template.jinja").write_bytes(b"\xff"), "m/chat_template.jinja", "not UTF-8"),
    (
        lambda folder: (folder / "chat_template.jinja").write_text("x" * 2_000_000),
        "m/chat_template.jinja",
        "larger than",
    ),
    (lambda folder: template_in_config(folder, "{% if %}"), "m/tokenizer_config.json chat_template", "line 1"),
    (lambda folder: template_in_config(folder, 7), "m/tokenizer_config.json chat_template", "not text"),
    (
        lambda folder: template_in_config(folder, [{"name": "default", "template": "{{"}]),
        "m/tokenizer_config.json chat_template",
        "broken chat template",
    ),
]


@pytest.mark.parametrize(("damage", "where", "words"), BROKEN)
def test_each_damage_is_one_problem(checkpoint: Path, damage: Callable[[Path], object], where: str, words: str) -> None:
    damage(checkpoint)
    (problem,) = checkpoint_problems(checkpoint)
    assert problem.where.startswith(where)
    assert words in problem.what
    assert problem.remedy


def header(length: int, text: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", length) + text + data


ONE_TENSOR = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "header is not whole"),
        (b"\x01\0\0", "header is not whole"),
        (header(99, b"{}"), "header is not whole"),
        (header(2**63, b"{}"), "header is not whole"),
        (header(2, b"[]"), "header is not readable"),
        (header(2, b"{x"), "header is not readable"),
        (header(9, b'{"w":{}}\n'), "header is not readable"),
        (header(24, b'{"w":{"data_offsets":1}}'), "header is not readable"),
        (header(len(ONE_TENSOR) + 1, ONE_TENSOR.replace(b"[0,8]", b"[0,-8]")), "header is not readable"),
        (header(100_000, b"[" * 100_000), "header is not readable"),
        (header(len(ONE_TENSOR), ONE_TENSOR, b"1234567"), "truncated (69 bytes instead of 70)"),
        (header(len(ONE_TENSOR), ONE_TENSOR, b"123456789"), "damaged (71 bytes instead of 70)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
    ],
)
def test_safetensors_files_that_are_not_whole(checkpoint: Path, content: bytes, words: str) -> None:
    (checkpoint / "model.safetensors").write_bytes(content)
    (problem,) = checkpoint_problems(checkpoint)
    assert problem.where == "m/model.safetensors"
    assert words in problem.what


def test_a_real_file_cut_anywhere_is_found(checkpoint: Path) -> None:
    content = (checkpoint / "model.safetensors").read_bytes()
    for size in (7, 8, 100, len(content) // 2, len(content) - 1):
        (checkpoint / "model.safetensors").write_bytes(content[:size])
        assert "truncated" in checkpoint_problems(checkpoint)[0].what


def test_all_problems_come_together_under_the_given_name(tmp_path: Path) -> None:
    found = checkpoint_problems(tmp_path, "my-model")
    assert [problem.where for problem in found] == ["my-model/config.json", "my-model", "my-model"]
    assert "no such folder" in checkpoint_problems(tmp_path / "absent")[0].what


def test_a_template_is_compiled_but_not_computed(tmp_path: Path) -> None:
    # Folding this constant would take more memory than any machine has.
    folder = make_tiny_checkpoint(tmp_path / "m", chat_template="{{ 'x' * 10 ** 15 }}")
    assert checkpoint_problems(folder) == []
