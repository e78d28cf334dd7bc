"""Predictions file: answers that any tool produced, one JSON object a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medeval_assets.catalog.task_spec import Example
from medeval_assets.errors import BadInput, Problem
from medeval_assets.sources.source_folder import Row, RowProblem, SourceFile

_REMEDY = 'Write lines like {"example_id": "…", "text": "…"}; `medeval dataset` prints the ids.'


def read_predictions(path: Path, examples: Sequence[Example]) -> list[dict[str, Any]]:
    """Rows for `score` (example_id, text, finish_reason, option_logprobs), in the file's order.

    All problems are reported together: a missing field, a text that is no string, an id that is unknown or there twice.
    An empty text is an answer. Predictions for examples that are not scored are refused as unknown.
    """
    known = {example.example_id for example in examples if example.split == "test"}
    seen: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for row in SourceFile(path).json_lines():
        try:
            rows.append(_prediction(row, known, seen))
        except RowProblem as error:
            problems.append(error.problem)
    if problems:
        raise BadInput(problems)
    if not rows:
        raise BadInput([Problem(path.name, "it holds no prediction", _REMEDY)])
    return rows


def _prediction(row: Row, known: set[str], seen: dict[str, str]) -> dict[str, Any]:
    example_id, text = row.text("example_id"), row.field("text")
    if not isinstance(text, str):
        raise RowProblem(f"{row.where} text", f"expected a string, found {type(text).__name__}", _REMEDY)
    if example_id not in known:
        raise RowProblem(f"{row.where} example_id", "no scored example has this id", _REMEDY)
    if example_id in seen:
        raise RowProblem(f"{row.where} example_id", f"it repeats the id of {seen[example_id]}", "Keep one of the two.")
    seen[example_id] = row.where
    # A lone surrogate is no text that a file can hold; it becomes the replacement character, as in any decoder.
    clean = text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text
    return {
        "example_id": example_id,
        "text": clean,
        "finish_reason": "stop",
        "option_logprobs": [],
        "prompt_sha256": "",
        "fitting": "",
    }
