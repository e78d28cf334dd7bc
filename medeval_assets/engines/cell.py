"""Cell: one model on one task, as it would be answered today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from medeval_assets.catalog.external import can_answer
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.task_spec import Access, Example, TaskSpec
from medeval_assets.engines.generations import Generation
from medeval_assets.engines.respondent import Questions, Respondent
from medeval_assets.errors import BadInput, Problem
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation, LineageRecord
from medeval_assets.lake.recipe import Recipe
from medeval_assets.prompts.prompt_rows import prompts_of
from medeval_assets.prompts.selection import select
from medeval_assets.sources.example_rows import examples_of
from medeval_assets.tasks import all_tasks

CODE_VERSION = "1"
"""Raised when the same prompts and answers would make another generations table."""


@dataclass(frozen=True)
class Cell:
    """A cell and all that its generations depend on.

    limit: how many prompts are asked; None is all.
    sources: records of the tables that the respondent reads, the prompt set first.
    """

    key: LakeKey
    task: TaskSpec
    limit: int | None
    sources: Sequence[LineageRecord]
    derivation: Derivation

    @property
    def name(self) -> str:
        return f"{self.key.model} × {self.key.task}"

    @property
    def asked(self) -> int:
        """How many prompts there are to answer."""
        prompts = self.sources[0].rows
        return prompts if self.limit is None else min(self.limit, prompts)

    def recipe(self, generations: Sequence[Generation]) -> Recipe:
        """The table that these generations make."""
        return Recipe(self.key, self.derivation, lambda: map(asdict, generations), like=self.sources)

    def questions(self, lake: Lake) -> Questions:
        """What is to be asked, read from the lake."""
        asked = questions_of(lake, self.task, self.sources[0])
        return replace(asked, prompts=select(asked.prompts, self.limit))


def questions_of(lake: Lake, task: TaskSpec, prompt_set: LineageRecord) -> Questions:
    """All prompts of a task. prompt_set: the record of the table that they stand in."""
    prompts = prompts_of(lake.rows(prompt_set.key))
    prompted = {prompt.example_id for prompt in prompts}

    def scored() -> list[Example]:
        examples = examples_of(lake.rows(LakeKey("datasets", task=task.name)))
        found = [example for example in examples if example.example_id in prompted]
        if len(found) < len(prompts):
            what = "it asks about examples that the dataset no longer has"
            raise BadInput([Problem(str(prompt_set.key), what, "Materialize it again.")])
        return found

    return Questions(task, prompts, scored, Access.PUBLIC if prompt_set.synthetic else prompt_set.access)


def cell_of(
    lake: Lake,
    model: str,
    task: TaskSpec,
    respondent: Respondent,
    limit: int | None,
    *,
    identity: Mapping[str, str] | None = None,
) -> Cell:
    """The cell as it would be derived now. BadInput where a table that it reads or the model is missing.

    identity: who answers, where the respondent cannot say it; None asks the respondent.
    """
    sources = lake.records([LakeKey(asset, task=task.name) for asset in respondent.reads])
    derivation = Derivation(
        code_version=CODE_VERSION,
        parameters={"limit": limit, **respondent.parameters(task)},
        inputs=tuple(source.as_input() for source in sources),
        model=dict(respondent.identity(task) if identity is None else identity),
    )
    return Cell(LakeKey("generations", model, task.name), task, limit, sources, derivation)


def cells_of(models: Sequence[ModelSpec], tasks: Sequence[str] | None) -> set[tuple[str, str]]:
    """The (model, task) that are evaluated.

    Tasks that were asked for are evaluated for every model. Without a choice it is all of them, and for a model whose
    answers were given, the ones that they were given for.
    """
    return {
        (model.key, task)
        for model in models
        for task in (all_tasks() if tasks is None else tasks)
        if tasks is not None or can_answer(model, task)
    }
