"""Files of answers become a model, or nothing changes."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from medeval_assets.catalog.external import external_models
from medeval_assets.engines.external_answers import ExternalAnswers
from medeval_assets.engines.registration import Registered, Registration, refuse_wrong_names, register
from medeval_assets.engines.respondent import Questions
from medeval_assets.errors import BadInput
from medeval_assets.prompts.prompt import Prompt
from medeval_assets.prompts.prompt_set import prompt_set
from medeval_assets.prompts.wording import wording_for
from medeval_assets.resources import all_models
from medeval_assets.settings import Settings
from medeval_assets.sources.dataset import read_dataset
from medeval_assets.tasks import all_tasks

NLI = all_tasks()["mednli"]
SUMMARIES = all_tasks()["meqsum"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", sources=tmp_path / "sources")


@pytest.fixture
def prompts(settings: Settings) -> list[Prompt]:
    """Today's prompts of MedNLI: the samples without the three worked examples."""
    return prompt_set(NLI, read_dataset(NLI, settings).examples, wording_for(NLI, "project", settings))


def registered(settings: Settings, path: Path, *lines: Mapping[str, Any], **fields: str) -> list[Registered]:
    """Write the lines to a file and register it as my-gpt's answers for MedNLI."""
    return register(Registration("my-gpt", [(NLI, written(path, *lines))], **fields), all_models(settings), settings)


def written(path: Path, *lines: Mapping[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def answers(prompts: list[Prompt], text: str = "neutral") -> list[dict[str, Any]]:
    return [{"example_id": p.example_id, "prompt_sha256": p.prompt_sha256, "text": text} for p in prompts]


def held(settings: Settings) -> dict[str, bytes]:
    """Every file below `external`, by its place there."""
    root = settings.external
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_file_becomes_a_model_byte_by_byte(settings: Settings, prompts: list[Prompt], tmp_path: Path) -> None:
    lines = answers(prompts[:-2])
    lines[0]["prompt_sha256"] = "0" * 64
    del lines[1]["prompt_sha256"]
    shot = next(e.example_id for e in read_dataset(NLI, settings).examples if e.example_id in prompts[0].shots)
    lines.append({"example_id": shot, "text": "neutral"})
    file = tmp_path / "a.jsonl"

    summary = registered(settings, file, *lines, base="llama-3-8b-instruct", title="My GPT")

    # Two prompts have no prediction, and the worked example's counts for nothing. One says it answers another prompt.
    assert summary == [Registered("mednli", len(prompts), len(prompts) - 2, 1)]
    assert held(settings)["my-gpt/mednli.jsonl"] == file.read_bytes()
    model = all_models(settings)["my-gpt"]
    assert (model.role, model.base, model.title) == ("biomedical", "llama-3-8b-instruct", "My GPT")


def test_files_and_fields_are_added_to_what_is_there(settings: Settings, prompts: list[Prompt], tmp_path: Path) -> None:
    summaries = [e.example_id for e in read_dataset(SUMMARIES, settings).examples]
    second = written(tmp_path / "b.jsonl", *({"example_id": name, "text": "?"} for name in summaries))
    registered(settings, tmp_path / "a.jsonl", *answers(prompts))
    assert all_models(settings)["my-gpt"].role == "generalist"
    description = settings.external / "my-gpt" / "medeval.yaml"
    description.write_text(description.read_text() + "licence: ours\n")

    register(Registration("my-gpt", [(SUMMARIES, second)], base="llama-3-8b"), all_models(settings), settings)

    assert held(settings).keys() == {f"my-gpt/{name}" for name in ("medeval.yaml", "mednli.jsonl", "meqsum.jsonl")}
    assert yaml.safe_load(description.read_text()) == {"role": "biomedical", "licence": "ours", "base": "llama-3-8b"}


@pytest.mark.parametrize(
    ("key", "base", "expected"),
    [
        ("my gpt", "", "model `my gpt`: not a usable key"),
        ("../up", "", "model `../up`: not a usable key"),
        ("llama-3-8b", "", "model `llama-3-8b`: the catalog has another model of this key"),
        ("baseline-copy", "", "model `baseline-copy`: the catalog has another model of this key"),
        ("my-gpt", "llama-3-8", "base `llama-3-8`: not in the catalog. Did you mean `llama-3-8b`?"),
        ("my-gpt", "my-gpt", "base `my-gpt`: not in the catalog"),
    ],
)
def test_names_that_cannot_be_used_are_refused(settings: Settings, key: str, base: str, expected: str) -> None:
    with pytest.raises(BadInput) as refused:
        refuse_wrong_names(Registration(key, [], base), all_models(settings), settings)
    assert str(refused.value).startswith(expected)


class Again(NamedTuple):
    """A home in which my-gpt has answers for MedNLI, and what is to be registered next.

    lines: good ones for the next file, by name.
    other: a good file for another task.
    """

    settings: Settings
    lines: dict[str, str]
    other: Path


@pytest.fixture
def again(settings: Settings, prompts: list[Prompt], tmp_path: Path) -> Again:
    registered(settings, tmp_path / "first.jsonl", *answers(prompts))
    lines = {
        "good": json.dumps(answers(prompts, "entailment")[0]),
        "shot": json.dumps({"example_id": prompts[0].shots[0], "text": ""}),
    }
    other = read_dataset(SUMMARIES, settings).examples[-1].example_id
    return Again(settings, lines, written(tmp_path / "other.jsonl", {"example_id": other, "text": "?"}))


def broken_description(settings: Settings) -> None:
    (settings.external / "my-gpt" / "medeval.yaml").write_text("role: {")


def unknown_base(settings: Settings) -> None:
    (settings.external / "my-gpt" / "medeval.yaml").write_text("base: gone\n")


@pytest.mark.parametrize(
    ("spoil", "lines", "expected"),
    [
        (None, ["{", '{"example_id": "nobody", "text": ""}'], ["new.jsonl:1: not valid JSON", "new.jsonl:2 example_"]),
        (None, ["shot"], ["new.jsonl: it has no prediction for any of the 15 prompts of mednli"]),
        (broken_description, ["good"], ["my-gpt/medeval.yaml:1: not YAML"]),
        (unknown_base, ["good"], ["my-gpt/medeval.yaml base: no model `gone` in the catalog"]),
    ],
)
def test_bad_input_leaves_what_was_registered_as_it_was(
    again: Again, tmp_path: Path, spoil: Callable[[Settings], None] | None, lines: list[str], expected: list[str]
) -> None:
    settings = again.settings
    if spoil is not None:
        spoil(settings)
    before = held(settings)
    new = tmp_path / "new.jsonl"
    new.write_text("\n".join(again.lines.get(line, line) for line in lines))
    # The good file of the other task is not taken either.
    registration = Registration("my-gpt", [(SUMMARIES, again.other), (NLI, new)])
    with pytest.raises(BadInput) as refused:
        register(registration, all_models(settings), settings)
    problems = [str(problem) for problem in refused.value.problems]
    assert [problem[: len(start)] for problem, start in zip(problems, expected, strict=True)] == expected
    assert held(settings) == before


@pytest.mark.parametrize("known_before", [True, False])
def test_a_full_disk_leaves_what_was_registered_as_it_was(
    settings: Settings, prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, known_before: bool
) -> None:
    if known_before:
        registered(settings, tmp_path / "good.jsonl", *answers(prompts))
    before = held(settings)

    def full(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(BadInput, match=r"No space left on device.*what was there before is intact"):
        registered(settings, tmp_path / "new.jsonl", *answers(prompts, "entailment"))
    assert held(settings) == before
    assert external_models(settings.external)[1] == {}


def test_answers_are_those_of_the_prompts_asked_with_the_hashes_they_came_with(
    settings: Settings, prompts: list[Prompt], tmp_path: Path
) -> None:
    lines = answers(prompts[1:4])
    lines[0] |= {"prompt_sha256": "0" * 64, "finish_reason": "length"}
    del lines[1]["prompt_sha256"]
    registered(settings, tmp_path / "a.jsonl", *lines)
    respondent, done = ExternalAnswers(all_models(settings)["my-gpt"]), list[tuple[str, int, int]]()

    (outcome,) = respondent.answer([Questions(NLI, prompts[:3], list)], lambda *said: done.append(said))

    # The first prompt asked has no prediction; the fourth one's is not asked for.
    assert [
        (row.example_id, row.prompt_sha256, row.finish_reason, row.request_sha256) for row in outcome.generations
    ] == [
        (prompts[1].example_id, "0" * 64, "length", ""),
        (prompts[2].example_id, "", "stop", ""),
    ]
    assert done == [(NLI.name, 3, 0)]
    (outcome,) = respondent.answer([Questions(NLI, prompts[:1], list)], lambda *_: None)
    assert "none of the 1 prompts has a prediction" in str(outcome.error)
    with pytest.raises(BadInput, match=r"medeval evaluate -m my-gpt -g meqsum=<file>"):
        respondent.identity(SUMMARIES)


def test_another_file_is_another_identity(settings: Settings, prompts: list[Prompt], tmp_path: Path) -> None:
    identities = []
    for text in ("neutral", "entailment", "neutral"):
        registered(settings, tmp_path / "a.jsonl", *answers(prompts, text))
        identities.append(ExternalAnswers(all_models(settings)["my-gpt"]).identity(NLI))
    assert identities[0] == identities[2] != identities[1]
    assert str(settings.home) not in str(identities[0])
