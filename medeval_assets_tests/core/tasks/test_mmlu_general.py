"""MMLU without medicine: the sample, both layouts, what is left out, and what a bad file is told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from medeval_assets.prompts.project_wording import ProjectWording
from medeval_assets.tasks.mmlu_general import MEDICAL, TASKS
from medeval_assets_tests.core.tasks.raw_files import SECRET, folder_of, refusals, sample_of

(TASK,) = TASKS
NAME = "world_religions_test.csv"
GOOD = '"Which, of these?",Iron,Folate,Zinc,Copper,D\n'


def test_the_sample_has_shots_and_balanced_answers(tmp_path: Path) -> None:
    examples = sample_of(TASK, tmp_path)
    scored = [example for example in examples if example.split == "test"]
    assert len(scored) >= 12
    assert len({example.inputs["subject"] for example in scored}) >= 3
    assert sum(example.split == "dev" for example in examples) >= TASK.shots.count
    letters = Counter(example.targets[0] for example in scored)
    assert set(letters) == set("ABCD")
    assert max(letters.values()) - min(letters.values()) <= 1


@pytest.mark.parametrize("layout", ["flat", "nested"])
def test_both_layouts_give_the_same_examples(layout: str, tmp_path: Path) -> None:
    test, dev = ("", "") if layout == "flat" else ("test/", "dev/")
    for name in ("test", "dev"):
        (tmp_path / name).mkdir()
    two_lines = '"Which\r\nof these?",a,b,c,d,B\r\n'
    files = {
        f"{test}world_religions_test.csv": "\ufeff" + two_lines + GOOD,
        f"{dev}world_religions_dev.csv": GOOD,
        f"{test}astronomy_test.csv": GOOD,
        f"{test}virology_test.csv": "not read",
    }
    folder = folder_of(tmp_path, files)
    examples = TASK.read(folder)
    assert [(example.example_id, example.split) for example in examples] == [
        ("astronomy/1", "test"),
        ("world_religions/1", "test"),
        # The first record takes two lines.
        ("world_religions/3", "test"),
        ("world_religions/dev/1", "dev"),
    ]
    assert [example.targets[0] for example in examples] == ["D", "B", "D", "D"]
    assert not any("virology" in record.name for record in folder.used)
    user = ProjectWording(TASK).user(examples[2])
    assert user.startswith("Subject: world religions\nQuestion: Which, of these?\n\nA. Iron\n")


@pytest.mark.parametrize("subject", sorted(MEDICAL))
def test_a_folder_of_medical_subjects_alone_is_refused(subject: str, tmp_path: Path) -> None:
    (told,) = refusals(TASK, tmp_path, {f"{subject}_test.csv": GOOD})
    assert "no file named like *_test.csv of a subject that is not medical" in told


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "no file named like *_test.csv"),
        ({NAME: "\n"}, f"{NAME}: the file is empty"),
        ({NAME: GOOD + f'"{SECRET},a,b\n'}, f"{NAME}:2: not valid CSV"),
        ({NAME: GOOD.encode() + b"\xe9,a,b,c,d,A\n"}, f"{NAME}:2: byte 0xe9 is not UTF-8"),
        ({NAME: GOOD + f"{SECRET},a,b,c,A\n"}, f"{NAME}:2: expected a question, four options and a letter"),
        ({NAME: GOOD + f"{SECRET},a,,c,d,A\n"}, f"{NAME}:2 B: the field is empty"),
        ({NAME: GOOD + f"{SECRET},a,b,c,d,\n"}, f"{NAME}:2 answer: the options have no answer"),
        ({NAME: GOOD + f"q,a,b,c,d,{SECRET}\n"}, f"{NAME}:2 answer: the answer is none of the options"),
        ({NAME: GOOD, "world_religions_dev.csv": ""}, "world_religions_dev.csv: the file is empty"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, files: dict[str, str | bytes], complaint: str) -> None:
    (told,) = refusals(TASK, tmp_path, files)
    assert complaint in told
