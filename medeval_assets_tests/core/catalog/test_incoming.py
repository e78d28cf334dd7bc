from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from medeval_assets.catalog.incoming import incoming_models
from medeval_assets.catalog.model_spec import EngineNeeds, ModelSpec
from medeval_assets_tests.checkpoints import CONTEXT, make_tiny_checkpoint


@pytest.fixture
def incoming(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_checkpoint, tmp_path / "incoming" / "new-7b")
    return tmp_path / "incoming"


def described(incoming: Path, text: str) -> Path:
    (incoming / "new-7b" / "medeval.yaml").write_text(text)
    return incoming


def test_a_complete_folder_is_a_model(incoming: Path) -> None:
    models, problems = incoming_models(incoming)
    assert problems == {}
    assert models == {
        "new-7b": ModelSpec(
            key="new-7b",
            checkpoint=f"folder:{incoming / 'new-7b'}",
            role="biomedical",
            chat_template="tokenizer",
            engine=EngineNeeds(context=CONTEXT),
        )
    }


def test_without_a_template_it_runs_without_and_an_encoder_is_seen_as_one(incoming: Path) -> None:
    folder = make_tiny_checkpoint(incoming / "bert", chat_template=None)
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"architectures": ["BertForMaskedLM"]}))
    model = incoming_models(incoming)[0]["bert"]
    assert (model.chat_template, model.kind) == ("none", "encoder")


def test_a_description_inside_wins(incoming: Path) -> None:
    text = "base: general\nrole: generalist\nchat_template: file:own.jinja\nengine: {gpus: 0, dtype: float32}\nnote:\n"
    model = incoming_models(described(incoming, text))[0]["new-7b"]
    assert (model.base, model.role) == ("general", "generalist")
    assert model.chat_template == f"file:{incoming / 'new-7b' / 'own.jinja'}"
    assert model.engine == EngineNeeds(gpus=0, dtype="float32", context=CONTEXT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("role: doctor\n", ["new-7b/medeval.yaml:1 role: `doctor` is none of"]),
        ("\nbase: new-7b\n", ["new-7b/medeval.yaml:2 base: a pair with itself"]),
        ("checkpoint: hub:a/b\n", ["new-7b/medeval.yaml:1 checkpoint: unknown field"]),
        ("engine: 3\n", ["new-7b/medeval.yaml:1 engine: expected a mapping"]),
        ("bsae: x\nengine: {gpu: 1}\n", ["new-7b/medeval.yaml:1 bsae: ", "new-7b/medeval.yaml:2 engine.gpu: "]),
        ("", ["new-7b/medeval.yaml: the file is empty"]),
        ("role: {", ["new-7b/medeval.yaml:1: not YAML"]),
    ],
)
def test_a_bad_description_is_refused_with_its_line(incoming: Path, text: str, expected: list[str]) -> None:
    models, problems = incoming_models(described(incoming, text))
    assert models == {}
    assert len(problems["new-7b"]) == len(expected)
    for problem, start in zip(problems["new-7b"], expected, strict=True):
        assert str(problem).startswith(start)


def test_incomplete_folders_do_not_hide_the_complete_ones(incoming: Path) -> None:
    half = Path(shutil.copytree(incoming / "new-7b", incoming / "half"))
    weights = (half / "model.safetensors").read_bytes()
    (half / "model.safetensors").write_bytes(weights[:-1])
    (incoming / "a|b").mkdir()
    (incoming / ".copying").mkdir()
    (incoming / "notes.txt").write_text("no folder")
    models, problems = incoming_models(incoming)
    assert list(models) == ["new-7b"]
    assert list(problems) == ["a|b", "half"]
    assert "cannot be a model's key" in problems["a|b"][0].what
    assert [problem.where for problem in problems["half"]] == ["half/model.safetensors"]

    # When the copy is done, the next look finds the model.
    (half / "model.safetensors").write_bytes(weights)
    assert list(incoming_models(incoming)[0]) == ["half", "new-7b"]


def test_with_the_catalog_known_links_and_keys_are_checked(incoming: Path) -> None:
    general = ModelSpec(key="general", checkpoint="hub:org/general", role="generalist")
    described(incoming, "base: genral\nchat_template: as:general\n")
    assert [str(p) for p in incoming_models(incoming, {"general": general})[1]["new-7b"]] == [
        "new-7b/medeval.yaml base: no model `genral` in the catalog. Did you mean `general`?"
    ]
    described(incoming, "base: general\n")
    assert list(incoming_models(incoming, {"general": general})[0]) == ["new-7b"]
    taken = incoming_models(incoming, {"general": general, "new-7b": general})[1]
    assert [problem.remedy for problem in taken["new-7b"]] == ["Rename the folder."]


def test_no_folder_no_models(tmp_path: Path) -> None:
    assert incoming_models(tmp_path / "absent") == ({}, {})


@pytest.mark.parametrize("longest", ["many", -1, True, None, 10**12])
def test_a_config_with_an_odd_context_does_not_break_the_look(incoming: Path, longest: object) -> None:
    config = incoming / "new-7b" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": longest}))
    models, problems = incoming_models(incoming)
    if longest is None:
        assert models["new-7b"].engine.context is None
    else:
        assert [problem.where for problem in problems["new-7b"]] == ["new-7b/config.json:1 engine.context"]
