"""MeDiSumCode: the sample, how codes are read, and what a bad file is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import simple_icd_10_cm

from medeval_assets.prompts.project_wording import ProjectWording
from medeval_assets.tasks.medisumcode import TASKS
from medeval_assets_tests.core.tasks.raw_files import SECRET, folder_of, refusals, sample_of

(TASK,) = TASKS
NAME = "medisumcode.jsonl"


def record(*codes: object, **changes: object) -> dict[str, object]:
    return {"text": SECRET, "icd_codes": [{"code": code} for code in codes]} | changes


def lines(*records: object) -> str:
    return "".join(json.dumps(one) + "\n" for one in records)


def test_the_sample_has_only_codes_that_may_be_billed(tmp_path: Path) -> None:
    examples = sample_of(TASK, tmp_path)
    assert len(examples) >= 12 + TASK.shots.count
    assert all(example.example_id.startswith("synthetic") for example in examples)
    codes = {code for example in examples for code in example.targets}
    assert [code for code in codes if not simple_icd_10_cm.is_leaf(code)] == []
    wording = ProjectWording(TASK)
    for example in examples:
        assert example.inputs["letter"] in wording.user(example)
        assert wording.answer(example) == ", ".join(example.targets)


def test_an_array_and_lines_read_the_same(tmp_path: Path) -> None:
    records = [record("I10", hadm_id=20000001), record("E119", hadm_id="20000002")]
    for form in ("array", "lines"):
        (tmp_path / form).mkdir()
    array = TASK.read(folder_of(tmp_path / "array", {"codes.json": json.dumps(records)}))
    assert array == TASK.read(folder_of(tmp_path / "lines", {NAME: lines(*records)}))
    assert [example.example_id for example in array] == ["20000001", "20000002"]


def test_codes_keep_their_order_without_dots_and_repeats(tmp_path: Path) -> None:
    text = lines(record("i50.23", "I10", "C4A.0", "I5023", "W01.0XXA"))
    (example,) = TASK.read(folder_of(tmp_path, {NAME: text}))
    assert example.example_id == "line-1"
    assert example.targets == ("I5023", "I10", "C4A0", "W010XXA")


def test_a_letter_without_any_code_is_left_out(tmp_path: Path) -> None:
    (example,) = TASK.read(folder_of(tmp_path, {NAME: lines(record(), record("I10"))}))
    assert example.example_id == "line-2"


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "no file named like *.json or *.jsonl"),
        ({NAME: ""}, f"{NAME}: the file is empty"),
        ({NAME: lines(record("I10"), record("I10"))[:-20]}, f"{NAME}:2: not valid JSON"),
        ({NAME: b'\n{"text": "\xfc"}\n'}, f"{NAME}:2: byte 0xfc is not UTF-8"),
        ({NAME: lines({"text": SECRET})}, f"{NAME}:1 icd_codes: the field is missing"),
        ({NAME: lines(record("I10", text=None))}, f"{NAME}:1 text: expected text, found NoneType"),
        ({NAME: lines(record(icd_codes=SECRET))}, f"{NAME}:1 icd_codes: expected a list, found str"),
        ({NAME: lines(record(icd_codes=[SECRET]))}, f"{NAME}:1 icd_codes[1]: expected an object, found str"),
        ({NAME: lines(record("I10", None))}, f"{NAME}:1 icd_codes[2] code: expected text"),
        ({NAME: lines(record(SECRET))}, f"{NAME}:1 icd_codes[1] code: not shaped like an ICD-10-CM code"),
        ({NAME: lines(record("4019"))}, f"{NAME}:1 icd_codes[1] code: not shaped like"),
        ({NAME: lines(record("I1"))}, f"{NAME}:1 icd_codes[1] code: not shaped like"),
        ({NAME: lines(record("S72001AAA"))}, f"{NAME}:1 icd_codes[1] code: not shaped like"),
        ({NAME: lines(record())}, f"{NAME}:1: no example could be read"),
        (
            {NAME: lines(record("I10", hadm_id=5), record("I10", hadm_id="5"))},
            f"{NAME}:2: its id is the one of {NAME}:1",
        ),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, files: dict[str, str | bytes], complaint: str) -> None:
    (told,) = refusals(TASK, tmp_path, files)
    assert complaint in told
