"""LongHealth: questions about fictional patients whose answers stand somewhere in many pages of letters."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from medeval_assets.catalog.task_spec import (
    Access,
    ClueWording,
    Decoding,
    Document,
    DocumentRule,
    Download,
    Example,
    Group,
    Output,
    TaskSpec,
)
from medeval_assets.errors import BadInput, Problem
from medeval_assets.metrics.accuracy import CHOICE
from medeval_assets.metrics.clue_accuracy import LONGHEALTH
from medeval_assets.sources.lettered_options import options_in_fields
from medeval_assets.sources.source_folder import Row, RowProblem, SourceFolder, examples_from

OPTIONS = tuple(f"answer_{letter}" for letter in "abcde")
NOT_ANSWERABLE = "F"
NOT_ANSWERABLE_TEXT = "None of the documents shown answers this question"

SEED = 1
ORDERS = 5
"""Task 1: how often a question is asked, each time with its documents in another order."""
DRAWS = 10
"""Tasks 2 and 3: how often a question's distracting documents are drawn; odd draws serve task 2, even ones task 3."""
DISTRACTORS = 10
"""Tasks 2 and 3: how many documents of other patients are drawn."""

Patients = Mapping[str, tuple[Document, ...]]
"""Patient → their documents, in the file's order."""


def read_1(folder: SourceFolder) -> list[Example]:
    """Each question five times, with all documents of its patient.

    The order that is shown comes from the example id, so `s0` to `s4` are five orders of the same documents.
    """
    patients, questions = _questions(folder)
    return [
        replace(question, example_id=f"{question.example_id}/s{order}", documents=_all_documents(question, patients))
        for question in questions
        for order in range(ORDERS)
    ]


def read_2(folder: SourceFolder) -> list[Example]:
    """Each question five times, its answer documents before ten drawn from other patients."""
    patients, questions = _questions(folder)
    return [
        replace(
            question,
            example_id=f"{question.example_id}/s{draw}",
            options=_with_not_answerable(question),
            documents=question.documents + _distractors(question, draw, patients),
        )
        for question in questions
        for draw in range(1, DRAWS, 2)
    ]


def read_3(folder: SourceFolder) -> list[Example]:
    """Each question five times, with documents of other patients only: right is to say that none answers it."""
    patients, questions = _questions(folder)
    return [
        replace(
            question,
            example_id=f"{question.example_id}/s{draw}",
            targets=(NOT_ANSWERABLE,),
            options=_with_not_answerable(question),
            documents=_distractors(question, draw, patients),
        )
        for question in questions
        for draw in range(0, DRAWS, 2)
    ]


def _all_documents(question: Example, patients: Patients) -> tuple[Document, ...]:
    others = (document for document in patients[question.cluster_id] if document not in question.documents)
    return (*question.documents, *others)


def _with_not_answerable(question: Example) -> dict[str, str]:
    return {**question.options, NOT_ANSWERABLE: NOT_ANSWERABLE_TEXT}


def _distractors(question: Example, draw: int, patients: Patients) -> tuple[Document, ...]:
    """Ten documents of other patients in the order drawn, or all of them where there are fewer."""
    others = [
        document for patient, documents in patients.items() if patient != question.cluster_id for document in documents
    ]
    if not others:
        what = "there is one patient only, so nobody else's documents can be drawn"
        raise BadInput([Problem("longhealth", what, "LongHealth 2 and 3 need the whole file.")])
    name = f"{SEED}\0{question.example_id}\0{draw}"
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest())
    chosen = random.Random(seed)  # noqa: S311 - a draw that can be repeated is wanted, not a secret
    return tuple(chosen.sample(others, min(DISTRACTORS, len(others))))


def _questions(folder: SourceFolder) -> tuple[Patients, list[Example]]:
    """The patients' documents, and one example a question that holds its answer documents only.

    `benchmark_v5.json` is one object: patient → {`texts`: {text id: text}, `questions`: [{`question`,
    `answer_a` … `answer_e`, `correct`, `answer_location`: {text id: …}}, …]}.
    """
    file = folder.one("benchmark_v5.json", "benchmark*.json", "*.json")
    content = file.json()
    if not isinstance(content, dict) or not content:
        what = f"expected an object of patients, found {'an empty one' if content == {} else type(content).__name__}"
        raise BadInput([Problem(file.name, what, "Compare it with the sample file of the same task.")])

    patients: dict[str, tuple[Document, ...]] = {}
    questions: list[Example] = []
    problems: list[Problem] = []
    for name, value in content.items():
        patient = Row(f"{file.name}:{name}", value)
        try:
            documents = _documents(patient, name)
            questions += examples_from(_question_rows(patient), partial(_question, name, documents))
            patients[name] = tuple(documents.values())
        except RowProblem as error:
            problems.append(error.problem)
        except BadInput as error:
            problems += error.problems
    if problems:
        raise BadInput(problems)
    return patients, questions


def _documents(patient: Row, name: str) -> dict[str, Document]:
    texts = Row(f"{patient.where} texts", patient.field("texts"))
    if not isinstance(texts.values, dict) or not texts.values:
        raise RowProblem(texts.where, "expected an object of texts that is not empty")
    return {text_id: Document(f"{name}/{text_id}", texts.text(text_id)) for text_id in texts.values}


def _question_rows(patient: Row) -> list[Row]:
    questions = patient.field("questions")
    if not isinstance(questions, list) or not questions:
        raise RowProblem(f"{patient.where} questions", "expected a list of questions that is not empty")
    return [Row(f"{patient.where}/q{number:02}", question) for number, question in enumerate(questions, 1)]


def _question(patient: str, documents: Mapping[str, Document], row: Row) -> Example:
    options = options_in_fields(row, OPTIONS, least=len(OPTIONS))
    return Example(
        example_id=f"{patient}/{row.where.rpartition('/')[2]}",
        cluster_id=patient,
        inputs={"question": row.text("question")},
        targets=(_right_letter(row, options),),
        options=options,
        documents=_answer_documents(row, documents),
    )


def _right_letter(row: Row, options: Mapping[str, str]) -> str:
    """The option that is the correct text; where there is none, the only option that contains it.

    The benchmark's scripts take an option that contains it, which may be another one ("5 mg" in "2.5 mg").
    """
    correct = row.text("correct").casefold()
    texts = {letter: text.casefold() for letter, text in options.items()}
    letters = [letter for letter, text in texts.items() if text == correct]
    letters = letters or [letter for letter, text in texts.items() if correct in text]
    if len(letters) != 1:
        what = f"it is or stands in {len(letters)} of the options, expected exactly one"
        raise RowProblem(f"{row.where} correct", what)
    return letters[0]


def _answer_documents(row: Row, documents: Mapping[str, Document]) -> tuple[Document, ...]:
    where = f"{row.where} answer_location"
    places = row.field("answer_location")
    if not isinstance(places, dict) or not places:
        raise RowProblem(where, "expected an object that names the texts with the answer")
    missing = [text_id for text_id in places if text_id not in documents]
    if missing:
        raise RowProblem(where, f"the patient has no text {', '.join(missing)} (found: {', '.join(documents)})")
    return tuple(documents[text_id] for text_id in places)


def _task(number: int, about: str, read: Callable[[SourceFolder], list[Example]]) -> TaskSpec:
    return TaskSpec(
        name=f"longhealth_{number}",
        title=f"LongHealth {number}",
        about=about,
        group=Group.LEVEL_2,
        output=Output.CHOICE,
        access=Access.PUBLIC,
        licence="see the owner's page",
        homepage="https://github.com/kbressem/LongHealth",
        folder="longhealth",
        read=read,
        template=Path(__file__).with_suffix(".jinja"),
        decoding=Decoding(max_new_tokens=50),
        metrics=(*CHOICE, *LONGHEALTH[number]),
        documents=DocumentRule(max_tokens=8140, separator="\n\n===== next document =====\n\n"),
        downloads=(
            Download(
                url="https://raw.githubusercontent.com/kbressem/LongHealth/main/data/benchmark_v5.json",
                file_name="benchmark_v5.json",
                sha256=None,
                licence="see the owner's page",
            ),
        ),
        clue=ClueWording(
            script="eval/eval_LongHealth.py",
            user="prompt_template",
            inputs={
                "documents": "documents",
                "question_text": "inputs.question",
                "options": r"options.items() | map('join', ': ') | join('\n')",
            },
            answer={"": "'The correct answer is ' ~ target ~ ': ' ~ options[target]"},
        ),
    )


TASKS = (
    _task(1, "Questions about a patient's own letters", read_1),
    _task(2, "The same questions, the answer hidden among other patients' letters", read_2),
    _task(3, "The same questions with other patients' letters only: does a model invent an answer?", read_3),
)
