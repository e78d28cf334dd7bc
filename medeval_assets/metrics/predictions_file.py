"""Predictions file: answers that any tool produced, one JSON object a line."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from medeval_assets.errors import BadInput, Problem
from medeval_assets.sources.source_folder import Row, RowProblem, SourceFile

MOST_SHOWN = 20
FINISH_REASONS = ("stop", "length")

_REMEDY = 'Write lines like {"example_id": "…", "text": "…"}; `medeval prompts` prints the ids.'
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Prediction:
    """What a tool returned for one example.

    finish_reason: "stop", or "length" where the answer was cut.
    prompt_sha256: hash of the prompt it was asked with, as `medeval prompts` prints it; "" where that is not known.
    """

    example_id: str
    text: str
    finish_reason: str = "stop"
    prompt_sha256: str = ""


@dataclass(frozen=True)
class PredictionsFile:
    """A file that passed all checks. sha256: of its bytes. predictions: in the file's order."""

    sha256: str
    predictions: tuple[Prediction, ...]


def read_predictions(path: Path, known: Collection[str] | None = None) -> PredictionsFile:
    """The file's predictions.

    A line is an object with `example_id` and `text`, and may have `finish_reason` ("stop" or "length") and
    `prompt_sha256`; null is the same as absent, and other fields are passed over. An empty text is an answer. Half a
    character (a lone surrogate), which no file can hold, becomes U+FFFD.

    known: ids of the examples there are; None takes any.

    BadInput with every line that is no such object, has an id that is unknown or was there before, or a value of
    another type: the first `MOST_SHOWN` of them, and how many more there are. No message quotes a prediction.
    """
    file = SourceFile(path)
    seen: dict[str, str] = {}
    predictions: list[Prediction] = []
    problems: list[Problem] = []
    for line in file.each_json_line():
        if isinstance(line, Problem):
            problems.append(line)
            continue
        try:
            prediction = _prediction(line)
            _require_new(prediction.example_id, line.where, known, seen)
        except RowProblem as error:
            problems.append(error.problem)
        else:
            predictions.append(prediction)
    if problems:
        raise BadInput(_shown(file.name, problems))
    return PredictionsFile(file.record.sha256, tuple(predictions))


def _prediction(row: Row) -> Prediction:
    example_id, text = row.text("example_id"), row.field("text")
    if not isinstance(text, str):
        raise RowProblem(f"{row.where} text", f"expected a string, found {type(text).__name__}", _REMEDY)
    finish_reason = row.values.get("finish_reason")
    if finish_reason not in (None, *FINISH_REASONS):
        remedy = "Leave the field out where neither is meant."
        raise RowProblem(f"{row.where} finish_reason", f"expected {' or '.join(FINISH_REASONS)}", remedy)
    prompt_sha256 = row.values.get("prompt_sha256")
    if prompt_sha256 is not None and not (isinstance(prompt_sha256, str) and _SHA256.fullmatch(prompt_sha256)):
        remedy = "Copy it from `medeval prompts`, or leave the field out where another prompt was used."
        raise RowProblem(f"{row.where} prompt_sha256", "expected 64 hexadecimal digits", remedy)
    return Prediction(example_id, _HALF_A_CHARACTER.sub("\ufffd", text), finish_reason or "stop", prompt_sha256 or "")


def _require_new(example_id: str, where: str, known: Collection[str] | None, seen: dict[str, str]) -> None:
    if known is not None and example_id not in known:
        raise RowProblem(f"{where} example_id", "no scored example has this id", _REMEDY)
    if example_id in seen:
        raise RowProblem(f"{where} example_id", f"it repeats the id of {seen[example_id]}", "Keep one of the two.")
    seen[example_id] = where


def _shown(name: str, problems: list[Problem]) -> list[Problem]:
    more = len(problems) - MOST_SHOWN
    if more <= 0:
        return problems
    return [*problems[:MOST_SHOWN], Problem(name, f"and {more} more lines like these", "Mend these first.")]
