"""PubMedQA: does the abstract of a study answer the question in its title with yes, no or maybe?"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from medeval_assets.catalog.task_spec import Access, Decoding, Download, Example, Group, Output, TaskSpec
from medeval_assets.errors import BadInput, Problem
from medeval_assets.metrics.accuracy import CHOICE
from medeval_assets.sources.source_folder import Row, RowProblem, SourceFile, SourceFolder, examples_from

DECISIONS = ("yes", "no", "maybe")
_DATA = "https://raw.githubusercontent.com/pubmedqa/pubmedqa/master/data"


def read(folder: SourceFolder) -> list[Example]:
    """Read `ori_pqal.json`: `{pmid: {QUESTION, CONTEXTS, final_decision, …}}`.

    CONTEXTS are the abstract's sections without its conclusion (LONG_ANSWER), which is never shown. Where
    `test_ground_truth.json` lies beside it, its keys are the official test split and all others are "dev";
    without it every example is scored.
    """
    file = folder.one("ori_pqal*.json")
    records = _object(file)
    official = folder.optional("test_ground_truth.json")
    scored = set(records)
    if official is not None:
        scored = set(_object(official))
        lost = sorted(scored - records.keys())
        if lost:
            what = f"{len(lost)} of its {len(scored)} ids are not in {file.name} ({', '.join(lost[:3])})"
            raise BadInput([Problem(official.name, what, "Get both files again from their owner.")])
    rows = (Row(f"{file.name}:{pmid}", record) for pmid, record in records.items())
    return examples_from(rows, partial(_example, scored=scored))


def _object(file: SourceFile) -> dict[str, object]:
    content = file.json()
    if not isinstance(content, dict) or not content:
        found = "an empty one" if content == {} else type(content).__name__
        what = f"expected an object with a key for each pmid, found {found}"
        raise BadInput([Problem(file.name, what, "Get the file again from its owner.")])
    return content


def _example(row: Row, scored: set[str]) -> Example:
    pmid = row.where.partition(":")[2]
    decision = row.text("final_decision").lower()
    if decision not in DECISIONS:
        what = f"the answer is none of the options ({', '.join(DECISIONS)})"
        raise RowProblem(f"{row.where} final_decision", what)
    contexts = row.field("CONTEXTS")
    if not isinstance(contexts, list) or not contexts or not all(isinstance(text, str) for text in contexts):
        raise RowProblem(f"{row.where} CONTEXTS", "expected a list of texts")
    return Example(
        example_id=pmid,
        cluster_id=pmid,
        inputs={"question": row.text("QUESTION"), "abstract": "\n".join(text.strip() for text in contexts)},
        targets=(decision,),
        options={word: word for word in DECISIONS},
        split="test" if pmid in scored else "dev",
    )


TASKS = (
    TaskSpec(
        name="pubmedqa",
        title="PubMedQA",
        about="Yes, no or maybe: questions answered from the abstract of a study",
        group=Group.KNOWLEDGE,
        output=Output.CHOICE,
        access=Access.PUBLIC,
        licence="MIT",
        homepage="https://pubmedqa.github.io",
        folder="pubmedqa",
        read=read,
        template=Path(__file__).with_suffix(".jinja"),
        decoding=Decoding(max_new_tokens=16),
        metrics=CHOICE,
        # No shots: each would bring an abstract of some 250 words, more than the question it is to help with.
        downloads=(
            Download(
                url=f"{_DATA}/ori_pqal.json",
                file_name="ori_pqal.json",
                sha256="8b3276be8942ebbd77f3ddcda12c1749bf0e490045a736fd8438ee40cf37a41d",
                licence="MIT",
            ),
            Download(
                url=f"{_DATA}/test_ground_truth.json",
                file_name="test_ground_truth.json",
                sha256="939fe566f09017d13b1ca64d2ddfee0bc2374b366048152997669cccedc44d51",
                licence="MIT",
            ),
        ),
    ),
)
