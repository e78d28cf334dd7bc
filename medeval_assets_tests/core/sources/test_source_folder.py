"""Raw files that are broken in every way we could think of: each is told by file and line, and none is quoted."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from medeval_assets.catalog.task_spec import Example
from medeval_assets.errors import BadInput
from medeval_assets.sources.source_folder import (
    Row,
    RowProblem,
    SourceFile,
    SourceFolder,
    SourceRecord,
    examples_from,
)

SECRET = "Zylkowskaemia"
"""Stands for a patient's text; no message may show it."""


def file(tmp_path: Path, content: str | bytes, name: str = "data.txt") -> SourceFile:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return SourceFile(tmp_path / name)


def workbook(*rows: list[object]) -> bytes:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(row)
    stored = io.BytesIO()
    book.save(stored)
    return stored.getvalue()


def without(content: bytes, member: str) -> bytes:
    """The zip archive with one member's content replaced by half a tag."""
    assert member in zipfile.ZipFile(io.BytesIO(content)).namelist()
    kept = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(kept, "w") as new:
        for name in old.namelist():
            new.writestr(name, f"<{SECRET}" if name == member else old.read(name))
    return kept.getvalue()


def bomb() -> bytes:
    """A zip archive whose directory promises 3 GiB."""
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"x" * 64)
    content = bytearray(stored.getvalue())
    # The uncompressed size stands 24 bytes into the central directory's entry.
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = (3 << 30).to_bytes(4, "little")
    return bytes(content)


def refusal(read: Callable[[], object]) -> BadInput:
    with pytest.raises(BadInput) as refused:
        read()
    assert SECRET not in str(refused.value)
    assert all(problem.remedy for problem in refused.value.problems)
    assert SECRET not in str(refused.value.__cause__)
    return refused.value


TEXTS = [
    (b"", "data.txt: the file is empty"),
    (b" \r\n\t\n", "data.txt: the file is empty"),
    (b"\xef\xbb\xbf\n", "data.txt: the file is empty"),
    (f"a\nb\n{SECRET}\0".encode(), "data.txt:3: the file holds NUL characters"),
    (f"a\nb\n{SECRET} caf\xe9".encode("latin-1"), "data.txt:3: byte 0xe9 is not UTF-8"),
    (b"\xef\xbb\xbfab\n\xe9", "data.txt:2: byte 0xe9 is not UTF-8"),
    (SECRET.encode("utf-16"), "data.txt: is UTF-16 text"),
    (gzip.compress(SECRET.encode(), mtime=0), "data.txt: is packed with gzip"),
    (f"\n<!DOCTYPE HTML><p>{SECRET}".encode(), "data.txt: is a web page"),
    (b"\xef\xbb\xbf<html><body>", "data.txt: is a web page"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "data.txt: is a pointer of Git LFS"),
    (workbook(["a"]), "data.txt: is a zip archive or a workbook"),
]


@pytest.mark.parametrize(("content", "complaint"), TEXTS)
def test_a_file_that_is_no_text(tmp_path: Path, content: bytes, complaint: str) -> None:
    assert complaint in str(refusal(lambda: file(tmp_path, content).string()))


def test_a_byte_order_mark_and_foreign_line_ends_do_not_show(tmp_path: Path) -> None:
    assert file(tmp_path, b"\xef\xbb\xbfa\r\nb\rc\n").lines() == ["a", "b", "c"]


def test_a_final_newline_makes_no_line_and_other_separators_split_none(tmp_path: Path) -> None:
    assert file(tmp_path, "a\u2028b\x0c\n\nc").lines() == ["a\u2028b\x0c", "", "c"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (f'{{\n"a": "{SECRET}",\n"b": ', "data.txt:3: not valid JSON (Expecting value, column 6)"),
        (f'{{"a": "{SECRET}', "data.txt:1: not valid JSON (Unterminated string starting at"),
        (f'{{"a": 1}}\n{{"{SECRET}": 2}}', "data.txt:2: not valid JSON (Extra data"),
        (f'["\\q{SECRET}"]', "data.txt:1: not valid JSON (Invalid"),
        ("[" * 200_000, "data.txt:1: not valid JSON (nested too deeply)"),
        ('{"a":' * 200_000 + "\n", "data.txt: not valid JSON (nested too deeply)"),
        ("9" * 10_000, "data.txt:1: not valid JSON (a number is too long)"),
        (f'{{"x": {{"{SECRET}": 1, "{SECRET}": 2}}}}', "data.txt:1: an object has the same key twice"),
    ],
)
def test_bad_json(tmp_path: Path, content: str, complaint: str) -> None:
    assert complaint in str(refusal(lambda: file(tmp_path, content).json()))


def test_every_bad_line_of_json_lines_is_told(tmp_path: Path) -> None:
    content = f'{{"a": 1}}\n\n{{"a": "{SECRET}\n{SECRET}\n{{"a": 1, "a": 2}}\n' + "[" * 200_000
    problems = refusal(lambda: file(tmp_path, content).json_lines()).problems
    assert [problem.where for problem in problems] == ["data.txt:3", "data.txt:4", "data.txt:5", "data.txt:6"]


def test_json_lines_count_blank_lines(tmp_path: Path) -> None:
    rows = file(tmp_path, '{"a": "x"}\n\n  \n{"a": "\u2028y"}').json_lines()
    assert [(row.where, row.text("a")) for row in rows] == [("data.txt:1", "x"), ("data.txt:4", "y")]


CSV = [
    ("a,b\n", "data.txt: the file has a header and no rows"),
    (f"a,b\n1,2\n{SECRET}\n", "data.txt:3: 1 fields where the header has 2"),
    (f"a,b\n1,{SECRET},3\n", "data.txt:2: 3 fields where the header has 2"),
    (f'a,b\n1,2\n3,"{SECRET}\n5,6\n', "data.txt:3: not valid CSV"),
    (f'a,b\n1,"{SECRET}"x\n', "data.txt:2: not valid CSV"),
    (f"{SECRET},2\n3,4\n", "data.txt:1: the columns a, b are missing (2 found)"),
    (f"\n\nA ,{SECRET}\n3,4\n", "data.txt:3: the columns a, b are missing (2 found, 'A' among them)"),
    (f"a,b,a\n1,2,{SECRET}\n", "data.txt:1: the columns a occur twice"),
]


@pytest.mark.parametrize(("content", "complaint"), CSV)
def test_bad_csv(tmp_path: Path, content: str, complaint: str) -> None:
    assert complaint in str(refusal(lambda: file(tmp_path, content).csv(["a", "b"])))


def test_every_short_row_of_a_csv_file_is_told(tmp_path: Path) -> None:
    problems = refusal(lambda: file(tmp_path, 'a,b\n"1\n1"\n2,2\n3\n').csv(["a"])).problems
    assert [problem.where for problem in problems] == ["data.txt:2", "data.txt:5"]


def test_csv_fields_may_hold_anything_that_is_quoted(tmp_path: Path) -> None:
    values = ["1", 'two\nlines, a comma, ""quotes"" and "', "x" * 300_000]
    stored = io.StringIO()
    csv.writer(stored).writerows([[" a", "b ", "c"], values, ["4", "5", "6"]])
    rows = file(tmp_path, "\ufeff" + stored.getvalue()).csv(["a", "b"])
    assert rows[0].values == dict(zip("abc", values, strict=True))
    # The quoted newline makes the first record two lines long.
    assert [row.where for row in rows] == ["data.txt:2", "data.txt:4"]


XLSX = [
    (b"a,b\n", "not a readable Excel workbook"),
    (b"PK\x03\x04" + SECRET.encode(), "not a readable Excel workbook"),
    (workbook(["a", "b"], [SECRET, "2"])[:-300], "not a readable Excel workbook"),
    (without(workbook(["a"]), "xl/worksheets/sheet1.xml"), "not a readable Excel workbook"),
    (without(workbook(["a"]), "xl/workbook.xml"), "not a readable Excel workbook"),
    (without(workbook(["a"]), "xl/styles.xml"), "not a readable Excel workbook"),
    (bomb(), "data.xlsx: unpacks to 3221225472 bytes"),
    (workbook(["a", "b"]), "data.xlsx: the file has a header and no rows"),
    (workbook([SECRET, "b"], ["1", "2"]), "data.xlsx:1: the columns a are missing (2 found)"),
    (workbook(["a", "b", "a"], ["1", "2", "3"]), "data.xlsx:1: the columns a occur twice"),
]


@pytest.mark.parametrize(("content", "complaint"), XLSX)
def test_bad_xlsx(tmp_path: Path, content: bytes, complaint: str) -> None:
    assert complaint in str(refusal(lambda: file(tmp_path, content, "data.xlsx").xlsx(["a", "b"])))


def test_an_empty_row_of_a_workbook_is_passed_over_and_counted(tmp_path: Path) -> None:
    rows = file(tmp_path, workbook(["a", None, "b"], [1, "x", 2.5], [], ["3", None, None]), "data.xlsx").xlsx(["a"])
    assert [row.where for row in rows] == ["data.xlsx:2", "data.xlsx:4"]
    assert (rows[0].text("a"), rows[0].text("b"), rows[1].optional_text("b")) == ("1", "2.5", "")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({}, "f:1 Summary: the field is missing (0 found)"),
        ({SECRET: 1, "summary ": 2}, "f:1 Summary: the field is missing (2 found, 'summary ' among them)"),
        ([SECRET], "f:1: expected an object, found list"),
        ({"Summary": "  "}, "f:1 Summary: the field is empty"),
        ({"Summary": float("nan")}, "f:1 Summary: the field is empty"),
        ({"Summary": None}, "f:1 Summary: expected text, found NoneType"),
        ({"Summary": True}, "f:1 Summary: expected text, found bool"),
        ({"Summary": [SECRET]}, "f:1 Summary: expected text, found list"),
    ],
)
def test_a_bad_field_is_named_and_not_quoted(values: object, complaint: str) -> None:
    with pytest.raises(RowProblem) as refused:
        Row("f:1", values).text("Summary")
    assert complaint in str(refused.value)
    assert SECRET not in str(refused.value)


def example_of(row: Row) -> Example:
    answer = row.text("answer")
    return Example(row.text("id"), row.text("id"), {}, (answer,), {"A": SECRET, "B": "b"})


def rows_of(*records: object) -> list[Row]:
    return [Row(f"f:{line}", record) for line, record in enumerate(records, 1)]


def test_the_problems_of_all_rows_are_told_together() -> None:
    rows = rows_of({"id": 1, "answer": "A"}, {"id": 1, "answer": "A"}, {"id": 2, "answer": SECRET}, {"id": 3}, SECRET)
    problems = refusal(lambda: examples_from(rows, example_of)).problems
    assert [str(problem).split(". ")[0] for problem in problems] == [
        "f:2: its id is the one of f:1",
        "f:3: the answer is none of the options (A, B)",
        "f:4 answer: the field is missing (1 found)",
        "f:5: expected an object, found str",
    ]


def test_rows_that_are_all_left_out_are_told() -> None:
    assert "no example could be read" in str(refusal(lambda: examples_from(rows_of({}), lambda row: None)))


def folder(tmp_path: Path) -> SourceFolder:
    return SourceFolder(tmp_path, synthetic=False)


def test_the_first_pattern_with_a_match_wins_and_what_was_read_is_recorded(tmp_path: Path) -> None:
    for name in ("b.json", "a.json", "z.jsonl", ".hidden.jsonl", "README.md", "sub/a.json", ".part/x.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(name))
    source = folder(tmp_path)
    assert source.one("*.jsonl", "*.json").json() == "z.jsonl"
    assert source.optional("*.csv") is None
    assert [found.json() for found in source.all("**/*.json")] == ["a.json", "b.json", "sub/a.json"]
    assert source.optional("*.md") is None
    assert [record.name for record in source.used] == ["z.jsonl", "a.json", "b.json", "sub/a.json"]
    content = (tmp_path / "z.jsonl").read_bytes()
    assert source.used[0] == SourceRecord("z.jsonl", hashlib.sha256(content).hexdigest(), len(content))


@pytest.mark.parametrize(
    ("lay", "complaint"),
    [
        (lambda path: None, "no file named like x.json or *.json"),
        (lambda path: (path / "x.json").mkdir(), "x.json: is a folder where a file is wanted"),
        (lambda path: (path / "x.json").symlink_to(path / "gone"), "x.json: is no file, or a link to nowhere"),
        (lambda path: (path / "x.json").symlink_to("x.json"), "x.json: is no file, or a link to nowhere"),
        (lambda path: (path / "y.json.gz").write_bytes(b"x"), "y.json.gz: is packed"),
        (lambda path: (path / "x.json").write_bytes(b""), "x.json: the file is empty"),
        (lambda path: path.rmdir(), "cannot be read as a folder (No such file or directory)"),
        (lambda path: (path.rmdir(), path.touch()), "cannot be read as a folder (Not a directory)"),
        (lambda path: (path.rmdir(), path.symlink_to(path.name)), "cannot be read as a folder (Too many levels of"),
    ],
)
def test_a_folder_without_the_file(tmp_path: Path, lay: Callable[[Path], object], complaint: str) -> None:
    path = tmp_path / "task"
    path.mkdir()
    lay(path)
    assert complaint in str(refusal(lambda: folder(path).one("x.json", "*.json")))
