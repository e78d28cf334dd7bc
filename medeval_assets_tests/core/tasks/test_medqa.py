"""MedQA: the sample, the owners' and the unified form, and what a bad file is told."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from medeval_assets.prompts.project_wording import ProjectWording
from medeval_assets.tasks.medqa import TASKS
from medeval_assets_tests.core.tasks.raw_files import SECRET, folder_of, refusals, sample_of

(TASK,) = TASKS
NAME = "test.jsonl"
OPTIONS = {"A": "Iron", "B": "Folate", "C": "Zinc", "D": "Copper"}


def line(**changes: object) -> str:
    row = {"question": SECRET, "answer": "Zinc", "options": OPTIONS, "meta_info": "step1", "answer_idx": "C"}
    return json.dumps({name: value for name, value in (row | changes).items() if value is not None}) + "\n"


def test_the_sample_has_balanced_answers(tmp_path: Path) -> None:
    examples = sample_of(TASK, tmp_path)
    assert len(examples) >= 12 + TASK.shots.count
    assert {"".join(example.options) for example in examples} == {"ABCDE"}
    letters = Counter(example.targets[0] for example in examples)
    assert set(letters) == set("ABCDE")
    assert max(letters.values()) - min(letters.values()) <= 1


def test_the_owners_form_is_named_by_its_lines(tmp_path: Path) -> None:
    text = line(metamap_phrases=["a"]) + "\r\n" + line(options={"B": "2", "A": "1"}, answer_idx="b")
    first, second = TASK.read(folder_of(tmp_path, {NAME: b"\xef\xbb\xbf" + text.encode()}))
    assert (first.example_id, second.example_id) == ("line-1", "line-3")
    assert (first.targets, dict(first.options)) == (("C",), OPTIONS)
    assert (second.targets, list(second.options)) == (("B",), ["A", "B"])
    assert ProjectWording(TASK).answer(first) == "C"


def test_the_unified_form_names_its_ids(tmp_path: Path) -> None:
    (example,) = TASK.read(folder_of(tmp_path, {NAME: line(realidx=17, meta_info=None)}))
    assert (example.example_id, example.cluster_id, example.targets) == ("17", "17", ("C",))


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "no file named like test.json*"),
        ({NAME: " "}, f"{NAME}: the file is empty"),
        ({NAME: line() + line()[:50]}, f"{NAME}:2: not valid JSON"),
        ({NAME: line().encode() + b"\xe9\n"}, f"{NAME}:2: byte 0xe9 is not UTF-8"),
        ({NAME: line() + line(question=None)}, f"{NAME}:2 question: the field is missing"),
        ({NAME: line(options=None)}, f"{NAME}:1 options: the field is missing"),
        ({NAME: line(options=[SECRET])}, f"{NAME}:1 options: expected an object of options, found list"),
        ({NAME: line(options={"A": "1", "C": "2"})}, f"{NAME}:1 options: expected at least two options named"),
        ({NAME: line(options={SECRET: "1", "B": "2"})}, f"{NAME}:1 options: expected at least two options"),
        ({NAME: line(options={"A": "1"})}, f"{NAME}:1 options: expected at least two options"),
        ({NAME: line(options=OPTIONS | {"D": ""})}, f"{NAME}:1 options D: the field is empty"),
        ({NAME: line(answer_idx=None)}, f"{NAME}:1 answer_idx: the options have no answer"),
        ({NAME: line(answer_idx="E")}, f"{NAME}:1 answer_idx: the answer is none of the options (A, B, C, D)"),
        ({NAME: line(answer_idx="AB")}, f"{NAME}:1 answer_idx: the answer is none of the options"),
        ({NAME: line(realidx=1) + line(realidx="1")}, f"{NAME}:2: its id is the one of {NAME}:1"),
        ({NAME: f'"{SECRET}"'}, f"{NAME}:1: expected an object, found str"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, files: dict[str, str | bytes], complaint: str) -> None:
    (told,) = refusals(TASK, tmp_path, files)
    assert complaint in told
