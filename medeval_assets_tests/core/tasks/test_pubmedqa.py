"""PubMedQA: the sample, the real file with its official split, and what a bad file is told."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from medeval_assets.prompts.project_wording import ProjectWording
from medeval_assets.sources.source_folder import SourceFolder
from medeval_assets.tasks.pubmedqa import TASKS
from medeval_assets_tests.core.tasks.raw_files import SECRET, folder_of, refusals, sample_of
from medeval_assets_tests.real_data import SHARED_DATA, needs_real_data

(TASK,) = TASKS
NAME, OFFICIAL = "ori_pqal.json", "test_ground_truth.json"


def record(**changes: object) -> dict[str, object]:
    values = {
        "QUESTION": "Does it help?",
        "CONTEXTS": ["We asked.", " It did. "],
        "LABELS": ["AIM", "RESULTS"],
        "final_decision": "yes",
        "LONG_ANSWER": SECRET,
    } | changes
    return {name: value for name, value in values.items() if value is not None}


def file_of(**records: object) -> str:
    return json.dumps({name.removeprefix("pmid"): value for name, value in records.items()})


def test_the_sample_scores_its_ground_truth_alone(tmp_path: Path) -> None:
    examples = sample_of(TASK, tmp_path)
    assert all(example.example_id.startswith("synthetic") for example in examples)
    splits = Counter(example.split for example in examples)
    assert splits["test"] >= 12
    assert splits["dev"] >= 1
    assert {example.targets[0] for example in examples if example.split == "test"} == {"yes", "no", "maybe"}


@needs_real_data
def test_the_real_file_has_500_examples_in_its_official_test_split() -> None:
    examples = TASK.read(SourceFolder(SHARED_DATA / "pubmedqa", synthetic=False))
    assert Counter(example.split for example in examples) == {"test": 500, "dev": 500}
    answers = Counter(example.targets[0] for example in examples if example.split == "test")
    truth = json.loads((SHARED_DATA / "pubmedqa" / OFFICIAL).read_text(encoding="utf-8"))
    assert answers == Counter(truth.values())
    assert all(example.example_id.isdecimal() for example in examples)


@needs_real_data
def test_the_real_files_are_the_ones_that_are_downloaded() -> None:
    folder = SourceFolder(SHARED_DATA / "pubmedqa", synthetic=False)
    TASK.read(folder)
    assert {record.name: record.sha256 for record in folder.used} == {
        download.file_name: download.sha256 for download in TASK.downloads
    }


def test_without_the_official_split_every_example_is_scored(tmp_path: Path) -> None:
    (tmp_path / "split").mkdir()
    text = "\ufeff" + file_of(pmid11=record(), pmid12=record(final_decision="Maybe")).replace(", ", ",\r\n")
    first, second = TASK.read(folder_of(tmp_path, {NAME: text}))
    assert (first.example_id, first.cluster_id, first.split, second.split) == ("11", "11", "test", "test")
    assert (first.targets, second.targets) == (("yes",), ("maybe",))
    files = {NAME: text, OFFICIAL: '{"12": "maybe"}'}
    assert [example.split for example in TASK.read(folder_of(tmp_path / "split", files))] == ["dev", "test"]


def test_the_conclusion_is_not_shown_and_the_answer_is_a_word(tmp_path: Path) -> None:
    (example,) = TASK.read(folder_of(tmp_path, {NAME: file_of(pmid1=record())}))
    wording = ProjectWording(TASK)
    assert SECRET not in wording.user(example)
    assert "We asked.\nIt did.\n\nQuestion: Does it help?" in wording.user(example)
    assert [wording.answer(example, word) for word in example.options] == ["yes", "no", "maybe"]


GOOD = file_of(pmid1=record())


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "no file named like ori_pqal*.json"),
        ({NAME: ""}, f"{NAME}: the file is empty"),
        ({NAME: GOOD[:-20]}, f"{NAME}:1: not valid JSON"),
        ({NAME: GOOD.encode()[:-2] + b"\xe9"}, f"{NAME}:1: byte 0xe9 is not UTF-8"),
        ({NAME: "[]"}, f"{NAME}: expected an object with a key for each pmid, found list"),
        ({NAME: "{}"}, f"{NAME}: expected an object with a key for each pmid, found an empty one"),
        ({NAME: file_of(pmid1=SECRET)}, f"{NAME}:1: expected an object, found str"),
        ({NAME: file_of(pmid1=record(QUESTION=None))}, f"{NAME}:1 QUESTION: the field is missing"),
        ({NAME: file_of(pmid1=record(CONTEXTS=SECRET))}, f"{NAME}:1 CONTEXTS: expected a list of texts"),
        ({NAME: file_of(pmid1=record(CONTEXTS=[]))}, f"{NAME}:1 CONTEXTS: expected a list of texts"),
        ({NAME: file_of(pmid1=record(final_decision=None))}, f"{NAME}:1 final_decision: the field is missing"),
        ({NAME: file_of(pmid1=record(final_decision=SECRET))}, f"{NAME}:1 final_decision: the answer is none"),
        ({NAME: GOOD, OFFICIAL: '["1"]'}, f"{OFFICIAL}: expected an object with a key for each pmid"),
        ({NAME: GOOD, OFFICIAL: '{"1": "yes", "2": "no"}'}, f"{OFFICIAL}: 1 of its 2 ids are not in {NAME} (2)"),
        ({NAME: '{"1": 1, "1": 2}'}, f"{NAME}:1: an object has the same key twice"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, files: dict[str, str | bytes], complaint: str) -> None:
    (told,) = refusals(TASK, tmp_path, files)
    assert complaint in told
