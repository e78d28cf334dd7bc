"""MeDiSumCode: the ICD-10-CM codes of the diagnoses in a discharge letter."""

from __future__ import annotations

import re
from pathlib import Path

from medeval_assets.catalog.task_spec import (
    Access,
    ClueWording,
    Decoding,
    Example,
    Group,
    Output,
    Shots,
    TaskSpec,
)
from medeval_assets.metrics.clue_icd10 import MEDISUMCODE
from medeval_assets.metrics.icd10 import ICD10
from medeval_assets.sources.json_records import json_records, position
from medeval_assets.sources.source_folder import Row, RowProblem, SourceFolder, examples_from

# A letter, a digit, a digit or letter, then up to four more: https://www.cdc.gov/nchs/icd/icd-10-cm/index.html
_SHAPE = re.compile(r"[A-Z][0-9][0-9A-Z]{1,5}")


def read(folder: SourceFolder) -> list[Example]:
    """Read `text` and `icd_codes` (a list of objects with `code`) from a JSON array or JSON lines.

    `hadm_id` is the id where there is one. Codes keep their order, in upper case, without dots, each once.
    A letter whose list of codes is empty is left out: nothing is known about it that could be scored.
    """
    return examples_from(json_records(folder.one("*.json", "*.jsonl")), _example)


def _example(row: Row) -> Example | None:
    codes = _codes(row)
    letter = row.text("text")
    if not codes:
        return None
    name = row.optional_text("hadm_id") or position(row)
    return Example(example_id=name, cluster_id=name, inputs={"letter": letter}, targets=tuple(codes))


def _codes(row: Row) -> list[str]:
    entries = row.field("icd_codes")
    if not isinstance(entries, list):
        raise RowProblem(f"{row.where} icd_codes", f"expected a list, found {type(entries).__name__}")
    codes: list[str] = []
    for number, entry in enumerate(entries, 1):
        where = f"{row.where} icd_codes[{number}]"
        code = Row(where, entry).text("code").replace(".", "").upper()
        if not _SHAPE.fullmatch(code):
            raise RowProblem(f"{where} code", "not shaped like an ICD-10-CM code")
        codes.append(code)
    return list(dict.fromkeys(codes))


TASKS = (
    TaskSpec(
        name="medisumcode",
        title="MeDiSumCode",
        about="Coding the diagnoses of a discharge letter in ICD-10-CM",
        group=Group.LEVEL_2,
        output=Output.CODES,
        access=Access.CREDENTIALED,
        licence="PhysioNet Credentialed Health Data License 1.5.0",
        homepage="https://github.com/TIO-IKIM/CLUE",
        folder="medisumcode",
        read=read,
        template=Path(__file__).with_suffix(".jinja"),
        decoding=Decoding(max_new_tokens=200),
        metrics=(*ICD10, *MEDISUMCODE),
        shots=Shots(1),
        clue=ClueWording(
            script="eval/eval_MeDiSumCode.py",
            inputs={"text": "inputs.letter"},
            answer={"codes": "targets | join(', ')"},
        ),
    ),
)
