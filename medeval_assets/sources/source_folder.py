"""SourceFolder: a task's raw files, opened with errors that say file, line and field; every file opened is remembered."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medeval_assets.catalog.task_spec import Example
from medeval_assets.errors import BadInput, Problem

_SHAPE_REMEDY = "Compare it with the sample file of the same task under data/samples."
_TRUNCATED_REMEDY = "The file may be truncated or damaged: get it again from its owner."


@dataclass(frozen=True)
class SourceRecord:
    """One raw file that was read: its name inside the folder, its SHA-256 and its size in bytes."""

    name: str
    sha256: str
    size: int


class RowProblem(Exception):
    """Raised inside a row's reading; `examples_from` gathers them, so that a user sees all at once."""

    def __init__(self, where: str, what: str, remedy: str = _SHAPE_REMEDY) -> None:
        self.problem = Problem(where, what, remedy)
        super().__init__(str(self.problem))


@dataclass(frozen=True)
class Row:
    """One record of a file. where: `file:line` (lines count from 1) or `file:key`."""

    where: str
    values: Any

    def field(self, name: str) -> Any:
        """The field as it is; a missing one, or a record that has no fields, is a RowProblem."""
        if not isinstance(self.values, dict):
            raise RowProblem(self.where, f"expected an object, found {type(self.values).__name__}")
        if name not in self.values:
            found = ", ".join(sorted(str(key) for key in self.values)[:12])
            raise RowProblem(f"{self.where} {name}", f"the field is missing (found: {found})")
        return self.values[name]

    def text(self, name: str) -> str:
        """The field as stripped, non-empty text; numbers are written out."""
        value = self.field(name)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise RowProblem(f"{self.where} {name}", f"expected text, found {type(value).__name__}")
        text = str(value).strip()
        if not text or text == "nan":
            raise RowProblem(f"{self.where} {name}", "the field is empty")
        return text

    def optional_text(self, name: str) -> str:
        """Like `text`, but "" where the field is absent, null or empty."""
        value = self.values.get(name) if isinstance(self.values, dict) else self.field(name)
        return "" if value is None or str(value).strip() in {"", "nan"} else self.text(name)


class SourceFile:
    """One raw file, read once as bytes."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        try:
            self._bytes = path.read_bytes()
        except OSError as error:
            raise self._bad(f"cannot be read ({error.strerror})", "Check the file's permissions.") from error
        if not self._bytes.strip():
            raise self._bad("the file is empty", "Get it again from its owner.")
        self.record = SourceRecord(path.name, hashlib.sha256(self._bytes).hexdigest(), len(self._bytes))

    def _bad(self, what: str, remedy: str, at: str = "") -> BadInput:
        return BadInput([Problem(f"{self.name}{at}", what, remedy)])

    def string(self) -> str:
        """The whole file as UTF-8 text (a byte-order mark is dropped), newlines as `\\n`."""
        try:
            text = self._bytes.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = self._bytes[: error.start].count(b"\n") + 1
            raise self._bad(
                f"byte 0x{self._bytes[error.start]:02x} is not UTF-8", "Save the file as UTF-8.", f":{line}"
            ) from error
        if "\0" in text:
            raise self._bad("the file holds NUL characters", "Is it a text file? Save it as UTF-8.")
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def lines(self) -> list[str]:
        """The lines without their ends; a final newline makes no extra line."""
        return self.string().removesuffix("\n").split("\n")

    def json(self) -> Any:
        """The parsed JSON document."""
        try:
            return json.loads(self.string())
        except (json.JSONDecodeError, RecursionError) as error:
            at = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
            raise self._bad(f"not valid JSON ({error})", _TRUNCATED_REMEDY, at) from error

    def json_lines(self) -> list[Row]:
        """One row a line; blank lines are passed over. All bad lines are reported together."""
        rows: list[Row] = []
        problems: list[Problem] = []
        for number, line in enumerate(self.lines(), 1):
            if not line.strip():
                continue
            try:
                rows.append(Row(f"{self.name}:{number}", json.loads(line)))
            except (json.JSONDecodeError, RecursionError) as error:
                problems.append(Problem(f"{self.name}:{number}", f"not valid JSON ({error})", _TRUNCATED_REMEDY))
        if problems:
            raise BadInput(problems)
        return rows

    def csv(self, required: Sequence[str], delimiter: str = ",") -> list[Row]:
        """Rows of a CSV file with a header; a row with another number of fields than the header is an error."""
        header, *records = self.csv_records(delimiter)
        self._require_columns(header[1], required)
        problems = [
            Problem(
                f"{self.name}:{line}", f"{len(cells)} fields where the header has {len(header[1])}", _TRUNCATED_REMEDY
            )
            for line, cells in records
            if len(cells) != len(header[1])
        ]
        if problems:
            raise BadInput(problems)
        return [Row(f"{self.name}:{line}", dict(zip(header[1], cells, strict=True))) for line, cells in records]

    def csv_records(self, delimiter: str = ",") -> list[tuple[int, list[str]]]:
        """(line, fields) of every record of a CSV file, the header included where there is one; never empty."""
        csv.field_size_limit(1 << 28)
        reader = csv.reader(io.StringIO(self.string(), newline=""), delimiter=delimiter, strict=True)
        records: list[tuple[int, list[str]]] = []
        first = 1
        try:
            for cells in reader:
                if cells:
                    records.append((first, cells))
                first = reader.line_num + 1
        except csv.Error as error:
            raise self._bad(f"not valid CSV ({error})", _TRUNCATED_REMEDY, f":{first}") from error
        return records

    def xlsx(self, required: Sequence[str]) -> list[Row]:
        """Rows of the first sheet of an Excel workbook whose first row is the header."""
        import openpyxl
        from openpyxl.utils.exceptions import InvalidFileException

        try:
            book = openpyxl.load_workbook(io.BytesIO(self._bytes), read_only=True, data_only=True)
            records = [list(cells) for cells in book.worksheets[0].iter_rows(values_only=True)]
        except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, EOFError, OSError) as error:
            raise self._bad("not a readable Excel workbook (.xlsx)", _TRUNCATED_REMEDY) from error
        if not records:
            raise self._bad("the first sheet is empty", _SHAPE_REMEDY)
        header = [str(cell).strip() if cell is not None else "" for cell in records[0]]
        self._require_columns(header, required)
        return [
            Row(f"{self.name}:{line}", dict(zip(header, cells, strict=False)))
            for line, cells in enumerate(records[1:], 2)
            if any(cell is not None for cell in cells)
        ]

    def _require_columns(self, header: Sequence[str], required: Sequence[str]) -> None:
        missing = [column for column in required if column not in header]
        if missing:
            raise self._bad(
                f"the columns {', '.join(missing)} are missing (found: {', '.join(header[:12])})", _SHAPE_REMEDY, ":1"
            )


class SourceFolder:
    """The folder a task is read from.

    synthetic: True for the project's own samples; travels into every table that rests on them.
    used: a record of every file opened so far, in order.
    """

    def __init__(self, path: Path, *, synthetic: bool) -> None:
        self.path = path
        self.synthetic = synthetic
        self.used: list[SourceRecord] = []

    def one(self, *patterns: str) -> SourceFile:
        """The first file (by name) that matches the first pattern with a match; BadInput where there is none."""
        found = self.optional(*patterns)
        if found is None:
            raise BadInput(
                [
                    Problem(
                        f"{self.path.name}/",
                        f"no file named like {' or '.join(patterns)}",
                        "Put the file there under its owner's name, or remove the folder to use the bundled samples.",
                    )
                ]
            )
        return found

    def optional(self, *patterns: str) -> SourceFile | None:
        for pattern in patterns:
            files = self.all(pattern, most=1)
            if files:
                return files[0]
        return None

    def all(self, pattern: str, most: int | None = None) -> list[SourceFile]:
        """Every file that matches, by name; files whose name begins with a dot are left alone."""
        paths = sorted(path for path in self.path.glob(pattern) if path.is_file() and not path.name.startswith("."))
        files = [SourceFile(path) for path in paths[:most]]
        self.used += [file.record for file in files]
        return files


def examples_from(rows: Iterable[Row], build: Callable[[Row], Example | None]) -> list[Example]:
    """Build an example from every row (None leaves a row out), gathering every row's problem into one BadInput.

    Also refuses duplicate ids, targets that are no option, and a file that yields no example.
    """
    examples: list[Example] = []
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    where = ""
    for row in rows:
        where = row.where
        try:
            example = build(row)
        except RowProblem as error:
            problems.append(error.problem)
            continue
        if example is None:
            continue
        if example.example_id in seen:
            first = seen[example.example_id]
            problems.append(Problem(row.where, f"its id is the one of {first}", "Remove one of the two, or rename it."))
            continue
        if example.options and not set(example.targets) <= set(example.options):
            labels = ", ".join(example.options)
            problems.append(Problem(row.where, f"the answer is none of the options ({labels})", _SHAPE_REMEDY))
            continue
        seen[example.example_id] = row.where
        examples.append(example)
    if problems:
        raise BadInput(problems)
    if not examples:
        raise BadInput([Problem(where or "source", "no example could be read from it", _SHAPE_REMEDY)])
    return examples


def cluster_of(text: str) -> str:
    """A short, stable name for examples that share a text (a premise, an abstract) where the file gives them none."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
