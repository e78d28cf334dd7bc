from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from medeval_assets.catalog.checkpoint_identity import CheckpointIdentity, identify
from medeval_assets.catalog.file_hashes import FileHashes
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets_tests.adapters import make_adapter
from medeval_assets_tests.checkpoints import make_tiny_checkpoint


def spec(checkpoint: str = "folder:/somewhere/m", revision: str | None = None) -> ModelSpec:
    return ModelSpec(key="m", checkpoint=checkpoint, role="generalist", revision=revision)


def identity(folder: Path, template: str | None = "t") -> CheckpointIdentity:
    return identify(spec(), folder, template)


def test_copies_are_the_same_model_whatever_they_are_called(tiny_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_checkpoint, tmp_path / "copy")
    here = identify(spec(), tiny_checkpoint, "t")
    there = identify(spec("hub:org/m", "v1"), tmp_path / "copy", "t")
    assert (here.checkpoint, here.revision) == ("folder:m", "")
    assert (there.checkpoint, there.revision) == ("hub:org/m", "v1")
    assert here.identity_sha256 == there.identity_sha256


def test_the_same_seed_gives_the_same_model_and_another_seed_other_weights(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    first = identity(tiny_checkpoint)
    assert identity(make_tiny_checkpoint(tmp_path / "again")) == first
    other = identity(make_tiny_checkpoint(tmp_path / "other", seed=1))
    assert other == replace(first, weights_sha256=other.weights_sha256)
    assert other.weights_sha256 != first.weights_sha256
    assert other.identity_sha256 != first.identity_sha256


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("config.json", "config_sha256"),
        ("generation_config.json", "config_sha256"),
        ("tokenizer.json", "tokenizer_sha256"),
        ("tokenizer_config.json", "tokenizer_sha256"),
        ("vocab.txt", "tokenizer_sha256"),
        ("more.safetensors", "weights_sha256"),
    ],
)
def test_each_file_counts_in_its_own_hash(tiny_checkpoint: Path, tmp_path: Path, name: str, field: str) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "m"))
    before = identity(folder)
    with (folder / name).open("ab") as file:
        file.write(b" ")
    after = identity(folder)
    assert getattr(after, field) != getattr(before, field)
    assert after == replace(before, **{field: getattr(after, field)})
    assert after.identity_sha256 != before.identity_sha256


def test_renaming_a_shard_counts_and_other_files_do_not(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "m"))
    before = identity(folder)
    (folder / "README.md").write_text("words")
    assert identity(folder) == before
    (folder / "model.safetensors").rename(folder / "n.safetensors")
    assert identity(folder).weights_sha256 != before.weights_sha256


def test_two_templates_are_two_models(tiny_checkpoint: Path) -> None:
    chat, plain = identity(tiny_checkpoint, "é"), identity(tiny_checkpoint, None)
    assert chat.chat_template_sha256 == hashlib.sha256("é".encode()).hexdigest()
    assert plain.chat_template_sha256 == ""
    assert chat.identity_sha256 != plain.identity_sha256


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_another_byte_of_the_adapter_is_another_model(tiny_checkpoint: Path, tmp_path: Path, name: str) -> None:
    adapter = make_adapter(tmp_path / "adapter")
    copy = Path(shutil.copytree(adapter, tmp_path / "elsewhere"))
    bare = identity(tiny_checkpoint)
    before = identify(spec(), tiny_checkpoint, "t", adapter=adapter)
    assert identify(spec(), tiny_checkpoint, "t", adapter=copy) == before
    (copy / "README.md").write_text("words")
    assert identify(spec(), tiny_checkpoint, "t", adapter=copy) == before

    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    after = identify(spec(), tiny_checkpoint, "t", adapter=copy)
    assert after == replace(before, adapter_sha256=after.adapter_sha256)
    assert len({bare.identity_sha256, before.identity_sha256, after.identity_sha256}) == 3
    assert bare.adapter_sha256 == ""


def test_the_revision_is_the_commit_where_the_hub_gave_one(tiny_checkpoint: Path, tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "models--org--m" / "snapshots" / commit))
    assert identify(spec("hub:org/m", "main"), folder, None).revision == commit


def test_a_hash_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    file, cache = tmp_path / "w.safetensors", tmp_path / "cache"
    file.write_bytes(b"one")
    assert FileHashes(cache).of(file) == hashlib.sha256(b"one").hexdigest()

    # Tampering with the memory shows that it is what answers.
    memory = json.loads((cache / "sha256.json").read_text())
    ((path, entry),) = memory.items()
    (cache / "sha256.json").write_text(json.dumps({path: [*entry[:3], "0" * 64]}))
    assert FileHashes(cache).of(file) == "0" * 64

    file.write_bytes(b"two")
    os.utime(file, ns=(1, entry[1] + 1))
    assert FileHashes(cache).of(file) == hashlib.sha256(b"two").hexdigest()
    assert list(cache.iterdir()) == [cache / "sha256.json"]


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b"\xff", b'{"PATH": 1}', b'{"PATH": [1, 2, 3]}', b'{"PATH": [3, 1, 1, "x"]}', b"[" * 200_000],
)
def test_a_damaged_memory_is_forgotten(tmp_path: Path, damage: bytes) -> None:
    file, cache = tmp_path / "w.safetensors", tmp_path / "cache"
    file.write_bytes(b"one")
    cache.mkdir()
    (cache / "sha256.json").write_bytes(damage.replace(b"PATH", str(file).encode()))
    assert FileHashes(cache).of(file) == hashlib.sha256(b"one").hexdigest()
    assert FileHashes(cache).of(file) == hashlib.sha256(b"one").hexdigest()


def test_a_memory_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"one")
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert FileHashes(tmp_path / "cache").of(file) == hashlib.sha256(b"one").hexdigest()


def test_two_memories_do_not_forget_each_other(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
        FileHashes(tmp_path / "cache").of(tmp_path / name)
    assert len(json.loads((tmp_path / "cache" / "sha256.json").read_text())) == 2
