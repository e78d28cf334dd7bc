"""MedNLI: the sample, the ids and clusters it gets, and what a bad file is told."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from medeval_assets.prompts.project_wording import ProjectWording
from medeval_assets.tasks.mednli import LABELS, TASKS
from medeval_assets_tests.core.tasks.raw_files import SECRET, folder_of, refusals, sample_of

(TASK,) = TASKS
NAME = "mli_test_v1.jsonl"


def line(**changes: object) -> str:
    row = {"sentence1": "He has a fever.", "sentence2": SECRET, "gold_label": "neutral"} | changes
    return json.dumps({name: value for name, value in row.items() if value is not None}) + "\n"


def test_the_sample_gives_every_premise_each_label_once(tmp_path: Path) -> None:
    examples = sample_of(TASK, tmp_path)
    assert len(examples) >= 12 + TASK.shots.count
    assert all(example.example_id.startswith("synthetic") for example in examples)
    by_premise = Counter(example.cluster_id for example in examples)
    assert set(by_premise.values()) == {3}
    pairs = {(example.cluster_id, *example.targets) for example in examples}
    assert len(pairs) == len(examples)


def test_a_row_without_an_id_is_named_by_its_line(tmp_path: Path) -> None:
    text = line(gold_label="Entailment") + "\n" + line(pairID="a7")
    first, second = TASK.read(folder_of(tmp_path, {NAME: text}))
    assert (first.example_id, second.example_id) == ("line-1", "a7")
    assert first.cluster_id == second.cluster_id
    assert first.targets == ("entailment",)
    assert tuple(first.options) == LABELS
    wording = ProjectWording(TASK)
    assert "He has a fever." in wording.user(first)
    assert SECRET in wording.user(first)
    assert wording.answer(first) == "entailment"


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "no file named like mli_test*.jsonl or *.jsonl"),
        ({NAME: " \n"}, f"{NAME}: the file is empty"),
        ({NAME: line() + line()[:40]}, f"{NAME}:2: not valid JSON"),
        ({NAME: line().encode() + b"\xff\n"}, f"{NAME}:2: byte 0xff is not UTF-8"),
        ({NAME: line(sentence2=None)}, f"{NAME}:1 sentence2: the field is missing"),
        ({NAME: line(sentence1=[SECRET])}, f"{NAME}:1 sentence1: expected text, found list"),
        ({NAME: line(sentence1="  ")}, f"{NAME}:1 sentence1: the field is empty"),
        ({NAME: line(gold_label=SECRET)}, f"{NAME}:1 gold_label: expected one of entailment"),
        ({NAME: f'"{SECRET}"\n'}, f"{NAME}:1: expected an object, found str"),
        ({NAME: line(pairID=7) + line() + line(pairID="7")}, f"{NAME}:3: its id is the one of {NAME}:1"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, files: dict[str, str | bytes], complaint: str) -> None:
    (told,) = refusals(TASK, tmp_path, files)
    assert complaint in told


def test_all_bad_rows_are_told_together(tmp_path: Path) -> None:
    told = refusals(TASK, tmp_path, {NAME: line(gold_label="maybe") + line() + line(sentence1=None)})
    assert [text.split(" ")[0] for text in told] == [f"{NAME}:1", f"{NAME}:3"]
