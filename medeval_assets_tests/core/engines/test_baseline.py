"""The answers of every baseline for every kind of output, worked out by hand."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from medeval_assets.catalog.task_spec import Access, Decoding, Document, Example, Group, Output, TaskSpec
from medeval_assets.engines.baseline import BASELINES, Baseline, copy, majority, random
from medeval_assets.engines.respondent import Questions
from medeval_assets.parsers import choice, entities, icd10, label
from medeval_assets.prompts.prompt import Message, Prompt
from medeval_assets.settings import Settings
from medeval_assets.sources.dataset import read_dataset
from medeval_assets.tasks import all_tasks


def task(output: Output, words: int = 4) -> TaskSpec:
    return TaskSpec(
        name="cases",
        title="Cases",
        about="",
        group=Group.CASES,
        output=output,
        access=Access.PUBLIC,
        licence="",
        homepage="",
        folder="cases",
        read=lambda folder: [],
        template=Path("cases.jinja"),
        decoding=Decoding(words),
        metrics=(),
    )


def examples(*targets: Sequence[str], options: Sequence[str] = ()) -> list[Example]:
    """Examples e0, e1, … with these right answers."""
    return [
        Example(f"e{n}", f"e{n}", {}, tuple(right), {option: f"text {option}" for option in options})
        for n, right in enumerate(targets)
    ]


def drawn(example_id: str, choices: int) -> int:
    return int(hashlib.sha256(f"cases\0{example_id}".encode()).hexdigest(), 16) % choices


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        ("ABB", "B"),
        ("CABCBA", "A"),  # each is right twice; A stands first among the options
        ("CBBC", "B"),  # a tie of B and C
    ],
)
def test_majority_takes_the_option_that_is_right_most_often(right: str, expected: str) -> None:
    assert majority(task(Output.CHOICE), examples(*right, options="ABC")) == [expected] * len(right)


def test_majority_takes_an_option_that_the_example_has() -> None:
    # F is right most often and only the first three have it; of A and B, the last one's options, B is right once.
    scored = [*examples("F", "F", "F", options="AF"), *examples("B", options="AB")]
    assert majority(task(Output.LABEL), scored) == ["F", "F", "F", "B"]


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        ([["gout"], ["mild asthma"], ["gout"]], "gout"),
        # All once: 3, 1, 2 and 2 words. The lower median of 1, 2, 2, 3 is 2; the first of two words is "b b".
        ([["a a a"], ["b"], ["b b"], ["c c"]], "b b"),
        # Several references an example: "x" occurs in both.
        ([["long one", "x"], ["x", "y"]], "x"),
    ],
)
def test_majority_gives_every_text_example_the_same_reference(right: list[list[str]], expected: str) -> None:
    assert majority(task(Output.TEXT), examples(*right)) == [expected] * len(right)


def test_majority_gives_the_most_frequent_codes_as_many_as_the_median_example_has() -> None:
    # 1, 2, 3 and 3 codes: the lower median is 2. I10 occurs three times, E119, J449 and N179 twice: E119 comes first.
    right = [["E119"], ["I10", "J449"], ["I10", "N179", "E119"], ["I10", "J449", "N179"]]
    assert majority(task(Output.CODES), examples(*right)) == ["I10, E119"] * 4


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        ([["flu", "flu"], ["flu", "rash"], ["rash"]], "flu\nrash"),  # 2, 2, 1 mentions; flu three times, rash twice
        ([["flu", "rash"], [], []], "none"),  # 2, 0, 0 mentions: the median example has none
    ],
)
def test_majority_lists_mentions_one_a_line_or_none(right: list[list[str]], expected: str) -> None:
    assert majority(task(Output.ENTITIES), examples(*right)) == [expected] * 3


@pytest.mark.parametrize("output", [Output.CHOICE, Output.LABEL])
def test_random_draws_an_option_by_the_hash_of_task_and_id(output: Output) -> None:
    scored = examples(*"A" * 300, options="ABC")
    answers = random(task(output), scored)
    assert answers == ["ABC"[drawn(f"e{n}", 3)] for n in range(300)]
    # Uniform: each of three options in 300 draws is within four standard deviations (33) of 100.
    assert all(67 < count < 133 for count in Counter(answers).values())
    assert random(replace(task(output), name="other"), scored) != answers
    # Whatever else is scored, an example keeps its answer.
    assert random(task(output), scored[7:9]) == answers[7:9]


@pytest.mark.parametrize(
    ("output", "right", "written"),
    [
        (Output.TEXT, [["a", "second"], ["b"], ["c"]], ["a", "b", "c"]),
        (Output.CODES, [["I10", "E119"], ["J449"], ["N179"]], ["I10, E119", "J449", "N179"]),
        (Output.ENTITIES, [["flu", "rash"], [], ["gout"]], ["flu\nrash", "none", "gout"]),
    ],
)
def test_random_gives_the_right_answer_of_another_example(
    output: Output, right: list[list[str]], written: list[str]
) -> None:
    others = [[written[1], written[2]], [written[0], written[2]], [written[0], written[1]]]
    expected = [others[n][drawn(f"e{n}", 2)] for n in range(3)]
    assert random(task(output), examples(*right)) == expected


def test_random_never_gives_an_examples_own_answer_and_nothing_where_there_is_no_other() -> None:
    scored = examples(*([str(n)] for n in range(50)))
    assert all(answer != str(n) for n, answer in enumerate(random(task(Output.TEXT), scored)))
    assert random(task(Output.TEXT), examples(["own"])) == [""]


@pytest.mark.parametrize(
    ("inputs", "documents", "expected"),
    [
        ({"a": "one two", "b": "three four five"}, (), "one two\n\nthree four"),
        ({"a": " one \n two", "b": ""}, ("x y z",), "one \n two\n\nx y"),
        ({"a": "one"}, (), "one"),
        ({"a": " "}, (), ""),
    ],
)
def test_copy_gives_the_first_words_of_the_inputs_and_then_the_documents(
    inputs: dict[str, str], documents: tuple[str, ...], expected: str
) -> None:
    letters = tuple(Document(str(n), text) for n, text in enumerate(documents))
    assert copy(task(Output.TEXT, words=4), [Example("e", "e", inputs, ("t",), documents=letters)]) == [expected]


@pytest.mark.parametrize("name", ["majority", "random"])
@pytest.mark.parametrize("spec", all_tasks().values(), ids=all_tasks())
def test_answers_are_read_strictly_on_every_sample(name: str, spec: TaskSpec, tmp_path: Path) -> None:
    scored = [e for e in read_dataset(spec, Settings(tmp_path, tmp_path)).examples if e.split == "test"]
    for example, answer in zip(scored, BASELINES[name](spec, scored), strict=True):
        match spec.output:
            case Output.CHOICE:
                assert choice.strict(answer, example.options).value in example.options
            case Output.LABEL:
                assert label.strict(answer, example.options).value in example.options
            case Output.CODES:
                assert icd10.codes(answer).value == tuple(answer.split(", "))
            case Output.ENTITIES:
                assert entities.mentions(answer).rule in {"none", "lines"}
            case Output.TEXT:
                assert answer in {reference for other in scored for reference in other.targets}


def test_rows_are_those_of_the_prompts_asked_and_their_answers_do_not_depend_on_the_limit() -> None:
    scored = examples("A", "B", "B", options="AB")
    prompts = [Prompt(f"e{n}", (Message("user", "?"),), "", prompt_sha256=f"{n}" * 64) for n in range(3)]
    baseline, done = Baseline("majority"), list[tuple[str, int, int]]()
    spec = task(Output.CHOICE)
    (outcome,) = baseline.answer([Questions(spec, prompts, lambda: scored)], lambda *said: done.append(said))
    rows = outcome.generations
    assert [(row.example_id, row.prompt_sha256, row.text, row.finish_reason) for row in rows] == [
        (f"e{n}", f"{n}" * 64, "B", "stop") for n in range(3)
    ]
    assert done == [(spec.name, 3, 0)]
    assert len({row.request_sha256 for row in rows}) == 3
    (fewer,) = baseline.answer([Questions(spec, prompts[:1], lambda: scored)], lambda *_: None)
    assert fewer.generations == rows[:1]
    assert Baseline("random").identity(spec) != baseline.identity(spec)
