"""Prompt sets: shots, messages, options, hashes, and templates that must not leak, guess or run anything."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from medeval_assets.catalog.task_spec import (
    Access,
    Decoding,
    Document,
    Example,
    Group,
    Output,
    Shots,
    TaskSpec,
)
from medeval_assets.errors import BadInput
from medeval_assets.prompts.project_wording import ProjectWording
from medeval_assets.prompts.prompt import DOCUMENTS, Message, Prompt
from medeval_assets.prompts.prompt_set import prompt_hash, prompt_set
from medeval_assets.prompts.wording import wording_for
from medeval_assets.settings import Settings

TEMPLATE = """
{% block system %}

You answer.
{% endblock %}
{% block user %}
Q: {{ inputs.question }}
{% for label, text in options.items() %}
{{ label }}) {{ text }}
{% endfor %}
{% endblock %}
{% block answer %} It is {{ target }}: {{ options[target] }} {% endblock %}
{% block cue %}Answer: {% endblock %}
"""

SECRET = "Zylkowskaemia"
NO_SHOTS = Shots()


@pytest.fixture
def task(tmp_path: Path) -> Callable[..., TaskSpec]:
    """Makes a task whose template has this text."""

    def make(template: str = TEMPLATE, shots: Shots = NO_SHOTS, name: str = "task.jinja") -> TaskSpec:
        (tmp_path / name).write_text(template, encoding="utf-8")
        return TaskSpec(
            name="made_up",
            title="Made up",
            about="",
            group=Group.KNOWLEDGE,
            output=Output.CHOICE,
            access=Access.PUBLIC,
            licence="",
            homepage="",
            folder="made_up",
            read=lambda folder: [],
            template=tmp_path / name,
            decoding=Decoding(5),
            metrics=(),
            shots=shots,
        )

    return make


def example(number: int, *, split: str = "test", question: str = "", documents: Sequence[Document] = ()) -> Example:
    return Example(
        example_id=f"e{number}",
        cluster_id=f"e{number}",
        inputs={"question": question or f"Which is number {number}?"},
        targets=("B",),
        options={"A": "the first", "B": "the second"},
        documents=tuple(documents),
        split=split,
    )


def prompts_of(task: TaskSpec, examples: Sequence[Example]) -> list[Prompt]:
    return prompt_set(task, examples, ProjectWording(task))


def ranked(seed: int, examples: Sequence[Example]) -> list[str]:
    """Ids in the order of the hash of (seed, id), which decides the shots."""
    return sorted((e.example_id for e in examples), key=lambda i: hashlib.sha256(f"{seed}\0{i}".encode()).hexdigest())


def test_messages_options_and_cue_are_stripped_and_laid_out_line_by_line(
    task: Callable[..., TaskSpec],
) -> None:
    [prompt] = prompts_of(task(), [example(1)])
    assert prompt.messages == (
        Message("system", "You answer."),
        Message("user", "Q: Which is number 1?\nA) the first\nB) the second"),
    )
    assert prompt.options == {"A": "It is A: the first", "B": "It is B: the second"}
    assert prompt.cue == "Answer:"
    assert prompt.shots == ()


def test_an_empty_system_text_makes_no_message(task: Callable[..., TaskSpec]) -> None:
    [prompt] = prompts_of(task(TEMPLATE.replace("You answer.", "")), [example(1)])
    assert [message.role for message in prompt.messages] == ["user"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shots_come_from_the_test_split_by_hash_and_are_not_scored(task: Callable[..., TaskSpec], seed: int) -> None:
    examples = [example(number) for number in range(9)]
    prompts = prompts_of(task(shots=Shots(2, seed)), examples)
    chosen = ranked(seed, examples)[:2]
    assert [prompt.shots for prompt in prompts] == [tuple(chosen)] * 7
    assert [prompt.example_id for prompt in prompts] == [f"e{n}" for n in range(9) if f"e{n}" not in chosen]
    assert [message.role for message in prompts[0].messages] == [
        "system",
        *["user", "assistant"] * 2,
        "user",
    ]
    assert prompts[0].messages[1].content.startswith(f"Q: Which is number {chosen[0][1:]}?")
    assert prompts[0].messages[2].content == "It is B: the second"


def test_the_order_of_the_file_does_not_change_the_shots(task: Callable[..., TaskSpec]) -> None:
    examples = [example(number) for number in range(9)]
    spec = task(shots=Shots(3))
    assert prompts_of(spec, examples)[0].shots == prompts_of(spec, examples[::-1])[0].shots


def test_a_dev_split_gives_the_shots_and_is_never_scored(task: Callable[..., TaskSpec]) -> None:
    dev = [example(number, split="dev") for number in range(5)]
    prompts = prompts_of(task(shots=Shots(2)), [example(10), *dev, example(11)])
    assert [prompt.example_id for prompt in prompts] == ["e10", "e11"]
    assert list(prompts[0].shots) == ranked(1, dev)[:2]


@pytest.mark.parametrize(
    ("count", "examples", "complaint"),
    [
        (3, [example(1), example(2)], "3 worked examples are needed and the test split has 2"),
        (2, [example(1, split="dev"), *map(example, range(2, 9))], "the dev split has 1"),
        (2, [example(1), example(2)], "no example is left to score (2 examples, 2 of them shots)"),
        (0, [], "no example is left to score"),
        (0, [example(1, split="dev")], "no example is left to score"),
    ],
)
def test_too_few_examples(task: Callable[..., TaskSpec], count: int, examples: list[Example], complaint: str) -> None:
    with pytest.raises(BadInput) as refused:
        prompts_of(task(shots=Shots(count)), examples)
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "{{ 7 * 7 }} {% raw %} {# gone #} ${x} {0} %s",
        "<b>&amp;</b> \\n \u2028 é 中 \U0001f600",
        "{% block user %}",
    ],
)
def test_the_text_of_an_example_is_data(task: Callable[..., TaskSpec], text: str) -> None:
    [prompt] = prompts_of(task(), [example(1, question=text)])
    assert f"Q: {text}\n" in prompt.messages[-1].content


def test_the_documents_stand_where_the_template_prints_them(task: Callable[..., TaskSpec]) -> None:
    letters = (Document("d1", "One."), Document("d2", "Two."))
    spec = task(TEMPLATE.replace("Q: ", "{{ documents }}\nQ: "))
    with_letters, without = prompts_of(spec, [example(1, documents=letters), example(2)])
    assert with_letters.messages[-1].content.startswith(f"{DOCUMENTS}\nQ: Which")
    assert with_letters.documents == letters
    assert without.messages[-1].content.startswith("Q: Which")


@pytest.mark.parametrize("printed", ["", "{{ documents }}{{ documents }}"])
def test_documents_that_are_not_printed_once_are_refused(task: Callable[..., TaskSpec], printed: str) -> None:
    spec = task(TEMPLATE.replace("Q: ", printed))
    with pytest.raises(BadInput, match="the documents of example e1 must stand once"):
        prompts_of(spec, [example(1, documents=[Document("d1", "One.")])])


def test_documents_in_the_system_text_are_refused(task: Callable[..., TaskSpec]) -> None:
    spec = task(TEMPLATE.replace("You answer.", "{{ documents }}"))
    with pytest.raises(BadInput, match="must stand once in its last user message"):
        prompts_of(spec, [example(1, documents=[Document("d1", "One.")])])


def test_a_shot_with_documents_is_refused(task: Callable[..., TaskSpec]) -> None:
    examples = [example(number, documents=[Document("d", "One.")]) for number in range(3)]
    with pytest.raises(BadInput, match="rests on documents and cannot be a worked example"):
        prompts_of(task(shots=Shots(1)), examples)


@pytest.mark.parametrize(
    "spoilt",
    [
        example(7, question=f"{SECRET} {DOCUMENTS}"),
        replace(example(7), options={"A": SECRET + DOCUMENTS, "B": "x"}),
        replace(example(7), targets=(SECRET + DOCUMENTS,), options={}),
        example(7, documents=[Document("d1", f"{SECRET} {DOCUMENTS}")]),
    ],
)
def test_an_example_that_holds_the_slot_cannot_be_prompted(task: Callable[..., TaskSpec], spoilt: Example) -> None:
    with pytest.raises(BadInput) as refused:
        prompts_of(task(), [example(1), spoilt])
    assert "example e7 holds the mark" in str(refused.value)
    assert SECRET not in str(refused.value)


def test_the_hash_tells_every_field_apart_and_nothing_else(task: Callable[..., TaskSpec]) -> None:
    [prompt] = prompts_of(task(), [example(1)])
    others = [
        replace(prompt, example_id="e2"),
        replace(prompt, messages=prompt.messages[1:]),
        replace(prompt, messages=(Message("user", "You answer."), prompt.messages[1])),
        replace(prompt, cue=""),
        replace(prompt, options=dict(reversed(list(prompt.options.items())))),
        replace(prompt, documents=(Document("d", ""),)),
        replace(prompt, shots=("e1",)),
    ]
    hashes = {prompt_hash(each) for each in others}
    assert len(hashes) == len(others)
    assert prompt.prompt_sha256 not in hashes
    assert prompt_hash(replace(prompt, prompt_sha256="")) == prompt.prompt_sha256 == prompt_hash(prompt)


@pytest.mark.parametrize(
    ("block", "bad", "where"),
    [
        ("Q: ", "{{ target }}", "task.jinja:7 user"),
        ("Q: ", "{{ targets[0] }}", "task.jinja:7 user"),
        ("Q: ", "{{ inputs.questoin }}", "task.jinja:7 user"),
        ("Q: ", "{{ inputs.items }}", "task.jinja:7 user"),
        ("Q: ", "{{ none }}", "task.jinja:7 user"),
        ("Q: ", "{{ [inputs.question] }}", "task.jinja:7 user"),
        ("Q: ", "{{ {}[inputs.question] }}", "task.jinja:7 user"),
        ("Q: ", "{{ inputs.question.__class__.__mro__ }}", "task.jinja:7 user"),
        ("Q: ", "{{ inputs.question.format.__globals__ }}", "task.jinja:7 user"),
        ("Q: ", "{% set _ = options.update(inputs) %}", "task.jinja:7 user"),
        ("Q: ", "{{ range(9) | join }}", "task.jinja:7 user"),
        ("Answer:", "{{ target }}", "task.jinja:13 cue"),
        ("It is", "{{ inputs[target] }}", "task.jinja:12 answer"),
    ],
)
def test_a_template_that_errs_names_its_line_and_no_text(
    task: Callable[..., TaskSpec], block: str, bad: str, where: str
) -> None:
    """Also: the right answer is not in reach of the question, nor is anything outside the example."""
    with pytest.raises(BadInput) as refused:
        prompts_of(task(TEMPLATE.replace(block, bad)), [example(1, question=SECRET)])
    [problem] = refused.value.problems
    assert problem.where == where
    assert "example e1" in problem.what
    assert SECRET not in str(problem)
    assert refused.value.__context__ is None
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("{% block user %}{% endblock %}", "task.jinja: the blocks system, answer, cue are missing"),
        (TEMPLATE + "\n{% if %}", "task.jinja:15: cannot be used as a template"),
        (TEMPLATE + "{% include 'gone.jinja' %}", "gone.jinja: cannot be used as a template"),
        (TEMPLATE + "{% include '../other.jinja' %}", "computed or lies in another folder"),
        (TEMPLATE + "{% include inputs.question %}", "computed or lies in another folder"),
        ("{% extends 'task.jinja' %}", "extends no template, or itself"),
    ],
)
def test_a_template_that_cannot_be_used(task: Callable[..., TaskSpec], template: str, complaint: str) -> None:
    with pytest.raises(BadInput) as refused:
        ProjectWording(task(template))
    assert complaint in str(refused.value)


def test_a_template_may_extend_and_include_others_and_its_identity_covers_them(
    task: Callable[..., TaskSpec], tmp_path: Path
) -> None:
    task(TEMPLATE, name="base.jinja")
    (tmp_path / "hint.jinja").write_text("Think of {{ inputs.question }}")
    child = "{% extends 'base.jinja' %}{% block user %}{% include 'hint.jinja' %} {{ super() }}{% endblock %}"
    spec = task(child, name="child.jinja")
    [prompt] = prompts_of(spec, [example(1)])
    assert prompt.messages[0].content == "You answer."
    assert prompt.messages[1].content.startswith("Think of Which is number 1? Q: Which is number 1?")
    seen = {ProjectWording(spec).identity["template_sha256"]}
    for name in ("child.jinja", "hint.jinja", "base.jinja"):
        path = tmp_path / name
        path.write_text(path.read_text() + " ")
        seen.add(ProjectWording(spec).identity["template_sha256"])
    assert len(seen) == 4


def test_wording_for_gives_the_projects_words(task: Callable[..., TaskSpec], tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, sources=tmp_path)
    wording = wording_for(task(), "project", settings)
    assert wording.system(example(1)) == "You answer."
    assert wording.identity["wording"] == "project"
