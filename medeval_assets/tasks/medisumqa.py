"""MeDiSumQA: a patient's questions about their own discharge letter, answered in lay words."""

from __future__ import annotations

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
from medeval_assets.metrics.clue_text import text_ladders
from medeval_assets.metrics.rouge import ROUGE
from medeval_assets.sources.json_records import json_records, position
from medeval_assets.sources.source_folder import Row, SourceFolder, cluster_of, examples_from

# Of two letters in a record, the one without the part that the answers were made from is asked about.
_LETTER = ("without_discharge_summary", "discharge_summary")
_QUESTION = ("Question", "question")
_ANSWER = ("Answer", "answer")


def read(folder: SourceFolder) -> list[Example]:
    """Read letter, question and answer from a JSON array or JSON lines, under any spelling in circulation.

    These are `discharge_summary, Question, Answer`, `without_discharge_summary, Question, Answer` (June
    2024) and `discharge_summary, question, answer`. Questions about one letter are one cluster.
    """
    return examples_from(json_records(folder.one("*.json", "*.jsonl")), _example)


def _example(row: Row) -> Example:
    letter = _text(row, _LETTER)
    return Example(
        example_id=position(row),
        cluster_id=cluster_of(letter),
        inputs={"letter": letter, "question": _text(row, _QUESTION)},
        targets=(_text(row, _ANSWER),),
    )


def _text(row: Row, spellings: tuple[str, ...]) -> str:
    known = row.values if isinstance(row.values, dict) else {}
    return row.text(next((name for name in spellings if name in known), spellings[-1]))


TASKS = (
    TaskSpec(
        name="medisumqa",
        title="MeDiSumQA",
        about="Answering patients' questions about their discharge letters",
        group=Group.LEVEL_2,
        output=Output.TEXT,
        access=Access.CREDENTIALED,
        licence="PhysioNet Credentialed Health Data License 1.5.0",
        homepage="https://github.com/TIO-IKIM/CLUE",
        folder="medisumqa",
        read=read,
        template=Path(__file__).with_suffix(".jinja"),
        decoding=Decoding(max_new_tokens=200),
        metrics=(*ROUGE, *text_ladders(ROUGE, "medisumqa")),
        shots=Shots(1),
        clue=ClueWording(
            script="eval/eval_MeDiSumQA.py",
            inputs={"discharge_summary": "inputs.letter", "Question": "inputs.question"},
            answer={"Answer": "targets[0]"},
        ),
    ),
)
