"""MeQSum: the sample and the real workbook, and what a bad one is told."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import openpyxl
import pytest

from medeval_assets.prompts.project_wording import ProjectWording
from medeval_assets.sources.source_folder import SourceFolder
from medeval_assets.tasks.meqsum import FILE_NAME, TASKS
from medeval_assets_tests.core.tasks.raw_files import SECRET, folder_of, refusals, sample_of
from medeval_assets_tests.real_data import SHARED_DATA, needs_real_data

(TASK,) = TASKS
HEADER = ("File", "CHQ", "Summary")
ROW = ("1.txt", SECRET, "Is it?")


def workbook(*rows: Sequence[object]) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(list(row))
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def test_the_sample_reads_like_the_published_workbook(tmp_path: Path) -> None:
    examples = sample_of(TASK, tmp_path)
    assert len(examples) >= 12 + TASK.shots.count
    assert all(example.example_id.startswith("synthetic") for example in examples)
    wording = ProjectWording(TASK)
    for example in examples:
        assert example.inputs["question"] in wording.user(example)
        assert wording.answer(example) == example.targets[0]
        assert example.targets[0].endswith("?")


@needs_real_data
def test_the_real_workbook_reads_whole(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).symlink_to(SHARED_DATA / FILE_NAME)
    folder = SourceFolder(tmp_path, synthetic=False)
    examples = TASK.read(folder)
    assert len(examples) == 1000
    assert examples[0].targets == ("Who manufactures cetirizine?",)
    assert [record.sha256 for record in folder.used] == [TASK.downloads[0].sha256]


def test_columns_may_stand_in_any_order_and_blank_rows_are_passed_over(tmp_path: Path) -> None:
    rows = [("Summary", None, "CHQ", "File"), ("Why?", "x", " A question ", 12), (None,) * 4]
    (example,) = TASK.read(folder_of(tmp_path, {"own.xlsx": workbook(*rows)}))
    assert (example.example_id, example.cluster_id) == ("12", "12")
    assert (example.inputs["question"], example.targets) == ("A question", ("Why?",))


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, f"no file named like {FILE_NAME} or *.xlsx"),
        ({FILE_NAME: b""}, f"{FILE_NAME}: the file is empty"),
        ({FILE_NAME: f"File,CHQ,Summary\n1,{SECRET},b\n"}, f"{FILE_NAME}: not a readable Excel workbook"),
        ({FILE_NAME: workbook(HEADER, ROW)[:-200]}, f"{FILE_NAME}: not a readable Excel workbook"),
        ({FILE_NAME: workbook()}, f"{FILE_NAME}: the first sheet is empty"),
        ({FILE_NAME: workbook(("File", "Summary"), ROW)}, f"{FILE_NAME}:1: the columns CHQ are missing"),
        ({FILE_NAME: workbook(HEADER, ROW, ("2", "", "b"))}, f"{FILE_NAME}:3 CHQ: "),
        ({FILE_NAME: workbook(HEADER, ("2", SECRET, True))}, f"{FILE_NAME}:2 Summary: expected text"),
        ({FILE_NAME: workbook(HEADER, ROW, ROW)}, f"{FILE_NAME}:3: its id is the one of {FILE_NAME}:2"),
        ({FILE_NAME: workbook(HEADER)}, f"{FILE_NAME}: the file has a header and no rows"),
        ({FILE_NAME: workbook(ROW, ROW)}, f"{FILE_NAME}:1: the columns File, CHQ, Summary are missing"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, files: dict[str, str | bytes], complaint: str) -> None:
    (told,) = refusals(TASK, tmp_path, files)
    assert complaint in told


def test_a_workbook_whose_sheet_is_damaged_is_refused(tmp_path: Path) -> None:
    damaged = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook(HEADER, ROW))) as whole, zipfile.ZipFile(damaged, "w") as copy:
        for name in whole.namelist():
            content = whole.read(name)
            copy.writestr(name, content[: len(content) // 2] if name.endswith("sheet1.xml") else content)
    (told,) = refusals(TASK, tmp_path, {FILE_NAME: damaged.getvalue()})
    assert told == f"{FILE_NAME}: not a readable Excel workbook (.xlsx)"
