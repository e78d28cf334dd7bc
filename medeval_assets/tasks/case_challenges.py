"""NEJM and JAMA case challenges: a published case, what is wrong with the patient or what to do next?

The cases are copyrighted and do not come with the project. Who has access to them can hold them in two forms.
"""

from __future__ import annotations

from pathlib import Path

from medeval_assets.catalog.task_spec import Access, Decoding, Example, Group, Output, TaskSpec
from medeval_assets.metrics.accuracy import CHOICE
from medeval_assets.sources.json_records import json_records
from medeval_assets.sources.lettered_options import options_in_fields, right_letter
from medeval_assets.sources.source_folder import Row, SourceFolder, examples_from

SCRAPED = ("link", "question", "opa", "opb", "opc", "opd", "answer_idx")
OWN = ("case_id", "question", "option_a", "option_b", "answer")


def read(folder: SourceFolder) -> list[Example]:
    """Read `jama_raw.json`, `jama_raw.csv`, or else the folder's first json or csv file.

    The public JAMA scraper's json (a list of records) and csv: `link, question, opa … opd, diagnosis,
    answer_idx, answer, explanation, field`, where `question` is the case followed by what is asked and
    `answer_idx` is a letter. The link is the example's id: the json's running `id` shifts when an article
    could not be fetched, and the csv has none. Some cases refer to images, which the text does not show.

    The own csv, for cases written down by hand: a header and one case a line, with the columns
        case_id           any name that is unique in the file
        question          the case, followed by what is asked ("What is the diagnosis?")
        option_a … _f     two to six options; the last ones may be empty, or their columns left out
        answer            the letter of the right option
        specialty         optional, for the reader of the file: no model sees it
    """
    file = folder.one("jama_raw.json", "jama_raw.csv", "*.json", "*.csv")
    if file.name.endswith(".json"):
        return examples_from(json_records(file), _scraped)
    header = file.csv_records()[0][1]
    if "case_id" in header or "option_a" in header:
        return examples_from(file.csv(OWN), _own)
    return examples_from(file.csv(SCRAPED), _scraped)


def _scraped(row: Row) -> Example:
    link = row.text("link")
    options = options_in_fields(row, ("opa", "opb", "opc", "opd", "ope"), least=4)
    return _example(row, link, options, "answer_idx")


def _own(row: Row) -> Example:
    case_id = row.text("case_id")
    options = options_in_fields(row, [f"option_{letter}" for letter in "abcdef"], least=2)
    return _example(row, case_id, options, "answer")


def _example(row: Row, example_id: str, options: dict[str, str], answer: str) -> Example:
    return Example(
        example_id=example_id,
        cluster_id=example_id,
        inputs={"question": row.text("question")},
        targets=(right_letter(f"{row.where} {answer}", row.optional_text(answer), options),),
        options=options,
    )


TASKS = (
    TaskSpec(
        name="nejm",
        title="NEJM case challenges",
        about="What is the diagnosis? Published cases with five options",
        group=Group.CASES,
        output=Output.CHOICE,
        access=Access.COPYRIGHTED,
        licence="Copyright Massachusetts Medical Society; bring your own copy",
        homepage="https://www.nejm.org/case-challenges",
        folder="nejm",
        read=read,
        template=Path(__file__).with_suffix(".jinja"),
        decoding=Decoding(max_new_tokens=20),
        metrics=CHOICE,
    ),
    TaskSpec(
        name="jama",
        title="JAMA Clinical Challenge",
        about="What would you do next? Published cases with four options",
        group=Group.CASES,
        output=Output.CHOICE,
        access=Access.COPYRIGHTED,
        licence="Copyright American Medical Association; bring your own copy",
        homepage="https://jamanetwork.com/collections/44038/clinical-challenge",
        folder="jama",
        read=read,
        template=Path(__file__).with_suffix(".jinja"),
        decoding=Decoding(max_new_tokens=20),
        metrics=CHOICE,
    ),
)
