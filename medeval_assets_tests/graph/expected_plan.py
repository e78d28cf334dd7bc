"""The plan as first principles have it: what each table would be like if all before it that costs nothing were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from medeval_assets.errors import MedevalError
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.plan.plan import Plan
from medeval_assets_tests.graph.edited_home import Choices, EditedHome
from medeval_assets_tests.graph.first_principles import GONE, UNSEEN, Ledger

_ASKED = ("hub", "tiny", "tiny-plain", "other")
"""Models whose answers cost something: what follows from new ones is not known before."""

_NOTHING_FOLLOWS = {"fresh", "blocked"}


def choice_of(key: LakeKey, choices: Choices) -> Any:
    """The one that this kind of table is made with."""
    by_asset = {"prompt_sets": choices.prompts, "generations": choices.limit, "repeat_checks": choices.examples}
    return {**by_asset, "comparisons": choices.margin}.get(key.asset)


@dataclass
class ExpectedPlan:
    """Works the plan out in a copy of the lake, in which what costs nothing is really made.

    states: by table. made: the tables that were made in the copy, so that what rests on them is no longer as it was.
    """

    home: EditedHome
    copy: Ledger
    choices: Choices
    states: dict[LakeKey, str] = field(default_factory=dict)
    made: set[LakeKey] = field(default_factory=set)

    def of(self, models: Sequence[str], tasks: Sequence[str]) -> dict[LakeKey, str]:
        """What becomes of each table that an evaluation of the models on the tasks looks at."""
        tasks = [task for task in self.home.specs if task in tasks]
        for task in tasks:
            dataset, prompts = LakeKey("datasets", task=task), LakeKey("prompt_sets", task=task)
            self.states[dataset] = self._becomes(dataset, make=True)
            blocked = self.states[dataset] == "blocked"
            self.states[prompts] = "blocked" if blocked else self._becomes(prompts, make=True)
        for model in models:
            if self.model(model) == "here":
                for task in tasks:
                    self._cell(model, task)
        self._reports()
        return self.states

    def before(self, key: LakeKey) -> set[LakeKey]:
        """All tables that a table may be made from, by whatever steps."""
        if not key.task:
            return {one for one in self.states if one.task}
        if key.asset == "datasets":
            return set()
        of_task = {LakeKey("datasets", task=key.task)}
        if key.asset == "prompt_sets":
            return of_task
        cell = {LakeKey(asset, key.model, key.task) for asset in ("generations", "scores")}
        return (of_task | {LakeKey("prompt_sets", task=key.task)} | cell) - {key}

    def model(self, model: str) -> str:
        """Whether its files are here."""
        if model not in _ASKED:
            return "here"
        parts = set(self.copy.checkpoint(model).values())
        return "not here" if UNSEEN in parts else "blocked" if GONE in parts else "here"

    def _cell(self, model: str, task: str) -> None:
        generations, scores, tables = (
            LakeKey(asset, model, task) for asset in ("generations", "scores", "metric_tables")
        )
        states = self.states
        ready = states[LakeKey("prompt_sets", task=task)] != "blocked"
        states[generations] = self._becomes(generations, make=model not in _ASKED) if ready else "blocked"
        if states[generations] == "blocked":
            states[scores] = "blocked"
        elif model in _ASKED and states[generations] != "fresh":
            states[scores] = "follows"
        else:
            states[scores] = self._becomes(scores)
        if states[scores] == "fresh":
            states[tables] = self._becomes(tables)
        else:
            states[tables] = "blocked" if states[scores] == "blocked" else "follows"

    def _reports(self) -> None:
        compared = {model for pair in self.copy.pairs() for model in pair}
        tables = {state for key, state in self.states.items() if key.asset == "metric_tables"}
        scores = {state for key, state in self.states.items() if key.asset == "scores" and key.model in compared}
        for asset, before in (("leaderboard", tables), ("comparisons", scores)):
            key = LakeKey(asset)
            self.states[key] = self._becomes(key) if before <= _NOTHING_FOLLOWS else "follows"

    def _becomes(self, key: LakeKey, *, make: bool = False) -> str:
        lake = Lake(self.copy.folder)
        try:
            recipe = self.home.recipe(key, self.choices, lake=lake)
            before = self.copy.made.get(key)
            if before is None:
                state = "missing"
            else:
                other = choice_of(key, before.choices) != choice_of(key, self.choices)
                state = "stale" if other or self.copy.moved(key) else "fresh"
            if make and state != "fresh":
                recipe.make(lake, run_id="copy")
                self.copy.note(key, self.choices)
                self.made.add(key)
        except MedevalError:
            return "blocked"
        return state


def states_of(plan: Plan) -> dict[LakeKey, str]:
    """What the plan says becomes of each table."""
    states = {LakeKey(table.asset, task=task.task): table.state for task in plan.tasks for table in task.tables}
    for model in plan.models:
        for cell in model.cells:
            states |= {LakeKey(table.asset, model.model, cell.task): table.state for table in cell.tables}
    return {**states, **{LakeKey(table.asset): table.state for table in plan.reports}}
