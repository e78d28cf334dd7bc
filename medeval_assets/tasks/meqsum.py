"""MeQSum: a consumer's health question, put into one short question."""

from __future__ import annotations

from pathlib import Path

from medeval_assets.catalog.task_spec import (
    Access,
    ClueWording,
    Decoding,
    Download,
    Example,
    Group,
    Output,
    Shots,
    TaskSpec,
)
from medeval_assets.metrics.clue_text import text_ladders
from medeval_assets.metrics.rouge import ROUGE
from medeval_assets.sources.source_folder import Row, SourceFolder, examples_from

FILE_NAME = "MeQSum_ACL2019_BenAbacha_Demner-Fushman.xlsx"
LICENCE = "CC BY 4.0"


def read(folder: SourceFolder) -> list[Example]:
    """Read `File` (the id), `CHQ` and `Summary` from the workbook's first sheet. Other columns may stand by."""
    return examples_from(folder.one(FILE_NAME, "*.xlsx").xlsx(["File", "CHQ", "Summary"]), _example)


def _example(row: Row) -> Example:
    name = row.text("File")
    return Example(
        example_id=name,
        cluster_id=name,
        inputs={"question": row.text("CHQ")},
        targets=(row.text("Summary"),),
    )


TASKS = (
    TaskSpec(
        name="meqsum",
        title="MeQSum",
        about="Summarising consumer health questions as one question",
        group=Group.LEVEL_1,
        output=Output.TEXT,
        access=Access.PUBLIC,
        licence=LICENCE,
        homepage="https://github.com/abachaa/MeQSum",
        folder="meqsum",
        read=read,
        template=Path(__file__).with_suffix(".jinja"),
        decoding=Decoding(max_new_tokens=200),
        metrics=(*ROUGE, *text_ladders(ROUGE, "meqsum")),
        shots=Shots(3),
        downloads=(
            Download(
                url=f"https://github.com/abachaa/MeQSum/raw/master/{FILE_NAME}",
                file_name=FILE_NAME,
                sha256="abedd939d5014306ca576522416bf69103e85dc8fcf1668a4099e8b84a39eeea",
                licence=LICENCE,
            ),
        ),
        clue=ClueWording(
            script="eval/eval_meqsum.py",
            inputs={"CHQ": "inputs.question"},
            answer={"Summary": "targets[0]"},
        ),
    ),
)
