"""What is an encoder and what is not, told without loading anything."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from medeval_assets.errors import BadInput
from medeval_assets.metrics.encoder_folder import (
    Encoder,
    encoder_at,
    encoder_folders,
    encoders_in,
    place_demo_encoder,
)
from medeval_assets_tests.encoders import make_tiny_bert, needs_real_encoder


@pytest.fixture(scope="module")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("tiny") / "bert")


def placed(tiny_bert: Path, home: Path, name: str, settings: str | None = "layer: 2\n") -> Path:
    folder = home / "encoders" / name
    shutil.copytree(tiny_bert, folder)
    if settings is not None:
        (folder / "medeval.yaml").write_text(settings, encoding="utf-8")
    return folder


def configured(**changes: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def only(*names: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        shutil.rmtree(folder)
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(b"GGUF")

    return change


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def settings(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "medeval.yaml").write_text(text)


def test_encoders_are_found_by_name_with_their_layer(tiny_bert: Path, tmp_path: Path) -> None:
    second = placed(tiny_bert, tmp_path, "our-bert_2.0", "# tuned by hand\nlayer: 3\n")
    # `bert-score` has layer 1 for google/bert_uncased_L-2_H-128_A-2.
    first = placed(tiny_bert, tmp_path, "bert_uncased_L-2_H-128_A-2", None)
    placed(tiny_bert, tmp_path, ".draft")
    (tmp_path / "encoders" / "notes.txt").write_text("")
    assert encoders_in(tmp_path / "encoders") == (
        Encoder("bert_uncased_L-2_H-128_A-2", first, 1),
        Encoder("our-bert_2.0", second, 3),
    )
    assert encoders_in(tmp_path / "nowhere") == ()


def test_the_layer_of_the_settings_comes_before_the_one_of_the_name(tiny_bert: Path, tmp_path: Path) -> None:
    assert encoder_at(placed(tiny_bert, tmp_path, "bert_uncased_L-2_H-128_A-2", "layer: 2")).layer == 2


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (only(), "no tokenizer"),
        (only("model.gguf"), "no weights (no *.safetensors)"),
        (pickled, "its weights are pickles, which can run code when read, so they are refused. Convert to safetensors"),
        (cut, "model.safetensors: the file is truncated"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json:1: not valid JSON"),
        (configured(model_type="llama"), "config.json model_type: `llama` is no known encoder. Move the folder away"),
        (configured(is_decoder=True), "config.json is_decoder: a decoder"),
        (configured(auto_map={"AutoModel": "x.X"}), "asks to run code that comes with the checkpoint"),
        (configured(num_hidden_layers="3"), "config.json num_hidden_layers: no number of layers from 1 on"),
        (settings("layer: 4"), "medeval.yaml:1 layer: layer 4, but the model has the layers 1 to 3. Write `layer: N`"),
        (settings("layer: 0"), "layer 0, but the model has the layers 1 to 3"),
        (settings("layer: true"), "medeval.yaml:1 layer: not a whole number. Write a number from 1 to 3."),
        (settings("layer: 2.5"), "not a whole number"),
        (settings("layer: [2]"), "not a whole number"),
        (settings("layers: 2"), "medeval.yaml:1 layers: no such setting. Did you mean `layer`?"),
        (settings("layer: 2\nlayer: 3"), "medeval.yaml:2 layer: the name is already used in line 1"),
        (settings("{}"), "medeval.yaml: no `layer`. Write `layer: N`, N from 1 to 3."),
        (settings("layer: \x07"), "a control character"),
        (lambda folder: (folder / "medeval.yaml").unlink(), "which layer to use is unknown"),
    ],
)
def test_a_folder_that_is_no_encoder_is_told(
    tiny_bert: Path, tmp_path: Path, spoil: Callable[[Path], object], expected: str
) -> None:
    spoil(placed(tiny_bert, tmp_path, "odd"))
    with pytest.raises(BadInput) as told:
        encoders_in(tmp_path / "encoders")
    assert expected in str(told.value)
    assert all(problem.where.startswith("encoders/odd") and problem.remedy for problem in told.value.problems)


def test_the_table_of_bert_score_may_name_a_layer_that_the_folder_does_not_have(
    tiny_bert: Path, tmp_path: Path
) -> None:
    folder = placed(tiny_bert, tmp_path, "scibert_scivocab_uncased", None)
    with pytest.raises(
        BadInput, match="encoders/scibert_scivocab_uncased: layer 8, but the model has the layers 1 to 3"
    ):
        encoder_at(folder)


def test_every_bad_folder_is_told_and_the_good_ones_can_still_be_had(tiny_bert: Path, tmp_path: Path) -> None:
    good = placed(tiny_bert, tmp_path, "good")
    pickled(placed(tiny_bert, tmp_path, "bad"))
    placed(tiny_bert, tmp_path, "b\u202ed name")
    with pytest.raises(BadInput) as told:
        encoders_in(tmp_path / "encoders")
    assert [problem.where for problem in told.value.problems] == ["encoders/bad", "encoders/b?d name"]
    assert [folder.name for folder in encoder_folders(tmp_path / "encoders")] == ["bad", "b\u202ed name", "good"]
    assert encoder_at(good).layer == 2


def test_nothing_is_loaded_to_find_encoders(tiny_bert: Path, tmp_path: Path) -> None:
    placed(tiny_bert, tmp_path, "good")
    program = (
        "import sys; from pathlib import Path; from medeval_assets.metrics.bertscore import bertscore_metrics;"
        "from medeval_assets.metrics.encoder_folder import encoders_in;"
        "encoder, = encoders_in(Path(sys.argv[1])); bertscore_metrics(encoder); encoder.identity_sha256;"
        "print({'torch', 'transformers', 'bert_score', 'numpy'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "encoders")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"


def test_the_identity_is_that_of_the_files_that_are_read(tiny_bert: Path, tmp_path: Path) -> None:
    one = encoder_at(placed(tiny_bert, tmp_path, "one"))
    two = encoder_at(placed(tiny_bert, tmp_path / "elsewhere", "two", "layer: 1"))
    before = one.identity_sha256
    assert len(before) == 64
    assert two.identity_sha256 == before
    (two.folder / "README.md").write_text("about")
    assert two.identity_sha256 == before
    weights = two.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    after = two.identity_sha256
    assert after != before
    configured(layer_norm_eps=0.1)(two.folder)
    assert two.identity_sha256 not in {before, after}
    assert one.identity_sha256 == before


def test_a_folder_that_is_gone_has_no_identity(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="encoders/gone: cannot be read"):
        _ = Encoder("gone", tmp_path / "gone", 1).identity_sha256


@needs_real_encoder
def test_the_demo_encoder_is_placed_once_and_whole(tmp_path: Path) -> None:
    folder = place_demo_encoder(tmp_path)
    assert folder == tmp_path / "encoders" / "all-minilm-l6-v2"
    assert encoders_in(tmp_path / "encoders") == (Encoder("all-minilm-l6-v2", folder, 5),)
    assert [path.name for path in (tmp_path / "encoders").iterdir()] == ["all-minilm-l6-v2"]
    (folder / "medeval.yaml").write_text("layer: 6")
    assert place_demo_encoder(tmp_path) == folder
    assert encoder_at(folder).layer == 6


def test_no_demo_encoder_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert place_demo_encoder(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
