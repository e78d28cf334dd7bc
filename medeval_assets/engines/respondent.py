"""Respondent: what answers the prompts of one model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from medeval_assets.catalog.task_spec import Access, Example, TaskSpec
from medeval_assets.engines.generations import Generation
from medeval_assets.errors import MedevalError
from medeval_assets.prompts.prompt import Prompt

OnBatch = Callable[[str, int, int], None]
"""Told a task, how many more of its prompts are done, and how many tokens that was: encoded and generated."""


@dataclass(frozen=True)
class Questions:
    """What is asked about one task.

    prompts: the ones to be answered.
    scored: every example that the task scores, in the dataset's order, right answers included; for respondents that
        read the dataset.
    access: who may see the prompts; public where they are made from the synthetic samples.
    """

    task: TaskSpec
    prompts: Sequence[Prompt]
    scored: Callable[[], Sequence[Example]]
    access: Access = Access.PUBLIC


@dataclass(frozen=True)
class Outcome:
    """What became of the questions about one task.

    generations: at most one for each prompt, in their order.
    error: why there are none.
    environment: what answered, for the record.
    """

    questions: Questions
    generations: Sequence[Generation] = ()
    error: Exception | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


class Respondent(Protocol):
    """Answers the prompts of one model: a loaded checkpoint, a baseline, or a file of answers from elsewhere."""

    @property
    def reads(self) -> Sequence[str]:
        """The task's assets that its answers are made from, its prompt set first."""
        ...

    def identity(self, task: TaskSpec) -> Mapping[str, str]:
        """Who answers: with another identity the same prompts are other work. BadInput where there is nobody."""
        ...

    def parameters(self, task: TaskSpec) -> Mapping[str, Any]:
        """What else the answers depend on, as JSON values."""
        ...

    def answer(self, asked: Sequence[Questions], on_batch: OnBatch) -> Iterator[Outcome]:
        """One outcome for each task as soon as it is known, in any order; one that fails does not take the others."""
        ...


def task_by_task(
    asked: Sequence[Questions],
    answer: Callable[[Questions], Sequence[Generation]],
    environment: Mapping[str, str],
    on_batch: OnBatch,
) -> Iterator[Outcome]:
    """Outcomes of a respondent that answers a task at once."""
    for questions in asked:
        try:
            generations = answer(questions)
        except MedevalError as error:
            yield Outcome(questions, error=error)
        else:
            on_batch(questions.task.name, len(questions.prompts), 0)
            yield Outcome(questions, generations, environment=environment)
