"""MedNLI: does a sentence from a clinical note entail, contradict or leave open a hypothesis?"""

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
from medeval_assets.metrics.accuracy import LABEL
from medeval_assets.metrics.clue_accuracy import MEDNLI
from medeval_assets.sources.source_folder import Row, RowProblem, SourceFolder, cluster_of, examples_from

LABELS = ("entailment", "contradiction", "neutral")


def read(folder: SourceFolder) -> list[Example]:
    """Read `mli_test_v1.jsonl`: one object a line with `sentence1`, `sentence2`, `gold_label`."""
    return examples_from(folder.one("mli_test*.jsonl", "*.jsonl").json_lines(), _example)


def _example(row: Row) -> Example:
    label = row.text("gold_label").lower()
    if label not in LABELS:
        raise RowProblem(f"{row.where} gold_label", f"expected one of {', '.join(LABELS)}")
    line = row.where.rpartition(":")[2]
    premise = row.text("sentence1")
    return Example(
        example_id=row.optional_text("pairID") or f"line-{line}",
        cluster_id=cluster_of(premise),
        inputs={"premise": premise, "hypothesis": row.text("sentence2")},
        targets=(label,),
        options={label: label for label in LABELS},
    )


TASKS = (
    TaskSpec(
        name="mednli",
        title="MedNLI",
        about="Natural language inference on sentences from clinical notes",
        group=Group.LEVEL_1,
        output=Output.LABEL,
        access=Access.CREDENTIALED,
        licence="PhysioNet Credentialed Health Data License 1.5.0",
        homepage="https://physionet.org/content/mednli/1.0.0/",
        folder="mednli",
        read=read,
        template=Path(__file__).with_suffix(".jinja"),
        decoding=Decoding(max_new_tokens=20),
        metrics=(*LABEL, *MEDNLI),
        shots=Shots(3),
        clue=ClueWording(
            script="eval/eval_mednli.py",
            inputs={"sentence1": "inputs.premise", "sentence2": "inputs.hypothesis"},
            answer={"gold_label": "target"},
        ),
    ),
)
