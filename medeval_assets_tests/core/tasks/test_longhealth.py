"""LongHealth: which documents an example rests on, which letter is right, and what a bad file is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medeval_assets.catalog.task_spec import Example, TaskSpec
from medeval_assets.errors import BadInput
from medeval_assets.prompts.fitting import Fitted, fit
from medeval_assets.prompts.project_wording import ProjectWording
from medeval_assets.prompts.prompt_set import prompt_set
from medeval_assets.settings import Settings
from medeval_assets.sources.source_folder import SourceFolder
from medeval_assets.tasks.longhealth import TASKS
from medeval_assets_tests.core.prompts.test_fitting import Words

SAMPLES = Settings(home=Path(), sources=Path()).samples / "longhealth"
FIRST, SECOND, THIRD = TASKS

# Read off the letters by hand, one letter a question.
RIGHT = {
    "patient_01": "DBEA",  # cycle 4; 6 May to 14 June is 25 + 14 days; the infected wound was in 2021; ramipril
    "patient_02": "CDBAE",  # gynaecomastia; 9 March 2022 to 17 October 2023; effusion in 2023; 13 + 27 days; INR
    "patient_03": "BECA",  # urticaria; 2.61 l - 2.21 l; mycophenolate twice; no perfusion defects
    "patient_04": "CDAE",  # day +11; 20 May 2019 to 4 October 2021; del(17p); no neurotoxicity
}
# Of patient_01/q01/s0. They are pinned since published prompts must stay what they were.
PINNED_DRAW = [
    f"patient_0{number}/text_{text}"
    for number, text in [(2, 3), (2, 4), (3, 2), (4, 0), (2, 1), (4, 1), (3, 1), (4, 3), (3, 3), (2, 2)]
]
PINNED_ORDER = tuple(f"patient_01/text_{text}" for text in (2, 3, 1, 0))
LETTERS = {"patient_01": 4, "patient_02": 5, "patient_03": 4, "patient_04": 4}


def samples(task: TaskSpec) -> list[Example]:
    return task.read(SourceFolder(SAMPLES, synthetic=True))


def patient(**changes: Any) -> dict[str, Any]:
    """A small patient with one question, some of its fields changed."""
    question: dict[str, Any] = {
        "question": "Which dose?",
        **dict(zip(["answer_a", "answer_b", "answer_c"], ["2.5 mg", "5 mg", "25 mg"], strict=True)),
        "answer_d": "50 mg a day",
        "answer_e": "None",
        "correct": "5 mg",
        "answer_location": {"text_1": {"start": [0.1], "end": [0.2]}},
    }
    texts = {"text_0": "First letter.", "text_1": "Second letter."}
    question |= {name: value for name, value in changes.items() if name not in {"texts", "questions"}}
    return {"texts": changes.get("texts", texts), "questions": changes.get("questions", [question])}


def read(tmp_path: Path, content: object, task: TaskSpec = FIRST) -> list[Example]:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    (tmp_path / "benchmark_v5.json").write_bytes(text)
    return task.read(SourceFolder(tmp_path, synthetic=False))


def ids(example: Example) -> list[str]:
    return [document.document_id for document in example.documents]


@pytest.mark.parametrize(
    ("task", "suffixes"), [(FIRST, "01234"), (SECOND, "13579"), (THIRD, "02468")], ids=lambda value: str(value)[:20]
)
def test_each_question_is_asked_five_times(task: TaskSpec, suffixes: str) -> None:
    assert [example.example_id for example in samples(task)] == [
        f"{name}/q{number:02}/s{suffix}"
        for name, letters in RIGHT.items()
        for number in range(1, len(letters) + 1)
        for suffix in suffixes
    ]


@pytest.mark.parametrize("task", [FIRST, SECOND])
def test_the_right_answers_are_those_read_off_by_hand(task: TaskSpec) -> None:
    targets = {example.example_id.rpartition("/")[0]: example.targets for example in samples(task)}
    assert targets == {
        f"{name}/q{number:02}": (letter,) for name, letters in RIGHT.items() for number, letter in enumerate(letters, 1)
    }


def test_the_first_task_shows_all_documents_of_the_patient_the_answer_first() -> None:
    examples = {example.example_id: example for example in samples(FIRST)}
    # The answer to question 4 stands in text_0 and text_3.
    order = ["text_0", "text_3", "text_1", "text_2"]
    assert ids(examples["patient_01/q04/s0"]) == [f"patient_01/{text_id}" for text_id in order]
    for example in examples.values():
        assert list(example.options) == list("ABCDE")
        assert len(example.documents) == LETTERS[example.cluster_id]
        assert {name.partition("/")[0] for name in ids(example)} == {example.cluster_id}


def test_the_second_task_adds_the_answer_to_ten_documents_of_others_and_the_third_does_not() -> None:
    answers = {}
    for example in samples(SECOND):
        own = [name for name in ids(example) if name.startswith(example.cluster_id)]
        assert own == ids(example)[: len(own)]
        answers[example.example_id.rpartition("/")[0]] = len(own)
        _has_ten_of_others(example)
    # How many letters `answer_location` names, question by question.
    assert list(answers.values()) == [1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 2, 2, 1, 1, 2, 2, 1]
    for example in samples(THIRD):
        assert example.targets == ("F",)
        assert not [name for name in ids(example) if name.startswith(example.cluster_id)]
        _has_ten_of_others(example)


def _has_ten_of_others(example: Example) -> None:
    others = [name for name in ids(example) if not name.startswith(example.cluster_id)]
    assert len(others) == len(set(others)) == 10
    assert list(example.options) == list("ABCDEF")


def test_draws_differ_from_one_another_and_stay_the_same() -> None:
    draws = [ids(example) for example in samples(THIRD)[:5]]
    assert len({tuple(draw) for draw in draws}) == 5
    assert draws[0] == PINNED_DRAW
    assert [ids(example) for example in samples(THIRD)[:5]] == draws


def test_a_small_file_gives_all_documents_of_others(tmp_path: Path) -> None:
    examples = read(tmp_path, {"p1": patient(), "p2": patient()}, SECOND)
    assert ids(examples[0])[0] == "p1/text_1"
    assert sorted(ids(examples[0])[1:]) == ["p2/text_0", "p2/text_1"]


@pytest.mark.parametrize(
    ("correct", "letter"),
    [
        ("5 mg", "B"),  # stands in A and C as well, but is B
        ("  5 MG \n", "B"),
        ("50 mg", "D"),  # is none of them and stands in one
        (5, None),  # stands in four
        ("mg", None),
        ("75 mg", None),
    ],
)
def test_the_right_letter(tmp_path: Path, correct: object, letter: str | None) -> None:
    content = {"p1": patient(correct=correct)}
    if letter:
        assert {example.targets for example in read(tmp_path, content)} == {(letter,)}
    else:
        with pytest.raises(BadInput, match=r"p1/q01 correct: it is or stands in \d of the options"):
            read(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({}, "benchmark_v5.json: expected an object of patients, found an empty one"),
        ([patient()], "benchmark_v5.json: expected an object of patients, found list"),
        ({"p1": []}, "benchmark_v5.json:p1: expected an object, found list"),
        ({"p1": {"texts": {"t": "x"}}}, "benchmark_v5.json:p1 questions: the field is missing"),
        ({"p1": patient(texts={})}, "benchmark_v5.json:p1 texts: expected an object of texts"),
        ({"p1": patient(texts=["a"])}, "benchmark_v5.json:p1 texts: expected an object of texts"),
        ({"p1": patient(texts={"text_1": " "})}, "benchmark_v5.json:p1 texts text_1: the field is empty"),
        ({"p1": patient(texts={"text_1": ["a"]})}, "benchmark_v5.json:p1 texts text_1: expected text, found list"),
        ({"p1": patient(questions={})}, "benchmark_v5.json:p1 questions: expected a list of questions"),
        ({"p1": patient(questions=["?"])}, "benchmark_v5.json:p1/q01: expected an object, found str"),
        ({"p1": patient(answer_e="")}, "benchmark_v5.json:p1/q01 answer_e: the field is empty"),
        ({"p1": patient(answer_location={})}, "p1/q01 answer_location: expected an object that names"),
        ({"p1": patient(answer_location=["text_1"])}, "p1/q01 answer_location: expected an object that names"),
        (
            {"p1": patient(answer_location={"text_7": {}})},
            "p1/q01 answer_location: the patient has no text text_7 (found: text_0, text_1)",
        ),
        (json.dumps({"p1": patient()})[:-40].encode(), "benchmark_v5.json:1: not valid JSON"),
        ('{"p1": {"texts": {"t": "Größe"}}}'.encode("latin-1"), "benchmark_v5.json:1: byte 0xf6 is not UTF-8"),
        (b" \n", "benchmark_v5.json: the file is empty"),
    ],
)
def test_a_bad_file_is_told_where_it_is_bad(tmp_path: Path, content: object, complaint: str) -> None:
    with pytest.raises(BadInput) as refused:
        read(tmp_path, content)
    assert complaint in str(refused.value)


def test_all_problems_are_told_at_once_and_none_holds_text_of_the_patient(tmp_path: Path) -> None:
    secret = "Mrs. Confidential"
    content = {
        "p1": patient(correct=secret),
        "p2": patient(texts={"text_0": secret, "text_1": ""}),
        "p3": patient(question=None),
    }
    with pytest.raises(BadInput) as refused:
        read(tmp_path, content)
    assert [problem.where.partition(":")[2] for problem in refused.value.problems] == [
        "p1/q01 correct",
        "p2 texts text_1",
        "p3/q01 question",
    ]
    assert secret not in str(refused.value)


def test_one_patient_alone_is_too_few_for_foreign_documents(tmp_path: Path) -> None:
    assert len(read(tmp_path, {"p1": patient()})) == 5
    for task in (SECOND, THIRD):
        with pytest.raises(BadInput, match="one patient only"):
            read(tmp_path, {"p1": patient()}, task)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no file named like benchmark_v5\.json"):
        FIRST.read(SourceFolder(tmp_path, synthetic=False))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_prompts_hold_what_fits_and_keep_question_and_options(task: TaskSpec) -> None:
    examples = samples(task)
    prompts = prompt_set(task, examples, ProjectWording(task))
    for example, prompt in zip(examples[:5], prompts, strict=False):
        fitted = fit(prompt, task.documents, Words(), budget=2_000)
        assert isinstance(fitted, Fitted)
        content = fitted.messages[-1].content
        assert example.inputs["question"] in content
        assert all(f"{letter}. {text}" in content for letter, text in example.options.items())
        assert example.documents[0].text in content
        assert Words().count_messages(fitted.messages) <= 2_000
        shown, left_out = fitted.fitting["documents"], fitted.fitting["left_out"]
        assert isinstance(shown, list) and isinstance(left_out, list)
        assert sorted([*shown, *left_out]) == sorted(ids(example))
    assert prompts[0].options == {letter: letter for letter in examples[0].options}


def test_the_first_task_shows_the_same_documents_in_several_orders() -> None:
    orders = []
    for prompt in prompt_set(FIRST, samples(FIRST), ProjectWording(FIRST))[:5]:
        fitted = fit(prompt, FIRST.documents, Words(), budget=8_000)
        assert isinstance(fitted, Fitted)
        assert isinstance(fitted.fitting["documents"], list)
        orders.append(tuple(fitted.fitting["documents"]))
    assert orders[0] == PINNED_ORDER
    assert len({frozenset(order) for order in orders}) == 1
    assert len(set(orders)) > 2


def test_every_sample_letter_says_what_it_is() -> None:
    content = json.loads((SAMPLES / "benchmark_v5.json").read_text(encoding="utf-8"))
    letters = [text for values in content.values() for text in values["texts"].values()]
    assert len(letters) == 17
    for text in letters:
        assert text.startswith("Synthetic document written for medeval-assets.")
        assert 350 <= len(text.split()) <= 650


def test_the_places_of_the_answers_lie_inside_their_letters() -> None:
    content = json.loads((SAMPLES / "benchmark_v5.json").read_text(encoding="utf-8"))
    for values in content.values():
        for question in values["questions"]:
            for place in question["answer_location"].values():
                assert len(place["start"]) == len(place["end"]) >= 1
                assert all(0 <= start < end <= 1 for start, end in zip(place["start"], place["end"], strict=True))
