"""Stale are the tables of which an ingredient is another one now: so say the audit, the plan and the recipes.

First principles (`first_principles`) tell which these are, after edits of everything that tables are made from: one by
one, and in random order between tables that are made again, removed and pruned.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from medeval_assets.audit.verdict import Verdict
from medeval_assets.comparisons.lake_comparisons import MARGIN
from medeval_assets.errors import MedevalError
from medeval_assets.event_log import audit_with_event_log
from medeval_assets.lake.key import LakeKey
from medeval_assets.plan.planning import make_plan
from medeval_assets.progress import LoggedProgress
from medeval_assets_tests.graph.edited_home import DIALS, SCRIPTS, TASKS, Choices, EditedHome
from medeval_assets_tests.graph.expected_plan import ExpectedPlan, choice_of, states_of
from medeval_assets_tests.graph.first_principles import Ledger

CELLS: Mapping[str, Sequence[str]] = {
    "mednli": ("baseline-majority", "baseline-copy", "hub", "tiny", "tiny-plain", "other", "elsewhere"),
    "problem_summary": ("baseline-copy", "tiny", "other"),
    "medqa": ("baseline-majority", "tiny", "tiny-plain", "elsewhere"),
    "pubmedqa": ("baseline-majority", "hub"),
}
"""Task → the models that are evaluated on it."""

REPORTS = ("leaderboard", "comparisons")
TABLES = [
    key
    for task, models in CELLS.items()
    for key in (
        *(LakeKey(asset, task=task) for asset in ("datasets", "prompt_sets")),
        *(LakeKey(asset, model, task) for model in models for asset in ("generations", "scores", "metric_tables")),
        *(LakeKey("repeat_checks", model, task) for model in ("tiny", "other") if task == "mednli"),
    )
] + [LakeKey(asset) for asset in REPORTS]
"""Every table there can be, what a table is made from before it."""

BY_ITSELF = {
    "datasets": "code, raw files, reader, task",
    "prompt_sets": "code, shots, task, template",
    "generations": "adapter, answers, code, code of it, config, decoding, engine, name, task, template, tokenizer, "
    "weights",
    "scores": "code, encoder, task",
    "metric_tables": "code",
    "repeat_checks": "adapter, code, config, name, template, tokenizer, weights",
    "leaderboard": "cells, code, published",
    "comparisons": "code",
}
"""Asset → its ingredients that are no rows of other tables, and are seen to make a table stale without another one."""


@dataclass
class Edited:
    """A home and the ledger of what was made in it. seen: how often something worth to be seen happened."""

    home: EditedHome
    ledger: Ledger
    seen: Counter[str] = field(default_factory=Counter)
    checks: int = 0

    def make(self, key: LakeKey, choices: Choices, said: str = "A") -> None:
        """Make the table as an asset would: what is fresh stays. One that cannot be made stays as well."""
        if key.task and key.task not in self.home.specs:
            return
        before = self.ledger.made.get(key)
        fresh = before is not None and choice_of(key, before.choices) == choice_of(key, choices)
        fresh = fresh and not self.ledger.moved(key)
        try:
            recipe = self.home.recipe(key, choices, said)
            assert (recipe.fresh(self.home.lake) is not None) == fresh, key
            if fresh:
                return
            stale = self.ledger.stale()
            recipe.make(self.home.lake, run_id="run")
        except MedevalError:
            self.seen["a table that cannot be made"] += 1
            return
        self.ledger.note(key, choices)
        if before is not None and before.rows == self.ledger.made[key].rows:
            # Which repeat checks are those of some scores is told by what both were made from.
            loose = {key, LakeKey("comparisons")} if key.asset in {"scores", "repeat_checks"} else {key}
            assert self.ledger.stale() - loose == stale - loose
            self.seen[f"{key.asset} made again with the same rows"] += 1

    def check(self) -> set[LakeKey]:
        """The stale tables, on which first principles and audit agree, and the recipes of every fourth table."""
        stale = self.ledger.stale()
        report = audit_with_event_log(self.home.lake, self.home.settings, None)
        assert report.wrong == []
        verdicts = {file.place.key: file.verdict for file in report.files if file.place.kind == "current"}
        assert {key for key, verdict in verdicts.items() if verdict is Verdict.STALE} == stale
        assert set(verdicts) == set(self.ledger.made)
        # A version in the archive is what it was made from then.
        assert {file.place.kind for file in report.files if file.verdict is Verdict.STALE} <= {"current"}
        # Only what is made from many tables has them in an order that can be another one.
        assert all(
            file.reason
            and (file.reason != "input: the order of the inputs" or file.place.key in set(map(LakeKey, REPORTS)))
            for file in report.files
            if file.verdict is Verdict.STALE
        )
        self.checks += 1
        for key, made in list(self.ledger.made.items())[self.checks % 4 :: 4]:
            if not key.task or key.task in self.home.specs:
                try:
                    fresh = self.home.recipe(key, made.choices).fresh(self.home.lake)
                except MedevalError:
                    continue
                assert (fresh is None) == (key in stale), key
        self._count(stale)
        return stale

    def check_plan(self, models: Sequence[str], tasks: Sequence[str], choices: Choices, folder: Path) -> None:
        """The plan is what first principles say, and of what nothing before it is made, what the audit says."""
        known = self.home.models()
        models = [key for key in models if key in known]
        tasks = [task for task in tasks if task in self.home.specs]
        plan = make_plan(
            self.home.settings,
            known,
            models,
            tasks,
            progress=LoggedProgress(),
            limit=choices.limit,
            prompts=choices.prompts,
        )
        expected = ExpectedPlan(self.home, self.ledger.copied_to(folder), choices)
        states = states_of(plan)
        assert states == expected.of(models, tasks)
        assert {model.model: model.state for model in plan.models} == {key: expected.model(key) for key in models}
        stale = self.ledger.stale()
        for key, state in states.items():
            made = self.ledger.made.get(key)
            if made is None or state not in {"fresh", "stale"} or expected.before(key) & expected.made:
                continue
            if choice_of(key, made.choices) == choice_of(key, choices):
                assert (state == "stale") == (key in stale), key
                self.seen[f"{key.asset} {state} for the plan and the audit"] += 1
        self.seen.update(f"planned {key.asset}: {state}" for key, state in states.items())

    def _count(self, stale: set[LakeKey]) -> None:
        """What the tables are like just now."""
        made, proofs = self.ledger.made, self.ledger.proofs
        for key in stale:
            moved = self.ledger.moved(key)
            if len(moved) == 1:
                self.seen[f"{key.asset} stale by {min(moved)} alone"] += 1
        evicted = self.home.at["hub"] == "evicted"
        for key in made:
            resting = {LakeKey("datasets", task=key.task), LakeKey("generations", key.model, key.task)}
            purged = [one for one in resting if one in proofs and one not in made]
            if key.asset == "scores" and purged and key not in stale:
                self.seen["scores fresh whose texts were purged"] += 1
            if key.asset == "scores" and self.ledger.moved(key) >= {"dataset", "generations"}:
                self.seen["scores stale on both ways from their dataset"] += 1
            if key.asset == "generations" and key.model == "hub" and evicted:
                self.seen[f"generations {'stale' if key in stale else 'fresh'} of a model that is not here"] += 1


@pytest.fixture(scope="module")
def evaluated(roomy_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edited]:
    """A home in which everything is made of what is there. Copied, never changed."""
    with pytest.MonkeyPatch.context() as patch:
        home = EditedHome.new(tmp_path_factory.mktemp("edited") / "start", roomy_checkpoint, patch)
        made = Edited(home, Ledger(home, home.settings.lake))
        for key in TABLES:
            made.make(key, Choices())
        assert set(made.ledger.made) == set(TABLES)
        assert made.check() == set()
    yield made


def copy_of(edited: Edited, folder: Path, patch: pytest.MonkeyPatch) -> Edited:
    home = edited.home.copied_to(folder, patch)
    return Edited(home, Ledger(home, home.settings.lake, dict(edited.ledger.made)))


def test_every_single_edit_makes_stale_what_rests_on_it_and_undone_nothing(
    evaluated: Edited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = copy_of(evaluated, tmp_path / "copy", monkeypatch)
    moved_nothing = set()
    for name, dial in DIALS.items():
        found = set()
        for position in dial.positions[1:]:
            edited.home.turn(name, position)
            found |= edited.check()
        edited.home.turn(name, dial.positions[0])
        assert edited.ledger.stale() == set(), name
        if not found:
            moved_nothing.add(name)
        assert not (dial.harmless and found), name
    assert edited.check() == set()
    # The rest only matters once it is used.
    unused = {f"script of {task}" for task in SCRIPTS} | {"commit of the clone", "adapter", "own template"}
    harmless = {name for name, dial in DIALS.items() if dial.harmless}
    assert moved_nothing == harmless | unused | {"template of other"}
    for asset, ingredients in BY_ITSELF.items():
        found_alone = {name for name in edited.seen if name.startswith(f"{asset} stale by")}
        assert found_alone == {f"{asset} stale by {ingredient} alone" for ingredient in ingredients.split(", ")}


def keys(assets: str, *models: str, task: str = "mednli") -> set[LakeKey]:
    """The tables of these assets, named in one text, of a task or of its cells with these models."""
    return {LakeKey(asset, model, task) for asset in assets.split() for model in models or ("",)}


def test_what_comes_out_as_before_makes_nothing_else_stale(
    evaluated: Edited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = copy_of(evaluated, tmp_path / "copy", monkeypatch)
    dataset, prompts = keys("datasets"), keys("prompt_sets")
    reports = set(map(LakeKey, REPORTS))
    made_of_answers = keys("generations", "baseline-majority", "baseline-copy")
    every = CELLS["mednli"]

    def make(*tables: set[LakeKey]) -> set[LakeKey]:
        for key in sorted(set().union(*tables), key=TABLES.index):
            edited.make(key, Choices())
        return edited.check()

    # Other bytes that say the same.
    edited.home.turn("source of mednli", "spaced")
    assert edited.check() == dataset
    assert make(dataset) == set()

    # One right answer: no prompt is another one, so no model is asked again, but what knows the answers is made again.
    edited.home.turn("source of mednli", "answer")
    assert edited.check() == dataset
    rests = keys("scores", *every) | keys("repeat_checks", "tiny", "other") | {LakeKey("leaderboard")}
    assert make(dataset) == prompts | made_of_answers | rests
    assert make(prompts) == made_of_answers | rests
    assert make(made_of_answers) == rests
    scores = keys("scores", *every)
    tables = make(scores, keys("repeat_checks", "tiny", "other")) - reports
    assert tables
    assert tables <= keys("metric_tables", *every)
    assert make(tables, reports) == set()

    # Other texts: the scores rest on the dataset by itself and by way of prompts and answers.
    edited.home.turn("source of mednli", "text")
    make(dataset, prompts, keys("generations", *every))
    assert edited.ledger.moved(LakeKey("scores", "tiny", "mednli")) == {"dataset", "generations"}
    assert make(set(TABLES)) == set()


def test_numbers_outlive_their_texts_and_models(
    evaluated: Edited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = copy_of(evaluated, tmp_path / "copy", monkeypatch)
    # The files of a model that are not here may have moved or not; the prompts have.
    edited.home.turn("hub", "evicted")
    assert edited.check() == set()
    edited.home.turn("source of pubmedqa", "text")
    edited.make(LakeKey("datasets", task="pubmedqa"), Choices())
    edited.make(LakeKey("prompt_sets", task="pubmedqa"), Choices())
    assert keys("generations", "hub", "baseline-majority", task="pubmedqa") < edited.check()
    edited.home.turn("source of pubmedqa", "first")
    edited.make(LakeKey("datasets", task="pubmedqa"), Choices())
    edited.make(LakeKey("prompt_sets", task="pubmedqa"), Choices())
    assert edited.check() == set()

    # A model that leaves takes nothing with it but the word on whose answers these are.
    edited.home.turn("left the catalog", "other")
    answered = {LakeKey("generations", "other", task) for task in ("mednli", "problem_summary")}
    assert edited.check() == {*answered, LakeKey("repeat_checks", "other", "mednli"), *map(LakeKey, REPORTS)}
    edited.home.turn("left the catalog", None)

    # Texts that are removed leave their numbers as they are, until others take their place.
    edited.home.purge("medqa")
    edited.ledger.note_purge("medqa")
    assert edited.check() == set()
    edited.home.turn("source of medqa", "answer")
    edited.make(LakeKey("datasets", task="medqa"), Choices())
    assert edited.check() == {*keys("scores", *CELLS["medqa"], task="medqa"), LakeKey("leaderboard")}
    edited.home.turn("source of medqa", "first")
    edited.make(LakeKey("datasets", task="medqa"), Choices())
    assert edited.check() == set()


def test_what_was_chosen_when_a_table_was_made_is_kept(
    evaluated: Edited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = copy_of(evaluated, tmp_path / "copy", monkeypatch)
    for key in TABLES:
        edited.make(key, Choices("clue" if key.task in SCRIPTS else "project", limit=2, examples=3, margin=0.05))
    for _ in range(4):  # the recipes of a fourth of the tables each time
        assert edited.check() == set()
    # The benchmark's words are those of its script, and of the project's template where the script has none.
    for name, position in (("script of mednli", 1), ("script of mednli", None), ("mednli.jinja", 1)):
        edited.home.turn(name, position)
        assert edited.check() == keys("prompt_sets"), name
        edited.home.turn(name, DIALS[name].positions[0])
    edited.home.turn("commit of the clone", "second")
    assert edited.check() == {LakeKey("prompt_sets", task=task) for task in SCRIPTS}
    edited.home.turn("commit of the clone", "first")
    assert edited.check() == set()


def test_the_plan_is_what_an_evaluation_would_find_once_all_that_costs_nothing_is_made(
    evaluated: Edited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = copy_of(evaluated, tmp_path / "copy", monkeypatch)
    turns = {
        "source of mednli": ("text", "answer", "spaced", "broken"),
        "mednli.jinja": (1,),
        "weights of tiny": (1,),
        "hub": ("evicted",),
        "place of tiny": ("gone",),
        "code of generations": ("another",),
        "code of scores": ("another",),
        "answers to mednli": (1, None),
    }
    edited.check_plan(CELLS["mednli"], ["mednli"], Choices(), tmp_path / "nothing")
    for name, positions in turns.items():
        for position in positions:
            edited.home.turn(name, position)
            edited.check_plan(CELLS["mednli"], ["mednli"], Choices(), tmp_path / f"{name} {position}")
        edited.home.turn(name, DIALS[name].positions[0])
    edited.check_plan(["baseline-copy", "tiny"], TASKS, Choices(limit=2), tmp_path / "another limit")
    edited.check_plan(["baseline-copy", "tiny"], list(SCRIPTS), Choices("clue"), tmp_path / "other words")
    # It was about every state, where the audit has a word on it too.
    for state in ("fresh", "stale"):
        both = {name.split()[0] for name in edited.seen if name.endswith(f"{state} for the plan and the audit")}
        assert {"datasets", "prompt_sets", "generations", "scores"} <= both, state
    planned = {name.rpartition(" ")[2] for name in edited.seen if name.startswith("planned ")}
    assert planned == {"fresh", "stale", "missing", "follows", "blocked"}


def reasons(edited: Edited) -> dict[LakeKey | None, str]:
    """Why the audit calls tables stale."""
    report = audit_with_event_log(edited.home.lake, edited.home.settings, None)
    assert report.wrong == []
    return {file.place.key: file.reason for file in report.files if file.verdict is Verdict.STALE}


def test_what_cannot_be_worked_out_is_told_and_the_other_tables_are_looked_at(
    evaluated: Edited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = copy_of(evaluated, tmp_path / "copy", monkeypatch)
    lake = edited.home.lake
    # A record of a release that did not write down what was chosen.
    older = LakeKey("generations", "tiny", "medqa")
    (record,) = lake.records([older])
    rows, parameters = lake.rows(older), dict(record.derivation.parameters)
    del parameters["limit"]
    lake.write(older, rows, record.derivation.model_copy(update={"parameters": parameters}), run_id="older")
    expected: dict[LakeKey | None, str] = {older: "parameter: its record does not say `limit`"}
    assert reasons(edited) == expected
    # An engine that was there when the model was asked again.
    check = LakeKey("repeat_checks", "tiny", "mednli")
    find_spec = importlib.util.find_spec
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "medeval_assets.engines.engine_setup.importlib.util.find_spec",
            lambda name: find_spec("json" if name == "vllm" else name),
        )
        edited.home.recipe(check, Choices()).make(lake, run_id="elsewhere")
    expected[check] = "parameter engines changed"
    assert reasons(edited) == expected
    assert edited.home.recipe(check, Choices()).fresh(lake) is None
    # Files that cannot be used any more, told in the words of whoever reads them.
    edited.home.turn("source of medqa", "broken")
    told = reasons(edited).pop(LakeKey("datasets", task="medqa"))
    assert "test.jsonl" in told
    assert "\n" not in told
    edited.home.turn("source of medqa", "first")
    # What nobody thought of.
    monkeypatch.setattr("medeval_assets.recipes.today.dataset_recipe", fail)
    assert reasons(edited) == expected | {
        LakeKey("datasets", task=task): "input: unexpected PermissionError" for task in TASKS
    }


def fail(*_: object) -> None:
    raise PermissionError("a path that is nobody's business")


CHOICES = st.builds(
    Choices,
    prompts=st.sampled_from(["project", "project", "clue"]),
    limit=st.sampled_from([None, None, 2]),
    examples=st.sampled_from([2, 3]),
    margin=st.sampled_from([MARGIN, 0.05]),
)
SAID = st.sampled_from(["A", "neutral"])
"""What loaded models answer."""
TURNS = st.dictionaries(st.sampled_from(sorted(DIALS)), st.integers(1, 5), min_size=1, max_size=3)
"""Dial → how many positions on."""
LEFT_OUT = st.sets(st.sampled_from(["datasets", "prompt_sets", "generations", "scores"]), max_size=1)
"""Assets that are not made again."""


class Edits(RuleBasedStateMachine):
    """Random edits, and tables that are made again, purged and pruned: after each step all agree on what is stale."""

    def __init__(self, start: Edited, seen: Counter[str]) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp())
        self._patch = pytest.MonkeyPatch()
        self._edited = copy_of(start, self._folder / "copy", self._patch)
        self._edited.seen = seen
        self._stale: set[LakeKey] = set()
        self._made = dict(self._edited.ledger.made)

    def teardown(self) -> None:
        self._patch.undo()
        shutil.rmtree(self._folder)

    @rule(turns=TURNS)
    def edit(self, turns: dict[str, int]) -> None:
        """Turn some dials, each so many positions on."""
        for name, steps in turns.items():
            positions = DIALS[name].positions
            at = positions.index(self._edited.home.at[name])
            self._edited.home.turn(name, positions[(at + 1 + steps % (len(positions) - 1)) % len(positions)])
        if all(DIALS[name].harmless for name in turns):
            assert self._edited.ledger.stale() == self._stale

    @rule(turns=TURNS, said=SAID, but=LEFT_OUT)
    def edit_and_make_again(self, turns: dict[str, int], said: str, but: set[str]) -> None:
        self.edit(turns)
        self.make_stale_ones_again(said, but)

    @rule(key=st.sampled_from(TABLES), choices=CHOICES, said=SAID)
    def make_one(self, key: LakeKey, choices: Choices, said: str) -> None:
        if choices.prompts == "clue" and key.task not in SCRIPTS:
            return
        self._edited.make(key, choices, said)

    @rule(said=SAID, but=LEFT_OUT)
    def make_stale_ones_again(self, said: str, but: set[str]) -> None:
        """All that is stale, in order, but the tables of an asset."""
        for key in TABLES:
            made = self._edited.ledger.made.get(key)
            if key.asset not in but:
                self._edited.make(key, made.choices if made is not None else Choices(), said)

    @rule(task=st.sampled_from([*[""] * 20, *TASKS]))
    def remove(self, task: str) -> None:
        """Purge a task, once in a while; else remove old versions."""
        if task:
            self._edited.home.purge(task)
            self._edited.ledger.note_purge(task)
        else:
            self._edited.home.prune()
            assert self._edited.ledger.stale() == self._stale

    @rule(
        models=st.lists(st.sampled_from(CELLS["mednli"]), min_size=1, max_size=2, unique=True),
        tasks=st.lists(st.sampled_from(TASKS), min_size=1, max_size=2, unique=True),
        choices=CHOICES,
    )
    def plan(self, models: list[str], tasks: list[str], choices: Choices) -> None:
        if choices.prompts == "clue":
            tasks = [task for task in tasks if task in SCRIPTS]
        if tasks:
            folder = self._folder / "planned"
            self._edited.check_plan(models, tasks, replace(choices, margin=MARGIN), folder)
            shutil.rmtree(folder)

    @invariant()
    def all_agree(self) -> None:
        stale, made = self._edited.check(), self._edited.ledger.made
        if any(key not in stale and made[key] is self._made.get(key) for key in self._stale if key in made):
            self._edited.seen["an edit that is undone"] += 1
        self._stale, self._made = stale, dict(made)


def edits(start: Edited, examples: int, steps: int) -> Counter[str]:
    """Run so many sequences of so many steps; what was seen."""
    seen: Counter[str] = Counter()
    run_state_machine_as_test(
        partial(Edits, start, seen),  # type: ignore[arg-type]  # any factory does
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            # A step takes some tenths of a second: to make a sequence that fails smaller would take many minutes.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    return seen


def test_after_random_edits_the_stale_tables_are_those_of_first_principles(evaluated: Edited) -> None:
    seen = edits(evaluated, examples=6, steps=14)
    # The same sequences each time, until another release of Hypothesis draws others.
    assert len({name.split()[0] for name in seen if " stale by " in name}) >= 4
    assert len({name.split()[0] for name in seen if "made again with the same rows" in name}) >= 3


@pytest.mark.slow
def test_after_many_random_edits_they_are_too(evaluated: Edited) -> None:
    seen = edits(evaluated, examples=12, steps=20)
    for asset in {key.asset for key in TABLES}:
        assert any(name.startswith(f"{asset} stale by") for name in seen), asset
        assert seen[f"{asset} made again with the same rows"], asset
    for what in ("fresh of a model that is not here", "stale of a model that is not here"):
        assert seen[f"generations {what}"], what
    assert seen["an edit that is undone"]
