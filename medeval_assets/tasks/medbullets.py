"""MedBullets: vignettes in the style of the licensing examination's second and third step."""

from __future__ import annotations

from pathlib import Path

from medeval_assets.catalog.task_spec import Access, Decoding, Download, Example, Group, Output, TaskSpec
from medeval_assets.errors import BadInput, Problem
from medeval_assets.metrics.accuracy import CHOICE
from medeval_assets.sources.lettered_options import options_in_fields, right_letter
from medeval_assets.sources.source_folder import Row, SourceFile, SourceFolder, cluster_of, examples_from

COLUMNS = ("link", "question", "opa", "opb", "opc", "opd", "answer_idx")


def read(folder: SourceFolder) -> list[Example]:
    """Read `medbullets_op4.json`, column-oriented (`{column: {"0": value, …}}`), or the csv of these columns.

    The file with five options (`ope`) holds the same 308 questions made harder; it is read where it is alone.
    The link is the example's id, the same in all four files. Ten vignettes occur under two links; they share
    a cluster.
    """
    file = folder.one("medbullets_op4.json", "medbullets_op4.csv", "*.json", "*.csv")
    return examples_from(_rows(file) if file.name.endswith(".json") else file.csv(COLUMNS), _example)


def _rows(file: SourceFile) -> list[Row]:
    columns = file.json()
    if not isinstance(columns, dict) or not all(isinstance(column, dict) for column in columns.values()):
        remedy = 'Its shape is `{column: {"0": value, …}, …}`.'
        raise BadInput([Problem(file.name, "expected an object of columns", remedy)])
    missing = [name for name in COLUMNS if not columns.get(name)]
    if missing:
        remedy = "The file may be truncated or another one: get it again from its owner."
        raise BadInput([Problem(file.name, f"the columns {', '.join(missing)} are missing or empty", remedy)])
    keys = dict.fromkeys(key for column in columns.values() for key in column)
    return [
        Row(f"{file.name}:{key}", {name: column[key] for name, column in columns.items() if key in column})
        for key in keys
    ]


def _example(row: Row) -> Example:
    question = row.text("question")
    options = options_in_fields(row, ("opa", "opb", "opc", "opd", "ope"), least=4)
    return Example(
        example_id=row.text("link"),
        cluster_id=cluster_of(question),
        inputs={"question": question},
        targets=(right_letter(f"{row.where} answer_idx", row.optional_text("answer_idx"), options),),
        options=options,
    )


TASKS = (
    TaskSpec(
        name="medbullets",
        title="MedBullets",
        about="Open vignettes in the style of USMLE step 2 and 3, with four options",
        group=Group.KNOWLEDGE,
        output=Output.CHOICE,
        access=Access.PUBLIC,
        licence="Not stated: see the owner's page",
        homepage="https://github.com/HanjieChen/ChallengeClinicalQA",
        folder="medbullets",
        read=read,
        template=Path(__file__).with_suffix(".jinja"),
        decoding=Decoding(max_new_tokens=20),
        metrics=CHOICE,
        downloads=(
            Download(
                url="https://raw.githubusercontent.com/HanjieChen/ChallengeClinicalQA/main/medbullets/medbullets_op4.json",
                file_name="medbullets_op4.json",
                sha256="1e1581c1b8d2f79735e71b8d07d0210a829087aac18e078dadc2ec2cb42ed68b",
                licence="Not stated: see the owner's page",
            ),
        ),
    ),
)
