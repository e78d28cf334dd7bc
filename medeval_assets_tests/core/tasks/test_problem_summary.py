"""Problem Summary: the sample, how the list of problems is made, and what a bad file is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from medeval_assets.prompts.project_wording import ProjectWording
from medeval_assets.tasks.problem_summary import TASKS
from medeval_assets_tests.core.tasks.raw_files import SECRET, folder_of, refusals, sample_of

(TASK,) = TASKS
NAME = "BioNLP2023-1A-Test.csv"
HEADER = "File ID,Subjectives,Assessment,Summary\n"
ROW = f"1.txt,short of breath,{SECRET},Heart failure;\n"


def test_the_sample_reads_like_the_published_file(tmp_path: Path) -> None:
    examples = sample_of(TASK, tmp_path)
    assert len(examples) >= 12 + TASK.shots.count
    assert all(example.example_id.startswith("synthetic") for example in examples)
    wording = ProjectWording(TASK)
    for example in examples:
        assert example.inputs["subjective"] in wording.user(example)
        assert example.inputs["assessment"] in wording.user(example)
        assert ";" not in wording.answer(example)


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ("Sepsis", "Sepsis"),
        ("Sepsis; AKI;", "Sepsis, AKI"),
        ("Sepsis ;;  ; AKI", "Sepsis, AKI"),
        ('"Shock, septic; AKI"', "Shock, septic, AKI"),
    ],
)
def test_problems_are_joined_by_commas_and_empty_ones_dropped(tmp_path: Path, summary: str, expected: str) -> None:
    (example,) = TASK.read(folder_of(tmp_path, {NAME: f"{HEADER}1,a,b,{summary}\n"}))
    assert example.targets == (expected,)


def test_other_columns_a_missing_id_and_a_missing_part_are_fine(tmp_path: Path) -> None:
    text = 'Assessment,Objective,Summary,Subjectives\n"two\nlines",x,Gout,\nonly,y,Asthma,wheezing\n'
    first, second = TASK.read(folder_of(tmp_path, {NAME: text}))
    # The first record takes lines 2 and 3, so the second begins in line 4.
    assert (first.example_id, second.example_id) == ("line-2", "line-4")
    assert first.inputs == {"subjective": "", "assessment": "two\nlines"}
    assert "Subjective:" not in ProjectWording(TASK).user(first)
    assert "Subjective:\nwheezing" in ProjectWording(TASK).user(second)


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, f"no file named like {NAME} or *.csv"),
        ({NAME: ""}, f"{NAME}: the file is empty"),
        ({NAME: HEADER + ROW + f"2.txt,{SECRET}"}, f"{NAME}:3: 2 fields where the header has 4"),
        ({NAME: HEADER + ROW + f'2.txt,"{SECRET}'}, f"{NAME}:3: not valid CSV"),
        ({NAME: (HEADER + ROW).encode() + "2.txt,é,b,c\n".encode("latin-1")}, f"{NAME}:3: byte 0xe9"),
        ({NAME: HEADER.replace("Summary", "Sum") + ROW}, f"{NAME}:1: the columns Summary are missing"),
        ({NAME: f"{HEADER}1,{SECRET},b,\n"}, f"{NAME}:2 Summary: the field is empty"),
        ({NAME: f"{HEADER}1,{SECRET},b, ; ;\n"}, f"{NAME}:2 Summary: it lists no problem"),
        ({NAME: f"{HEADER}1,, ,{SECRET}\n"}, f"{NAME}:2 Assessment: both it and Subjectives are empty"),
        ({NAME: HEADER + ROW + ROW}, f"{NAME}:3: its id is the one of {NAME}:2"),
        ({NAME: HEADER}, f"{NAME}: the file has a header and no rows"),
        ({NAME: ROW + ROW}, f"{NAME}:1: the columns Subjectives, Assessment, Summary are missing"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, files: dict[str, str | bytes], complaint: str) -> None:
    (told,) = refusals(TASK, tmp_path, files)
    assert complaint in told
