"""MedQA: questions of the United States medical licensing examination."""

from __future__ import annotations

from pathlib import Path

from medeval_assets.catalog.task_spec import Access, Decoding, Example, Group, Output, Shots, TaskSpec
from medeval_assets.metrics.accuracy import CHOICE
from medeval_assets.sources.json_records import json_records, position
from medeval_assets.sources.lettered_options import options_in_object, right_letter
from medeval_assets.sources.source_folder import Row, SourceFolder, examples_from


def read(folder: SourceFolder) -> list[Example]:
    """Read `test.jsonl`: one object a line with `question`, `options` {A: …}, `answer_idx`.

    The owners' files (five options; four in those with `metamap_phrases`) name no ids, so the line serves.
    The unified form that circulates, `realidx, question, options, answer_idx, answer`, names them.
    """
    return examples_from(json_records(folder.one("test.json*", "*test*.json*", "*.json*")), _example)


def _example(row: Row) -> Example:
    options = options_in_object(row, "options")
    example_id = row.optional_text("realidx") or position(row)
    return Example(
        example_id=example_id,
        cluster_id=example_id,
        inputs={"question": row.text("question")},
        targets=(right_letter(f"{row.where} answer_idx", row.optional_text("answer_idx"), options),),
        options=options,
    )


TASKS = (
    TaskSpec(
        name="medqa",
        title="MedQA",
        about="Questions of the United States medical licensing examination",
        group=Group.KNOWLEDGE,
        output=Output.CHOICE,
        access=Access.PUBLIC,
        licence="MIT",
        homepage="https://github.com/jind11/MedQA",
        folder="medqa",
        read=read,
        template=Path(__file__).with_suffix(".jinja"),
        decoding=Decoding(max_new_tokens=20),
        metrics=CHOICE,
        shots=Shots(3),
    ),
)
