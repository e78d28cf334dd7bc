"""Baselines: answers made from the dataset without any model, so that a reader sees what a value is worth."""

from __future__ import annotations

import hashlib
import json
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from medeval_assets.catalog.task_spec import Example, Output, TaskSpec
from medeval_assets.engines.generations import Generation
from medeval_assets.engines.respondent import OnBatch, Outcome, Questions, task_by_task

CODE_VERSION = "1"

Answers = Callable[[TaskSpec, Sequence[Example]], list[str]]
"""The task and its scored examples → the text of an answer for each of them, in order."""

_WORD = re.compile(r"\S+")


def majority(task: TaskSpec, scored: Sequence[Example]) -> list[str]:
    """The most frequent right answer of all scored examples: a prior that only an oracle has.

    Choices and labels: the option of the example that is right most often, ties in the order of the options. Texts: for
    every example the reference that occurs most often; among several the one of median length in words (the lower one
    of two), then the first in the dataset. Codes and mentions: for every example the k most frequent, k the median
    number of an example (the lower one of two), ties by first occurrence.
    """
    frequency = Counter(target for example in scored for target in example.targets)
    match task.output:
        case Output.CHOICE | Output.LABEL:
            return [max(example.options, key=frequency.__getitem__) for example in scored]
        case Output.TEXT:
            most = max(frequency.values(), default=0)
            frequent = [(len(text.split()), text) for text, count in frequency.items() if count == most]
            median = statistics.median_low(length for length, _ in frequent)
            fixed: tuple[str, ...] = (next(text for length, text in frequent if length == median),)
        case Output.CODES | Output.ENTITIES:
            size = statistics.median_low(len(example.targets) for example in scored)
            fixed = tuple(target for target, _ in frequency.most_common(size))
    return [right_answer(task.output, fixed)] * len(scored)


def random(task: TaskSpec, scored: Sequence[Example]) -> list[str]:
    """An option drawn uniformly; where there are none, the right answer of another example drawn uniformly.

    The draw is the SHA-256 of task and example id, modulo the number of choices. The only example there is gets "".
    """
    answers = []
    for place, example in enumerate(scored):
        drawn = int.from_bytes(hashlib.sha256(f"{task.name}\0{example.example_id}".encode()).digest())
        if task.output in {Output.CHOICE, Output.LABEL}:
            answers.append(list(example.options)[drawn % len(example.options)])
        elif len(scored) == 1:
            answers.append("")
        else:
            other = drawn % (len(scored) - 1)
            answers.append(right_answer(task.output, scored[other + (other >= place)].targets))
    return answers


def copy(task: TaskSpec, scored: Sequence[Example]) -> list[str]:
    """The first words of an example's inputs and then of its documents, as many as an answer may have tokens."""
    answers = []
    for example in scored:
        parts = [*example.inputs.values(), *(document.text for document in example.documents)]
        text = "\n\n".join(filter(None, (part.strip() for part in parts)))
        ends = [word.end() for word in islice(_WORD.finditer(text), task.decoding.max_new_tokens)]
        answers.append(text[: ends[-1]] if ends else "")
    return answers


def right_answer(output: Output, targets: Sequence[str]) -> str:
    """Targets in the form that is asked for: codes with commas, mentions one a line or "none", else the first one."""
    match output:
        case Output.CODES:
            return ", ".join(targets)
        case Output.ENTITIES:
            return "\n".join(targets) or "none"
        case _:
            return targets[0]


BASELINES: Mapping[str, Answers] = {"majority": majority, "random": random, "copy": copy}


class Baseline:
    """A respondent that makes its answers from the scored examples. They are the same whatever the limit.

    name: one of `BASELINES`.
    """

    reads = ("prompt_sets", "datasets")

    def __init__(self, name: str) -> None:
        self._name = name

    def identity(self, task: TaskSpec) -> Mapping[str, str]:
        return {"checkpoint": f"baseline:{self._name}", "code_version": CODE_VERSION}

    def parameters(self, task: TaskSpec) -> Mapping[str, Any]:
        return {"engine": "baseline", "decoding": asdict(task.decoding)}

    def answer(self, asked: Sequence[Questions], on_batch: OnBatch) -> Iterator[Outcome]:
        return task_by_task(asked, self._answered, {"engine": "baseline"}, on_batch)

    def _answered(self, questions: Questions) -> list[Generation]:
        scored = questions.scored()
        texts = BASELINES[self._name](questions.task, scored)
        by_id = {example.example_id: text for example, text in zip(scored, texts, strict=True)}
        return [
            Generation(
                example_id=prompt.example_id,
                prompt_sha256=prompt.prompt_sha256,
                text=by_id[prompt.example_id],
                finish_reason="stop",
                request_sha256=_request_sha256(self.identity(questions.task), prompt.prompt_sha256),
            )
            for prompt in questions.prompts
        ]


def _request_sha256(identity: Mapping[str, str], prompt_sha256: str) -> str:
    work = {"salt": dict(identity), "prompt_sha256": prompt_sha256}
    return hashlib.sha256(json.dumps(work, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
