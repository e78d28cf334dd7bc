"""Problem Summary (BioNLP 2023, task 1A): a hospital patient's problems, from parts of a progress note."""

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
from medeval_assets.sources.source_folder import Row, RowProblem, SourceFolder, examples_from


def read(folder: SourceFolder) -> list[Example]:
    """Read `Subjectives`, `Assessment` and `Summary` from a csv; `File ID` is the id where there is one.

    The reference is the problems of `Summary`, which `;` separates, joined by `, `; empty ones are dropped.
    """
    rows = folder.one("BioNLP2023-1A-Test.csv", "*.csv").csv(["Subjectives", "Assessment", "Summary"])
    return examples_from(rows, _example)


def _example(row: Row) -> Example:
    subjective, assessment = row.optional_text("Subjectives"), row.optional_text("Assessment")
    if not subjective and not assessment:
        raise RowProblem(f"{row.where} Assessment", "both it and Subjectives are empty")
    problems = [item.strip() for item in row.text("Summary").split(";") if item.strip()]
    if not problems:
        raise RowProblem(f"{row.where} Summary", "it lists no problem")
    name = row.optional_text("File ID") or f"line-{row.where.rpartition(':')[2]}"
    return Example(
        example_id=name,
        cluster_id=name,
        inputs={"subjective": subjective, "assessment": assessment},
        targets=(", ".join(problems),),
    )


TASKS = (
    TaskSpec(
        name="problem_summary",
        title="Problem Summary",
        about="Listing a hospital patient's active problems from a progress note",
        group=Group.LEVEL_1,
        output=Output.TEXT,
        access=Access.CREDENTIALED,
        licence="PhysioNet Credentialed Health Data License 1.5.0",
        homepage="https://physionet.org/content/bionlp-workshop-2023-task-1a/2.0.0/",
        folder="problem_summary",
        read=read,
        template=Path(__file__).with_suffix(".jinja"),
        decoding=Decoding(max_new_tokens=100),
        metrics=(*ROUGE, *text_ladders(ROUGE, "problem_summary")),
        shots=Shots(3),
        clue=ClueWording(
            script="eval/eval_ProblemSummary.py",
            inputs={"Subjectives": "inputs.subjective", "Assessment": "inputs.assessment"},
            answer={"Summary": "targets[0]"},
        ),
    ),
)
