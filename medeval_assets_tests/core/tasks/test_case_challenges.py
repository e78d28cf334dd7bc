"""Case challenges: both samples, the three shapes a user may hold, and what a bad file is told."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path

import pytest

from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.prompts.project_wording import ProjectWording
from medeval_assets.tasks.case_challenges import TASKS
from medeval_assets_tests.core.tasks.raw_files import SECRET, folder_of, refusals, sample_of

NEJM, JAMA = TASKS
SCRAPED: dict[str, object] = {
    "link": "https://example.org/1",
    "question": f"{SECRET} What would you do next?",
    "opa": "Wait",
    "opb": "Operate",
    "opc": "Image",
    "opd": "Refer",
    "diagnosis": None,
    "answer_idx": "C",
    "answer": "Image",
    "explanation": "Because.",
    "field": "Surgery",
}
OWN: dict[str, object] = {
    "case_id": "mine-1",
    "question": f"{SECRET} What is the diagnosis?",
    "option_a": "Gout",
    "option_b": "Pseudogout",
    "option_c": "Septic arthritis",
    "option_d": "",
    "option_e": "",
    "option_f": "",
    "answer": "b",
    "specialty": "Rheumatology",
}


def as_csv(*rows: dict[str, object]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_json(*rows: dict[str, object]) -> str:
    return json.dumps([{"id": number} | row for number, row in enumerate(rows)])


def scraped(**changes: object) -> dict[str, object]:
    return SCRAPED | changes


def own(**changes: object) -> dict[str, object]:
    return OWN | changes


def without(row: dict[str, object], name: str) -> dict[str, object]:
    return {key: value for key, value in row.items() if key != name}


@pytest.mark.parametrize(("task", "options"), [(NEJM, "ABCDE"), (JAMA, "ABCD")])
def test_the_sample_has_balanced_answers(task: TaskSpec, options: str, tmp_path: Path) -> None:
    examples = sample_of(task, tmp_path)
    assert len(examples) >= 12 + task.shots.count
    assert all(example.example_id.startswith("synthetic") for example in examples)
    assert {"".join(example.options) for example in examples} == {options}
    letters = Counter(example.targets[0] for example in examples)
    assert set(letters) == set(options)
    assert max(letters.values()) - min(letters.values()) <= 1


@pytest.mark.parametrize("task", TASKS)
def test_the_scrapers_json_and_csv_give_the_same_examples(task: TaskSpec, tmp_path: Path) -> None:
    rows = [scraped(), scraped(link="https://example.org/2", answer_idx="A")]
    (tmp_path / "json").mkdir()
    (tmp_path / "csv").mkdir()
    from_json = task.read(folder_of(tmp_path / "json", {"jama_raw.json": as_json(*rows)}))
    windows = b"\xef\xbb\xbf" + as_csv(*rows).encode()
    assert b"\r\n" in windows
    assert task.read(folder_of(tmp_path / "csv", {"jama_raw.csv": windows})) == from_json
    first, second = from_json
    assert (first.example_id, first.cluster_id) == ("https://example.org/1", "https://example.org/1")
    assert (first.targets, second.targets) == (("C",), ("A",))
    assert dict(first.options) == {"A": "Wait", "B": "Operate", "C": "Image", "D": "Refer"}


@pytest.mark.parametrize("task", TASKS)
def test_the_own_csv_may_leave_its_last_options_empty_or_out(task: TaskSpec, tmp_path: Path) -> None:
    short = {name: OWN[name] for name in ("case_id", "question", "option_a", "option_b", "answer")}
    (tmp_path / "short").mkdir()
    (example,) = task.read(folder_of(tmp_path, {"cases.csv": as_csv(own())}))
    assert (example.example_id, example.targets) == ("mine-1", ("B",))
    assert dict(example.options) == {"A": "Gout", "B": "Pseudogout", "C": "Septic arthritis"}
    (two,) = task.read(folder_of(tmp_path / "short", {"cases.csv": as_csv(short)}))
    assert list(two.options) == ["A", "B"]


def test_the_question_ends_with_its_options_and_asks_for_a_letter(tmp_path: Path) -> None:
    (example,) = NEJM.read(folder_of(tmp_path, {"cases.csv": as_csv(own())}))
    wording = ProjectWording(NEJM)
    assert wording.user(example).startswith(SECRET)
    assert wording.user(example).endswith(
        "diagnosis?\n\nA. Gout\nB. Pseudogout\nC. Septic arthritis\n\nReply with the letter of the right option only."
    )
    assert (wording.answer(example), wording.answer(example, "A")) == ("B", "A")
    assert wording.cue(example) == "Answer:"
    assert wording.system(example)


RAW, CSV = "jama_raw.json", "cases.csv"


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "no file named like jama_raw.json or jama_raw.csv or *.json or *.csv"),
        ({RAW: ""}, f"{RAW}: the file is empty"),
        ({RAW: "[]"}, f"{RAW}: the list is empty"),
        ({RAW: as_json(scraped())[:-40]}, f"{RAW}:1: not valid JSON"),
        ({RAW: as_json(scraped()).replace("Wait", "é").encode("latin-1")}, f"{RAW}:1: byte 0xe9 is not UTF-8"),
        ({CSV: as_csv(own(option_a="é")).encode("latin-1")}, f"{CSV}:2: byte 0xe9 is not UTF-8"),
        ({RAW: as_json(without(scraped(), "opc"))}, f"{RAW}:item 1 opc: the field is missing"),
        ({RAW: as_json(without(scraped(), "answer_idx"))}, "item 1 answer_idx: the options have no answer"),
        ({RAW: as_json(scraped(answer_idx=None))}, "item 1 answer_idx: the options have no answer"),
        ({RAW: as_json(scraped(answer_idx=SECRET))}, "item 1 answer_idx: the answer is none of the options"),
        ({RAW: as_json(scraped(), scraped())}, f"{RAW}:item 2: its id is the one of {RAW}:item 1"),
        ({CSV: as_csv(without(scraped(), "opb"))}, f"{CSV}:1: the columns opb are missing"),
        ({CSV: as_csv(without(own(), "answer"))}, f"{CSV}:1: the columns answer are missing"),
        ({CSV: as_csv(without(own(), "case_id"))}, f"{CSV}:1: the columns case_id are missing"),
        ({CSV: as_csv(own()).split("\n")[0]}, f"{CSV}: the file has a header and no rows"),
        ({CSV: as_csv(own(answer=""))}, f"{CSV}:2 answer: the options have no answer"),
        ({CSV: as_csv(own(answer="D"))}, f"{CSV}:2 answer: the answer is none of the options (A, B, C)"),
        ({CSV: as_csv(own(option_b=""))}, f"{CSV}:2 option_b: the field is empty"),
        ({CSV: as_csv(own(option_e=SECRET))}, f"{CSV}:2 option_d: the option is empty and a later one is not"),
        ({CSV: as_csv(own(), own())}, f"{CSV}:3: its id is the one of {CSV}:2"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, files: dict[str, str | bytes], complaint: str) -> None:
    (told,) = refusals(JAMA, tmp_path, files)
    assert complaint in told
