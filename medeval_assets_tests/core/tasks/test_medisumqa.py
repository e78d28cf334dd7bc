"""MeDiSumQA: the sample, the spellings of the keys, and what a bad file is told."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from medeval_assets.prompts.project_wording import ProjectWording
from medeval_assets.tasks.medisumqa import TASKS
from medeval_assets_tests.core.tasks.raw_files import SECRET, folder_of, refusals, sample_of

(TASK,) = TASKS
NAME = "medisumqa.json"
GOOD = {"discharge_summary": SECRET, "Question": "Why?", "Answer": "So."}


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in GOOD.items() if key != name}


def test_the_sample_asks_several_questions_about_each_letter(tmp_path: Path) -> None:
    examples = sample_of(TASK, tmp_path)
    assert len(examples) >= 12 + TASK.shots.count
    letters = Counter(example.cluster_id for example in examples)
    assert len(letters) >= 4
    assert min(letters.values()) >= 3
    wording = ProjectWording(TASK)
    for example in examples:
        assert example.inputs["letter"] in wording.user(example)
        assert example.inputs["question"] in wording.user(example)
        assert wording.answer(example) == example.targets[0]


@pytest.mark.parametrize(
    "keys",
    [
        ("discharge_summary", "Question", "Answer"),
        ("without_discharge_summary", "Question", "Answer"),
        ("discharge_summary", "question", "answer"),
    ],
)
@pytest.mark.parametrize("form", ["array", "lines"])
def test_every_spelling_reads_the_same(tmp_path: Path, keys: tuple[str, ...], form: str) -> None:
    records = [dict(zip(keys, row, strict=True)) for row in (("L", "Q1", "A1"), ("L", "Q2", "A2"))]
    text = json.dumps(records, indent=2) if form == "array" else "\n".join(map(json.dumps, records))
    first, second = TASK.read(folder_of(tmp_path, {NAME: text}))
    word = {"array": "item", "lines": "line"}[form]
    assert (first.example_id, second.example_id) == (f"{word}-1", f"{word}-2")
    assert first.cluster_id == second.cluster_id
    assert second.inputs == {"letter": "L", "question": "Q2"}
    assert second.targets == ("A2",)


def test_of_two_letters_the_one_without_the_answers_is_asked_about(tmp_path: Path) -> None:
    record = GOOD | {"without_discharge_summary": "shorter"}
    (example,) = TASK.read(folder_of(tmp_path, {NAME: json.dumps([record])}))
    assert example.inputs["letter"] == "shorter"


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "no file named like *.json or *.jsonl"),
        ({NAME: "\n"}, f"{NAME}: the file is empty"),
        ({NAME: "[ ]"}, f"{NAME}: the list is empty"),
        ({NAME: json.dumps([GOOD], indent=0)[:-9]}, f"{NAME}:5: not valid JSON"),
        ({NAME: b'[{"discharge_summary":\n"\xe9"}]'}, f"{NAME}:2: byte 0xe9 is not UTF-8"),
        ({NAME: json.dumps([GOOD, SECRET])}, f"{NAME}:item 2: expected an object, found str"),
        ({NAME: json.dumps([without("discharge_summary")])}, f"{NAME}:item 1 discharge_summary: the field"),
        ({NAME: json.dumps([GOOD, without("Question")])}, f"{NAME}:item 2 question: the field is missing"),
        ({NAME: json.dumps([GOOD | {"Answer": [SECRET]}])}, f"{NAME}:item 1 Answer: expected text"),
        ({NAME: json.dumps(without("Answer"))}, f"{NAME}:1 answer: the field is missing"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, files: dict[str, str | bytes], complaint: str) -> None:
    (told,) = refusals(TASK, tmp_path, files)
    assert complaint in told
