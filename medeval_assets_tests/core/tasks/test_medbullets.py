"""MedBullets: the sample, columns and csv with four or five options, and what a bad file is told."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from medeval_assets.prompts.project_wording import ProjectWording
from medeval_assets.tasks.medbullets import TASKS
from medeval_assets_tests.core.tasks.raw_files import SECRET, folder_of, refusals, sample_of

(TASK,) = TASKS
OP4, OP5 = "medbullets_op4.json", "medbullets_op5.json"
ROW = {
    "link": "https://example.org/1",
    "question": SECRET,
    "opa": "Iron",
    "opb": "Folate",
    "opc": "Zinc",
    "opd": "Copper",
    "answer_idx": "B",
    "answer": "Folate",
    "explanation": "Because.",
}


def columns(*rows: dict[str, object]) -> str:
    names = dict.fromkeys(name for row in rows for name in row)
    return json.dumps(
        {name: {str(number): row[name] for number, row in enumerate(rows) if name in row} for name in names}
    )


def row(**changes: object) -> dict[str, object]:
    return {name: value for name, value in (ROW | changes).items() if value is not None}


def test_the_sample_has_balanced_answers(tmp_path: Path) -> None:
    examples = sample_of(TASK, tmp_path)
    assert len(examples) >= 12 + TASK.shots.count
    assert all(example.example_id.startswith("synthetic://") for example in examples)
    letters = sorted(example.targets[0] for example in examples)
    assert letters == sorted("ABCD" * (len(examples) // 4))


def test_columns_and_csv_give_the_same_examples(tmp_path: Path) -> None:
    rows = [row(ope="Lead", answer_idx="E"), row(ope="Tin", link="https://example.org/2")]
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    (tmp_path / "csv").mkdir()
    from_columns = TASK.read(folder_of(tmp_path, {OP5: columns(*rows)}))
    assert TASK.read(folder_of(tmp_path / "csv", {"medbullets_op5.csv": text.getvalue()})) == from_columns
    first, second = from_columns
    assert (first.example_id, first.targets) == ("https://example.org/1", ("E",))
    assert "".join(first.options) == "ABCDE"
    # The same vignette under two links: two examples that are not independent.
    assert first.cluster_id == second.cluster_id


def test_four_options_are_read_where_both_files_are(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {OP4: columns(row()), OP5: columns(row(ope="Lead"))})
    (example,) = TASK.read(folder)
    assert len(example.options) == 4
    assert [record.name for record in folder.used] == [OP4]
    assert "\n\nA. Iron\nB. Folate\n" in ProjectWording(TASK).user(example)


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "no file named like medbullets_op4.json"),
        ({OP4: "\n"}, f"{OP4}: the file is empty"),
        ({OP4: columns(row())[:-30]}, f"{OP4}:1: not valid JSON"),
        ({OP4: columns(row(opa="é")).replace("\\u00e9", "é").encode("latin-1")}, f"{OP4}:1: byte 0xe9"),
        ({OP4: json.dumps([row()])}, f"{OP4}: expected an object of columns"),
        ({OP4: json.dumps(row())}, f"{OP4}: expected an object of columns"),
        ({OP4: "{}"}, f"{OP4}: the columns link, question, opa, opb, opc, opd, answer_idx are missing"),
        ({OP4: columns(row(opc=None))}, f"{OP4}: the columns opc are missing or empty"),
        ({OP4: columns(row(), row(opc=None, link="x"))}, f"{OP4}:1 opc: the field is missing"),
        ({OP4: columns(row(), row(answer_idx=None, link="x"))}, f"{OP4}:1 answer_idx: the options have no"),
        ({OP4: columns(row(answer_idx="E"))}, "0 answer_idx: the answer is none of the options (A, B, C, D)"),
        ({OP4: columns(row(), row())}, f"{OP4}:1: its id is the one of {OP4}:0"),
        ({"m.csv": ",".join(name for name in ROW if name != "opd") + "\n"}, "m.csv:1: the columns opd are"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, files: dict[str, str | bytes], complaint: str) -> None:
    (told,) = refusals(TASK, tmp_path, files)
    assert complaint in told
