"""SourceFolder: a task's raw files, opened with errors that say file, line and field, and remembered."""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import json
import os
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medeval_assets.catalog.task_spec import Example
from medeval_assets.errors import BadInput, Problem

_SHAPE_REMEDY = "Compare it with the sample file of the same task under data/samples."
_TRUNCATED_REMEDY = "The file may be truncated or damaged: get it again from its owner."
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz", ".7z")
_LARGEST_WORKBOOK = 2 << 30
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What a file that is no text of ours begins with, in lower case.
_FOREIGN = {
    b"\x1f\x8b": ("is packed with gzip", "Unpack it."),
    b"pk\x03\x04": ("is a zip archive or a workbook", "Unpack it, or save it in the format its name promises."),
    b"\xff\xfe": ("is UTF-16 text", "Save it as UTF-8."),
    b"\xfe\xff": ("is UTF-16 text", "Save it as UTF-8."),
    b"<!doctype html": ("is a web page", "Its owner may want you to sign in: download the file itself."),
    b"<html": ("is a web page", "Its owner may want you to sign in: download the file itself."),
    b"version https://git-lfs": ("is a pointer of Git LFS", "Run `git lfs pull` where it comes from."),
}


@dataclass(frozen=True)
class SourceRecord:
    """One raw file that was read: its path inside the folder, its SHA-256 and its size in bytes."""

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
            raise RowProblem(f"{self.where} {name}", f"the field is missing{_near_misses([name], self.values)}")
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
    """One raw file, read once as bytes. place: its path inside the task's folder, which goes into its record."""

    def __init__(self, path: Path, place: str | None = None) -> None:
        self.name = path.name
        try:
            self._bytes = path.read_bytes()
        except OSError as error:
            raise self._bad(f"cannot be read ({error.strerror})", "Check its path and permissions.") from error
        if not self._bytes.removeprefix(_BYTE_ORDER_MARK).strip():
            raise self._bad("the file is empty", "Get it again from its owner.")
        self.record = SourceRecord(place or path.name, hashlib.sha256(self._bytes).hexdigest(), len(self._bytes))

    def _bad(self, what: str, remedy: str, at: str = "") -> BadInput:
        return BadInput([Problem(f"{self.name}{at}", what, remedy)])

    def string(self) -> str:
        """The whole file as UTF-8 text (a byte-order mark is dropped), newlines as `\\n`."""
        beginning = self._bytes.removeprefix(_BYTE_ORDER_MARK)[:64].lstrip().lower()
        for magic, (what, remedy) in _FOREIGN.items():
            if beginning.startswith(magic):
                raise self._bad(what, remedy)
        content = self._bytes.removeprefix(_BYTE_ORDER_MARK)
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            what = f"byte 0x{content[error.start]:02x} is not UTF-8"
            raise self._bad(what, "Save the file as UTF-8.", f":{line}") from error
        if "\0" in text:
            line = text[: text.index("\0")].count("\n") + 1
            raise self._bad("the file holds NUL characters", "Is it a text file? Save it as UTF-8.", f":{line}")
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def lines(self) -> list[str]:
        """The lines without their ends; a final newline makes no extra line."""
        return self.string().removesuffix("\n").split("\n")

    def json(self) -> Any:
        """The parsed JSON document; an object that has a key twice is refused, for one of its values would be lost."""
        return self._parsed(self.string(), 1)

    def json_lines(self) -> list[Row]:
        """One row a line; blank lines are passed over. All bad lines are reported together."""
        read = list(self.each_json_line())
        problems = [line for line in read if isinstance(line, Problem)]
        if problems:
            raise BadInput(problems)
        return [line for line in read if isinstance(line, Row)]

    def each_json_line(self) -> Iterator[Row | Problem]:
        """A row for every good line and a problem for every bad one, in order; blank lines are passed over."""
        for number, line in enumerate(self.lines(), 1):
            if not line.strip():
                continue
            try:
                yield Row(f"{self.name}:{number}", self._parsed(line, number))
            except BadInput as error:
                yield from error.problems

    def _parsed(self, text: str, first_line: int) -> Any:
        try:
            return json.loads(text, object_pairs_hook=_object)
        except json.JSONDecodeError as error:
            what, at = f"not valid JSON ({error.msg}, column {error.colno})", f":{first_line + error.lineno - 1}"
        except _RepeatedKeyError:
            what, at = "an object has the same key twice", f":{first_line}" if "\n" not in text else ""
        except RecursionError:
            what, at = "not valid JSON (nested too deeply)", f":{first_line}" if "\n" not in text else ""
        except ValueError:
            # Python refuses to read integers of thousands of digits.
            what, at = "not valid JSON (a number is too long)", f":{first_line}" if "\n" not in text else ""
        raise self._bad(what, _TRUNCATED_REMEDY, at)

    def csv(self, required: Sequence[str], delimiter: str = ",") -> list[Row]:
        """Rows of a CSV file with a header; a row with another number of fields than the header is an error."""
        (line, cells), *records = self.csv_records(delimiter)
        header = [cell.strip() for cell in cells]
        self._require_columns(header, required, line)
        if not records:
            raise self._bad("the file has a header and no rows", _TRUNCATED_REMEDY)
        problems = [
            Problem(f"{self.name}:{line}", f"{len(cells)} fields where the header has {len(header)}", _TRUNCATED_REMEDY)
            for line, cells in records
            if len(cells) != len(header)
        ]
        if problems:
            raise BadInput(problems)
        return [Row(f"{self.name}:{line}", dict(zip(header, cells, strict=True))) for line, cells in records]

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
        records = self._cells_of_first_sheet()
        if not records:
            raise self._bad("the first sheet is empty", _SHAPE_REMEDY)
        header = [str(cell).strip() if cell is not None else "" for cell in records[0]]
        self._require_columns(header, required, 1)
        rows = [
            Row(f"{self.name}:{line}", dict(zip(header, cells, strict=False)))
            for line, cells in enumerate(records[1:], 2)
            if any(cell is not None for cell in cells)
        ]
        if not rows:
            raise self._bad("the file has a header and no rows", _TRUNCATED_REMEDY)
        return rows

    def _cells_of_first_sheet(self) -> list[list[Any]]:
        import openpyxl

        records: list[list[Any]] | None
        try:
            with zipfile.ZipFile(io.BytesIO(self._bytes)) as archive:
                size = sum(entry.file_size for entry in archive.infolist())
            if size > _LARGEST_WORKBOOK:
                raise self._bad(f"unpacks to {size} bytes, more than a dataset needs", _TRUNCATED_REMEDY)
            # openpyxl's warnings may quote cells.
            with warnings.catch_warnings(action="ignore"):
                book = openpyxl.load_workbook(io.BytesIO(self._bytes), read_only=True, data_only=True)
                records = [list(cells) for cells in book.worksheets[0].iter_rows(values_only=True)]
        except BadInput:
            raise
        except Exception:
            # It raises whatever its parsers raise, and that may quote cells too.
            records = None
        if records is None:
            raise self._bad("not a readable Excel workbook (.xlsx)", _TRUNCATED_REMEDY)
        return records

    def _require_columns(self, header: Sequence[str], required: Sequence[str], line: int) -> None:
        missing = [column for column in required if column not in header]
        if missing:
            what = f"the columns {', '.join(missing)} are missing{_near_misses(missing, header)}"
            raise self._bad(what, _SHAPE_REMEDY, f":{line}")
        repeated = [column for column in required if header.count(column) > 1]
        if repeated:
            raise self._bad(f"the columns {', '.join(repeated)} occur twice", _SHAPE_REMEDY, f":{line}")


class _RepeatedKeyError(Exception):
    """A JSON object has a key twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise _RepeatedKeyError
    return values


def _near_misses(wanted: Iterable[str], found: Iterable[object]) -> str:
    """The names found that are spelt nearly like those wanted; others may be an example's text, and are not shown."""
    names = [str(name) for name in found]
    folded = {name.casefold(): name for name in names}
    close = [
        folded[match]
        for name in wanted
        for match in difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.75)
    ]
    return f" ({len(names)} found{''.join(f', {name!r} among them' for name in close)})"


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
            raise BadInput([self._none_named(patterns)])
        return found

    def _none_named(self, patterns: Sequence[str]) -> Problem:
        wanted = " or ".join(patterns)
        for pattern in patterns:
            for path in self._paths(pattern):
                what = "is a folder where a file is wanted" if path.is_dir() else "is no file, or a link to nowhere"
                return Problem(self._name(path), what, f"Put a file named like {wanted} there.")
            for suffix in _PACKED:
                for path in self._paths(pattern + suffix):
                    return Problem(self._name(path), "is packed", f"Unpack it to a file named like {wanted}.")
        remedy = "Put the file there under its owner's name, or remove the folder to use the bundled samples."
        return Problem(f"{self.path.name}/", f"no file named like {wanted}", remedy)

    def optional(self, *patterns: str) -> SourceFile | None:
        for pattern in patterns:
            files = self.all(pattern, most=1)
            if files:
                return files[0]
        return None

    def all(self, pattern: str, most: int | None = None) -> list[SourceFile]:
        """Every file that matches, by name; hidden files and README.md are no data."""
        paths = [path for path in self._paths(pattern) if path.is_file()]
        files = [SourceFile(path, self._name(path)) for path in paths[:most]]
        self.used += [file.record for file in files]
        return files

    def _paths(self, pattern: str) -> list[Path]:
        """What matches, by name. A folder that cannot be listed is an error, for `glob` would call it empty."""
        try:
            with os.scandir(self.path):
                paths = sorted(self.path.glob(pattern))
        except OSError as error:
            what = f"cannot be read as a folder ({error.strerror})"
            raise BadInput([Problem(f"{self.path.name}/", what, "Check that it is a folder you may read.")]) from error
        return [path for path in paths if _is_data(path.relative_to(self.path))]

    def _name(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()


def _is_data(path: Path) -> bool:
    return path.name != "README.md" and not any(part.startswith(".") for part in path.parts)


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
