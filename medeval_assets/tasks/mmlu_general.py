"""MMLU without its medical subjects: the control that shows what a model forgot while it learned medicine."""

from __future__ import annotations

from pathlib import Path

from medeval_assets.catalog.task_spec import Access, Decoding, Example, Group, Output, Shots, TaskSpec
from medeval_assets.errors import BadInput, Problem
from medeval_assets.metrics.accuracy import CHOICE
from medeval_assets.sources.lettered_options import options_in_fields, right_letter
from medeval_assets.sources.source_folder import Row, RowProblem, SourceFolder, examples_from

MEDICAL = frozenset(
    {
        "anatomy",
        "clinical_knowledge",
        "college_biology",
        "college_medicine",
        "high_school_biology",
        "human_aging",
        "human_sexuality",
        "medical_genetics",
        "nutrition",
        "professional_medicine",
        "professional_psychology",
        "virology",
    }
)
"""Left out: medicine, the biology under it, clinical psychology. Tuning on biomedical text teaches these."""

COLUMNS = ("question", "A", "B", "C", "D", "answer")


def read(folder: SourceFolder) -> list[Example]:
    """Read every `<subject>_test.csv` and, for the shots, `<subject>_dev.csv`.

    They lie in the folder or in its `test/` and `dev/`, and have no header: question, four options, the
    answer's letter. The files of `MEDICAL` subjects are not opened.
    """
    rows: list[Row] = []
    for subject in _subjects(folder):
        files = (
            folder.one(f"{subject}_test.csv", f"test/{subject}_test.csv"),
            folder.optional(f"{subject}_dev.csv", f"dev/{subject}_dev.csv"),
        )
        for file in filter(None, files):
            rows += [Row(f"{file.name}:{line}", cells) for line, cells in file.csv_records()]
    return examples_from(rows, _example)


def _subjects(folder: SourceFolder) -> list[str]:
    paths = [*folder.path.glob("*_test.csv"), *folder.path.glob("test/*_test.csv")]
    names = {path.name.removesuffix("_test.csv") for path in paths if not path.name.startswith(".")}
    if not names - MEDICAL:
        what = "no file named like *_test.csv of a subject that is not medical"
        remedy = "Put the files of MMLU there, or remove the folder to use the bundled samples."
        raise BadInput([Problem(f"{folder.path.name}/", what, remedy)])
    return sorted(names - MEDICAL)


def _example(row: Row) -> Example:
    if len(row.values) != len(COLUMNS):
        what = f"expected a question, four options and a letter, found {len(row.values)} fields"
        raise RowProblem(row.where, what)
    named = Row(row.where, dict(zip(COLUMNS, row.values, strict=True)))
    name, _, line = row.where.rpartition(":")
    subject, _, split = Path(name).stem.rpartition("_")
    options = options_in_fields(named, COLUMNS[1:5], least=4)
    example_id = f"{subject}/{line}" if split == "test" else f"{subject}/{split}/{line}"
    return Example(
        example_id=example_id,
        cluster_id=example_id,
        inputs={"subject": subject.replace("_", " "), "question": named.text("question")},
        targets=(right_letter(f"{row.where} answer", named.optional_text("answer"), options),),
        options=options,
        split=split,
    )


TASKS = (
    TaskSpec(
        name="mmlu_general",
        title="MMLU, non-medical subjects",
        about="General knowledge, to show what tuning on medicine made a model forget",
        group=Group.CONTROL,
        output=Output.CHOICE,
        access=Access.PUBLIC,
        licence="MIT",
        homepage="https://github.com/hendrycks/test",
        folder="mmlu_general",
        read=read,
        template=Path(__file__).with_suffix(".jinja"),
        decoding=Decoding(max_new_tokens=16),
        metrics=CHOICE,
        shots=Shots(3),
    ),
)
