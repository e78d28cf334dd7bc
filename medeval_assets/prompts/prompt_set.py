"""Prompt sets: one prompt for every scored example of a task, after its worked examples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from medeval_assets.catalog.task_spec import Example, Shots, TaskSpec
from medeval_assets.errors import BadInput, Problem
from medeval_assets.prompts.prompt import DOCUMENTS, Message, Prompt
from medeval_assets.prompts.wording import Wording

_MORE_REMEDY = "Give the task more examples; see `shots` in its TaskSpec for how many it needs."


def prompt_set(task: TaskSpec, examples: Sequence[Example], wording: Wording) -> list[Prompt]:
    """One prompt for every scored example, in the order of the examples.

    Examples of the dev split and those used as shots get none. BadInput where there are too few examples for
    the shots, where nothing would be left to score, or where an example cannot be prompted.
    """
    shots = choose_shots(task, examples)
    used = {shot.example_id for shot in shots}
    scored = [example for example in examples if example.split == "test" and example.example_id not in used]
    if not scored:
        what = f"no example is left to score ({len(examples)} examples, {len(shots)} of them shots)"
        raise BadInput([Problem(task.name, what, _MORE_REMEDY)])
    for example in [*shots, *scored]:
        _refuse_slot_in_texts(task, example)
    turns = [
        message
        for shot in shots
        for message in (Message("user", wording.user(shot)), Message("assistant", wording.answer(shot)))
    ]
    return [_prompt(task, example, turns, tuple(shot.example_id for shot in shots), wording) for example in scored]


def choose_shots(task: TaskSpec, examples: Sequence[Example]) -> list[Example]:
    """The task's worked examples, in the order they are shown; see `Shots`."""
    if task.shots.count == 0:
        return []
    split = "dev" if any(example.split == "dev" for example in examples) else "test"
    pool = [example for example in examples if example.split == split]
    if len(pool) < task.shots.count:
        what = f"{task.shots.count} worked examples are needed and the {split} split has {len(pool)}"
        raise BadInput([Problem(task.name, what, _MORE_REMEDY)])
    chosen = sorted(pool, key=lambda example: _rank(task.shots, example))[: task.shots.count]
    for shot in chosen:
        if shot.documents:
            what = f"example {shot.example_id} rests on documents and cannot be a worked example"
            raise BadInput([Problem(task.name, what, "Tasks whose examples have documents take no shots.")])
    return chosen


def _rank(shots: Shots, example: Example) -> str:
    return hashlib.sha256(f"{shots.seed}\0{example.example_id}".encode()).hexdigest()


def _prompt(
    task: TaskSpec, example: Example, turns: Sequence[Message], shots: tuple[str, ...], wording: Wording
) -> Prompt:
    system = wording.system(example)
    messages = (
        *([Message("system", system)] if system else []),
        *turns,
        Message("user", wording.user(example)),
    )
    slots = [message.content.count(DOCUMENTS) for message in messages]
    if slots != [0] * (len(messages) - 1) + [1 if example.documents else 0]:
        what = f"the documents of example {example.example_id} must stand once in its last user message"
        raise BadInput([Problem(task.template.name, what, "Print `documents` once in the block `user`.")])
    prompt = Prompt(
        example_id=example.example_id,
        messages=messages,
        cue=wording.cue(example),
        options={label: wording.answer(example, label) for label in example.options},
        documents=example.documents,
        shots=shots,
    )
    return replace(prompt, prompt_sha256=prompt_hash(prompt))


def prompt_hash(prompt: Prompt) -> str:
    """SHA-256 of the prompt's fields as canonical JSON (no spaces, lists for maps so that order counts)."""
    fields = [
        prompt.example_id,
        [[message.role, message.content] for message in prompt.messages],
        prompt.cue,
        [[label, text] for label, text in prompt.options.items()],
        [[document.document_id, document.text] for document in prompt.documents],
        list(prompt.shots),
    ]
    return hashlib.sha256(json.dumps(fields, separators=(",", ":")).encode()).hexdigest()


def _refuse_slot_in_texts(task: TaskSpec, example: Example) -> None:
    if any(DOCUMENTS in text for text in _texts(example)):
        what = f"example {example.example_id} holds the mark `{DOCUMENTS}`, which stands for its documents"
        raise BadInput([Problem(task.name, what, "Remove the mark from the source file.")])


def _texts(example: Example) -> Iterator[str]:
    yield from example.inputs.values()
    yield from example.options
    yield from example.options.values()
    yield from example.targets
    for document in example.documents:
        yield from (document.document_id, document.text)
