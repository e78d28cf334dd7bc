from __future__ import annotations

from pathlib import Path

import pytest

from medeval_assets.catalog.checkpoint_source import resolve
from medeval_assets.catalog.external import can_answer, external_models, generations_file
from medeval_assets.catalog.model_spec import EngineNeeds, ModelSpec
from medeval_assets.errors import BadInput
from medeval_assets.settings import Settings

GENERAL = ModelSpec(key="general", checkpoint="hub:org/general", role="generalist")


@pytest.fixture
def external(tmp_path: Path) -> Path:
    """A place with one model, which has answers for one task."""
    folder = tmp_path / "external" / "my-gpt"
    folder.mkdir(parents=True)
    (folder / "mednli.jsonl").write_text("not read here")
    return folder.parent


def described(external: Path, text: str) -> Path:
    (external / "my-gpt" / "medeval.yaml").write_text(text)
    return external


def test_a_folder_with_a_file_for_a_task_is_a_generalist_that_needs_no_gpu(external: Path) -> None:
    models, problems = external_models(external)
    assert problems == {}
    assert models == {
        "my-gpt": ModelSpec(
            key="my-gpt",
            checkpoint=f"generations:{external / 'my-gpt'}",
            role="generalist",
            chat_template="none",
            engine=EngineNeeds(gpus=0),
        )
    }


def test_it_can_answer_the_tasks_it_has_a_file_for_and_other_models_can_answer_all(external: Path) -> None:
    model = external_models(external)[0]["my-gpt"]
    assert generations_file(model, "mednli") == external / "my-gpt" / "mednli.jsonl"
    assert [task for task in ("mednli", "medqa") if can_answer(model, task)] == ["mednli"]
    assert can_answer(GENERAL, "medqa")


def test_a_description_says_what_pair_it_belongs_to(external: Path) -> None:
    described(external, "role: biomedical\nbase: general\ntitle: My GPT\n")
    model = external_models(external, {"general": GENERAL})[0]["my-gpt"]
    assert (model.role, model.base, model.title) == ("biomedical", "general", "My GPT")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("role: baseline\n", "my-gpt/medeval.yaml:1 role: the role and the checkpoint do not agree"),
        ("base: genral\n", "my-gpt/medeval.yaml base: no model `genral` in the catalog. Did you mean `general`?"),
        ("engine: {gpus: 4}\n", "my-gpt/medeval.yaml:1 engine: unknown field"),
        ("chat_template: as:general\n", "my-gpt/medeval.yaml:1 chat_template: unknown field"),
        ("role: {", "my-gpt/medeval.yaml:1: not YAML"),
    ],
)
def test_a_bad_description_is_refused_with_its_line(external: Path, text: str, expected: str) -> None:
    models, problems = external_models(described(external, text), {"general": GENERAL})
    assert models == {}
    assert [str(problem)[: len(expected)] for problem in problems["my-gpt"]] == [expected]


def test_folders_that_are_no_model_do_not_hide_the_others(external: Path) -> None:
    (external / "empty").mkdir()
    (external / "half").mkdir()
    (external / "half" / ".mednli.jsonl").write_text("being written")
    (external / "general").mkdir()
    (external / "general" / "mednli.jsonl").write_text("")
    (external / "A B").mkdir()
    models, problems = external_models(external, {"general": GENERAL})
    assert list(models) == ["my-gpt"]
    assert {key: found[0].what for key, found in problems.items()} == {
        "A B": "the folder's name cannot be a model's key",
        "empty": "no file named like <task>.jsonl",
        "general": "a model of the catalog has this key",
        "half": "no file named like <task>.jsonl",
    }


@pytest.mark.parametrize("checkpoint", ["baseline:copy", "generations:my-gpt"])
def test_what_has_no_checkpoint_is_never_looked_for(tmp_path: Path, checkpoint: str) -> None:
    role = "baseline" if checkpoint.startswith("baseline") else "generalist"
    model = ModelSpec.model_validate({"key": "m", "checkpoint": checkpoint, "role": role})
    with pytest.raises(BadInput, match="the model has no checkpoint"):
        resolve(model, Settings(home=tmp_path, sources=tmp_path))
    assert list(tmp_path.iterdir()) == []
