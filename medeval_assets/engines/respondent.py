"""Respondent: what answers the prompts of one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from medeval_assets.catalog.task_spec import Example, TaskSpec
from medeval_assets.engines.generations import Generation
from medeval_assets.prompts.prompt import Prompt


@dataclass(frozen=True)
class Questions:
    """What is asked about one task.

    prompts: the ones to be answered.
    scored: every example that the task scores, in the dataset's order, right answers included; for respondents that
        read the dataset.
    """

    task: TaskSpec
    prompts: Sequence[Prompt]
    scored: Callable[[], Sequence[Example]]


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

    def answer(self, questions: Questions, on_batch: Callable[[int], None]) -> list[Generation]:
        """At most one generation for each prompt, in their order. on_batch: told how many more prompts are done."""
        ...

    def environment(self) -> Mapping[str, str]:
        """What answered, for the record; asked for once there are answers."""
        ...
