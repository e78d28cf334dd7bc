"""MedMCQA: questions of Indian medical entrance examinations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from medeval_assets.catalog.task_spec import Access, Decoding, Example, Group, Output, Shots, TaskSpec
from medeval_assets.errors import BadInput, Problem
from medeval_assets.metrics.accuracy import CHOICE
from medeval_assets.sources.json_records import json_records, position
from medeval_assets.sources.lettered_options import (
    LETTERS,
    options_in_fields,
    options_in_object,
    right_letter,
)
from medeval_assets.sources.source_folder import Row, RowProblem, SourceFolder, examples_from

_UNANSWERED = {"", "-1"}


def read(folder: SourceFolder) -> list[Example]:
    """Read `dev.json`, or else the first jsonl or json file: one object a line.

    The owners' form is `id, question, opa … opd, cop` and more, where `cop` is the right option's number:
    from 1 in the owners' files, from 0 on the hub. The whole file decides: with a 0 it counts from 0, with a
    4 from 1; both or neither is refused, since a wrong guess would move every answer by one. The unified form
    is `realidx, question, options {A: …}, answer_idx`; a line with `answer_idx` needs no
    `cop`.

    The validation split is what is scored: the test split is published without answers.
    """
    file = folder.one("dev*.json*", "val*.json*", "*.jsonl", "*.json")
    rows = json_records(file)
    return examples_from(rows, partial(_example, lowest=_lowest(file.name, rows)))


def _cop(row: Row) -> str:
    value = row.values.get("cop") if isinstance(row.values, dict) else None
    return "" if value is None else str(value).strip().removesuffix(".0")


def _has_letter(row: Row) -> bool:
    return isinstance(row.values, dict) and "answer_idx" in row.values


def _lowest(name: str, rows: Sequence[Row]) -> int:
    """0 or 1: the number that stands for option A in this file."""
    first = {_cop(row): row.where for row in reversed(rows) if not _has_letter(row)}
    if not first:
        return 1
    if first.keys() <= _UNANSWERED:
        what = "no question has an answer (`cop`), as in the test split that the owners publish"
        raise BadInput([Problem(name, what, "Use the validation split, `dev.json`.")])
    remedy = "Use the whole split from one source, or give each line the right letter as `answer_idx`."
    if "0" in first and "4" in first:
        what = f"`cop` counts from 0 here and from 1 at {first['4']}"
        raise BadInput([Problem(f"{first['0']} cop", what, remedy)])
    if "0" not in first and "4" not in first:
        what = "`cop` is neither 0 nor 4 on any line, so it may count from 0 or from 1"
        raise BadInput([Problem(f"{name} cop", what, remedy)])
    return 0 if "0" in first else 1


def _example(row: Row, lowest: int) -> Example:
    question = row.text("question")
    options = (
        options_in_fields(row, ("opa", "opb", "opc", "opd"), least=2)
        if "opa" in row.values
        else options_in_object(row, "options")
    )
    example_id = row.optional_text("id") or row.optional_text("realidx") or position(row)
    field = "answer_idx" if _has_letter(row) else "cop"
    letter = row.optional_text(field) if _has_letter(row) else _letter(row, lowest)
    return Example(
        example_id=example_id,
        cluster_id=example_id,
        inputs={"question": question},
        targets=(right_letter(f"{row.where} {field}", letter, options),),
        options=options,
    )


def _letter(row: Row, lowest: int) -> str:
    number = _cop(row)
    if number in _UNANSWERED:
        return ""
    if number not in {str(lowest + place) for place in range(4)}:
        raise RowProblem(f"{row.where} cop", f"expected a number from {lowest} to {lowest + 3}")
    return LETTERS[int(number) - lowest]


TASKS = (
    TaskSpec(
        name="medmcqa",
        title="MedMCQA",
        about="Questions of Indian medical entrance examinations, validation split",
        group=Group.KNOWLEDGE,
        output=Output.CHOICE,
        access=Access.PUBLIC,
        licence="Apache-2.0",
        homepage="https://medmcqa.github.io",
        folder="medmcqa",
        read=read,
        template=Path(__file__).with_suffix(".jinja"),
        decoding=Decoding(max_new_tokens=20),
        metrics=CHOICE,
        shots=Shots(3),
    ),
)
