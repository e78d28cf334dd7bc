"""MedMCQA: the sample, what `cop` counts from, the unified form, and what a bad file is told."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from medeval_assets.errors import BadInput
from medeval_assets.prompts.project_wording import ProjectWording
from medeval_assets.tasks.medmcqa import TASKS
from medeval_assets_tests.core.tasks.raw_files import SECRET, folder_of, refusals, sample_of

(TASK,) = TASKS
NAME = "dev.json"
ASK = "Reply with the letter of the right option only."


def line(cop: object, number: int = 1, **changes: object) -> str:
    row = {
        "id": f"q{number}",
        "question": SECRET,
        "opa": "Iron",
        "opb": "Folate",
        "opc": "Zinc",
        "opd": "Copper",
        "cop": cop,
        "choice_type": "single",
    } | changes
    return json.dumps({name: value for name, value in row.items() if value is not None}) + "\n"


def file_of(*cops: object) -> str:
    return "".join(line(cop, number) for number, cop in enumerate(cops))


def unified(number: int, **changes: object) -> str:
    row = {"realidx": number, "question": SECRET, "options": {"A": "Iron", "B": "Folate"}, "answer_idx": "A"}
    return json.dumps(row | {"answer": "Iron"} | changes) + "\n"


def test_the_sample_has_balanced_answers(tmp_path: Path) -> None:
    examples = sample_of(TASK, tmp_path)
    assert len(examples) >= 12 + TASK.shots.count
    assert all(example.example_id.startswith("synthetic") for example in examples)
    letters = Counter(example.targets[0] for example in examples)
    assert set(letters) == set("ABCD")
    assert max(letters.values()) - min(letters.values()) <= 1


@pytest.mark.parametrize(
    ("cops", "letters"),
    [
        ((1, 2, 3, 4), "ABCD"),
        ((2, 4, 2), "BDB"),
        ((0, 1, 2, 3), "ABCD"),
        ((3, 3, 0), "DDA"),
        (("1", "4"), "AD"),
        ((1.0, 4.0), "AD"),
    ],
)
def test_what_cop_counts_from_is_decided_for_the_whole_file(
    cops: tuple[object, ...], letters: str, tmp_path: Path
) -> None:
    examples = TASK.read(folder_of(tmp_path, {NAME: file_of(*cops)}))
    assert "".join(example.targets[0] for example in examples) == letters
    assert [example.example_id for example in examples] == [f"q{number}" for number in range(len(cops))]


@pytest.mark.parametrize("name", ["test.jsonl", "medmcqa.json"])
def test_the_unified_form_needs_no_cop(name: str, tmp_path: Path) -> None:
    text = unified(5) + unified(6, answer_idx="B")
    first, second = TASK.read(folder_of(tmp_path, {name: text.replace("\n", "\r\n")}))
    assert (first.example_id, first.targets, second.targets) == ("5", ("A",), ("B",))
    assert ProjectWording(TASK).user(first).endswith("A. Iron\nB. Folate\n\n" + ASK)


def test_a_letter_makes_an_uncertain_file_certain(tmp_path: Path) -> None:
    text = line(2, 1, answer_idx="B") + line(3, 2, answer_idx="C")
    assert [example.targets for example in TASK.read(folder_of(tmp_path, {NAME: text}))] == [("B",), ("C",)]


def test_the_validation_split_is_read_where_both_are(tmp_path: Path) -> None:
    files = {NAME: file_of(1, 4), "test.json": line(None), "train.json": file_of(4)}
    assert len(TASK.read(folder_of(tmp_path, files))) == 2


@pytest.mark.parametrize("unanswered", [None, -1, ""])
def test_the_test_split_is_told_to_have_no_answers(unanswered: object, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"test.json": file_of(unanswered, unanswered)})
    with pytest.raises(BadInput) as refused:
        TASK.read(folder)
    (problem,) = refused.value.problems
    assert problem.what.startswith("no question has an answer")
    assert "dev.json" in problem.remedy


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "no file named like dev*.json*"),
        ({NAME: ""}, f"{NAME}: the file is empty"),
        ({NAME: file_of(4, 1)[:-9]}, f"{NAME}:2: not valid JSON"),
        ({NAME: file_of(4).encode() + b"\xe9"}, f"{NAME}:2: byte 0xe9 is not UTF-8"),
        ({NAME: file_of(1, 2, 3)}, f"{NAME} cop: `cop` is neither 0 nor 4 on any line"),
        ({NAME: file_of(1, 0, 4, 0, 4)}, f"{NAME}:2 cop: `cop` counts from 0 here and from 1 at {NAME}:3"),
        ({NAME: file_of(4, None)}, f"{NAME}:2 cop: the options have no answer"),
        ({NAME: file_of(4, 5)}, f"{NAME}:2 cop: expected a number from 1 to 4"),
        ({NAME: file_of(0, SECRET)}, f"{NAME}:2 cop: expected a number from 0 to 3"),
        ({NAME: line(4, opd="", opc="")}, f"{NAME}:1 cop: the answer is none of the options (A, B)"),
        ({NAME: line(4, opc="")}, f"{NAME}:1 opc: the option is empty and a later one is not"),
        ({NAME: line(4, question=None)}, f"{NAME}:1 question: the field is missing"),
        ({NAME: line(4, opa=None)}, f"{NAME}:1 options: the field is missing"),
        ({NAME: file_of(4) + "7\n"}, f"{NAME}:2: expected an object, found int"),
        ({NAME: line(4) + line(4)}, f"{NAME}:2: its id is the one of {NAME}:1"),
        ({NAME: unified(1, answer_idx="C")}, f"{NAME}:1 answer_idx: the answer is none of the options (A, B)"),
        ({NAME: unified(1, answer_idx="")}, f"{NAME}:1 answer_idx: the options have no answer"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, files: dict[str, str | bytes], complaint: str) -> None:
    (told,) = refusals(TASK, tmp_path, files)
    assert complaint in told
