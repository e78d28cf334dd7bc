"""The plan says what an evaluation then does: the tables it makes again, the prompts it asks, and nothing besides."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest

import medeval_assets.tasks
from medeval_assets.catalog.task_spec import Decoding
from medeval_assets.engines.loaded_engines import LOADED_ENGINES
from medeval_assets.evaluation import evaluate
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.plan.plan import CellPlan, Plan
from medeval_assets.plan.planning import make_plan
from medeval_assets.progress import LoggedProgress
from medeval_assets.resources import all_models
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.graph.small_platform import SmallPlatform, loads, new_platform

MODELS = ["m1", "m2", "baseline-random"]
TASKS = ["medqa", "pubmedqa"]  # neighbours, so that they share their runs
LIMIT = 4
ASSETS = ("datasets", "prompt_sets", "generations", "scores", "metric_tables", "leaderboard", "comparisons")

CLUE_SCRIPT = '''
sys_prompt = "You weigh notes."
user_prompt_template = """{sentence1} {sentence2}"""
assistant_response_template = """{gold_label}"""
'''


@dataclass
class Evaluated:
    """A platform and how it is evaluated; `plan` and `evaluate` are asked for the same."""

    platform: SmallPlatform
    models: Sequence[str] = tuple(MODELS)
    tasks: Sequence[str] = tuple(TASKS)
    limit: int | None = LIMIT
    prompts: Literal["project", "clue"] = "project"

    @property
    def home(self) -> Path:
        return self.platform.settings.home

    def plan(self) -> Plan:
        """The plan; making it loads nothing and touches no file."""
        loaded, files = loads(), self.files()
        made = make_plan(
            self.platform.settings,
            all_models(self.platform.settings),
            self.models,
            self.tasks,
            progress=LoggedProgress(),
            limit=self.limit,
            prompts=self.prompts,
        )
        assert loads() == loaded
        assert self.files() == files
        return made

    def evaluate(self) -> list[str]:
        known = all_models(self.platform.settings)
        specs = [known[key] for key in self.models]
        outcome = evaluate(
            self.platform.settings,
            specs,
            self.tasks,
            progress=LoggedProgress(),
            limit=self.limit,
            prompts=self.prompts,
        )
        return outcome.problems

    def files(self) -> dict[Path, tuple[int, int]]:
        """Every file and folder below the home, with its time of change and its size."""
        return {path: (path.lstat().st_mtime_ns, path.lstat().st_size) for path in self.home.rglob("*")}

    def made(self) -> dict[LakeKey, str]:
        """Every table and the run that made it."""
        records = [self.platform.lake.record(key) for asset in ASSETS for key in self.platform.lake.keys(asset)]
        return {record.key: record.run_id for record in records if record is not None}

    def asked(self) -> dict[str, tuple[int, int]]:
        """Task → how many requests were answered so far, and their prompt tokens, as the journal has them."""
        counted: dict[str, tuple[int, int]] = {}
        for path in self.platform.settings.journal.rglob("*.jsonl"):
            for line in path.read_bytes().splitlines():
                batch = json.loads(line.partition(b" ")[2])
                answers, tokens = counted.get(path.parent.name, (0, 0))
                counted[path.parent.name] = answers + len(batch["answers"]), tokens + batch["prompt_tokens"]
        return counted


@pytest.fixture(scope="module")
def evaluated_once(roomy_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallPlatform:
    """Two models and a baseline, evaluated on a few prompts of two tasks."""
    questions = [
        {"question": f"Which is {n}?", "options": {"A": "0", "B": "1"}, "answer_idx": "AB"[n % 2]} for n in range(12)
    ]
    with new_platform(tmp_path_factory.mktemp("evaluated") / "home", roomy_checkpoint) as platform:
        platform.add_model("m1")
        platform.add_model("m2", role="biomedical", base="m1")
        platform.write_source("medqa", "test.jsonl", "\n".join(map(json.dumps, questions)))
        assert Evaluated(platform).evaluate() == []
        return platform


@pytest.fixture
def evaluated(evaluated_once: SmallPlatform, platform: SmallPlatform) -> Evaluated:
    """A copy of it."""
    return Evaluated(evaluated_once.copied(platform.settings.home))


def states(plan: Plan) -> dict[LakeKey, str]:
    """Every table that is not fresh, and what becomes of it."""
    named = [(LakeKey(table.asset, task=task.task), table) for task in plan.tasks for table in task.tables]
    named += [
        (LakeKey(table.asset, model.model, cell.task), table)
        for model in plan.models
        for cell in model.cells
        for table in cell.tables
    ]
    named += [(LakeKey(table.asset), table) for table in plan.reports]
    return {key: table.state for key, table in named if table.state != "fresh"}


def cells(plan: Plan) -> dict[tuple[str, str], CellPlan]:
    return {(model.model, cell.task): cell for model in plan.models for cell in model.cells}


def agree(evaluated: Evaluated) -> Plan:
    """The plan, which the evaluation after it has kept to."""
    LOADED_ENGINES.close()
    plan = evaluated.plan()
    expected = states(plan)
    for_sure = {key for key, state in expected.items() if state in {"missing", "stale"}}
    before, asked_before, loaded_before = evaluated.made(), evaluated.asked(), loads()
    assert evaluated.evaluate() == []
    after, asked_after, loaded_after = evaluated.made(), evaluated.asked(), loads()

    made = {key for key in after if after[key] != before.get(key)}
    assert for_sure <= made <= set(expected)
    assert {key for key in made if key.asset in {"datasets", "prompt_sets", "generations"}} == {
        key for key in for_sure if key.asset in {"datasets", "prompt_sets", "generations"}
    }
    for task in evaluated.tasks:
        costs = [cell.cost for (_, name), cell in cells(plan).items() if name == task and cell.cost]
        (answers, tokens), (now_answers, now_tokens) = (one.get(task, (0, 0)) for one in (asked_before, asked_after))
        assert sum(cost.to_ask for cost in costs) == now_answers - answers
        assert sum(cost.prompt_tokens or 0 for cost in costs) == now_tokens - tokens
    loaded = {key for key, count in loaded_after.items() if count > loaded_before.get(key, 0)}
    assert {model.model for model in plan.models if model.loads} == loaded

    assert evaluated.plan().nothing_to_do
    LOADED_ENGINES.close()
    return plan


def test_nothing_changed(evaluated: Evaluated) -> None:
    plan = evaluated.plan()
    assert states(plan) == {}
    assert plan.nothing_to_do
    assert [model.loads for model in plan.models] == [False] * 3


def test_nothing_is_there_yet(platform: SmallPlatform) -> None:
    platform.add_model("m1")
    plan = agree(Evaluated(platform, models=["m1", "baseline-copy"], limit=2))
    assert {state for key, state in states(plan).items() if key.asset in ("datasets", "prompt_sets")} == {"missing"}
    cost = cells(plan)["m1", "medqa"].cost
    assert cost is not None
    assert (cost.prompts, cost.answered, cost.to_ask) == (2, 0, 2)
    assert cost.prompt_tokens
    # Nothing was measured, so there is an upper bound of tokens and no word on time.
    assert (cost.generated_tokens, cost.generated_from) == (
        2 * all_tasks()["medqa"].decoding.max_new_tokens,
        "at most",
    )
    assert cost.seconds is None
    baseline = cells(plan)["baseline-copy", "medqa"].cost
    assert baseline is not None
    assert (baseline.answered, baseline.to_ask, baseline.seconds) == (2, 0, 0.0)


def change_source(evaluated: Evaluated, old: str, new: str) -> None:
    source = evaluated.home / "sources" / "medqa" / "test.jsonl"
    assert old in source.read_text()
    source.write_text(source.read_text().replace(old, new))


def test_a_changed_text_of_a_source(evaluated: Evaluated) -> None:
    change_source(evaluated, "Which is", "Which one is")
    plan = agree(evaluated)
    (medqa, pubmedqa) = plan.tasks
    assert [change.name for change in medqa.datasets.changes] == ["test.jsonl"]
    assert [change.name for change in medqa.prompt_sets.changes] == ["datasets × medqa"]
    assert {table.state for table in pubmedqa.tables} == {"fresh"}
    cost = cells(plan)["m1", "medqa"].cost
    assert cost is not None
    assert (cost.prompts, cost.answered, cost.to_ask) == (4, 0, 4)
    # The task was measured with this model before.
    assert (cost.generated_from, cost.seconds_from) == ("measured", "measured")
    assert cost.seconds is not None
    assert cost.seconds > 0


def test_a_source_that_says_the_same_in_other_bytes(evaluated: Evaluated) -> None:
    change_source(evaluated, '{"question"', '{ "question"')
    assert set(states(agree(evaluated))) == {LakeKey("datasets", task="medqa")}


def test_a_right_answer_that_was_corrected(evaluated: Evaluated) -> None:
    prompts = evaluated.platform.lake.rows(LakeKey("prompt_sets", task="medqa"))
    shots = {shot for row in prompts for shot in row["shots"]}
    examples = evaluated.platform.lake.rows(LakeKey("datasets", task="medqa"))
    line = next(number for number, row in enumerate(examples) if row["example_id"] not in shots)
    source = evaluated.home / "sources" / "medqa" / "test.jsonl"
    rows = [json.loads(text) for text in source.read_text().splitlines()]
    rows[line]["answer_idx"] = "B" if rows[line]["answer_idx"] == "A" else "A"
    source.write_text("\n".join(map(json.dumps, rows)))
    expected = states(agree(evaluated))
    # The prompts come out as before, so no model is asked.
    assert {key.asset for key in expected} == set(ASSETS)
    assert {key.model for key in expected if key.asset == "generations"} == {"baseline-random"}


def one_weight_byte(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(bytes(content))


def template(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text() + "{# another template #}")


@pytest.mark.parametrize(("change", "name"), [(one_weight_byte, "weights_sha256"), (template, "chat_template_sha256")])
def test_another_model_under_the_same_key(evaluated: Evaluated, change: Callable[[Path], None], name: str) -> None:
    change(evaluated.home / "mine" / "m1")
    plan = agree(evaluated)
    generations = {key: state for key, state in states(plan).items() if key.asset == "generations"}
    assert generations == {LakeKey("generations", "m1", task): "stale" for task in TASKS}
    for task in TASKS:
        cell = cells(plan)["m1", task]
        assert [change.name for change in cell.generations.changes] == [name]
        assert (cell.scores.state, cell.metric_tables.state) == ("follows", "follows")
        assert cell.cost is not None
        # What another model generated on the task is the best guess there is.
        assert cell.cost.generated_from == "measured for other models"
        assert cell.cost.seconds is None


def test_a_larger_limit_asks_for_what_is_new(evaluated: Evaluated) -> None:
    plan = agree(replace(evaluated, limit=6))
    for model in ("m1", "m2"):
        for task in TASKS:
            cell = cells(plan)[model, task]
            assert [(one.name, one.before, one.after) for one in cell.generations.changes] == [("limit", 4, 6)]
            assert cell.cost is not None
            assert (cell.cost.prompts, cell.cost.answered, cell.cost.to_ask) == (6, 4, 2)
    total = plan.models[0].total
    assert (total.prompts, total.to_ask, total.seconds_from) == (12, 4, "measured")


def test_a_smaller_limit_asks_nothing(evaluated: Evaluated) -> None:
    plan = agree(replace(evaluated, limit=3))
    cell = cells(plan)["m1", "medqa"]
    assert cell.cost is not None
    assert (cell.cost.prompts, cell.cost.answered, cell.cost.to_ask) == (3, 3, 0)
    assert not any(model.loads for model in plan.models)
    # The answers are known, so what comes of them is known as well.
    assert cell.scores.state == "stale"


def test_another_decoding(evaluated: Evaluated, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = all_tasks()
    specs["medqa"] = replace(specs["medqa"], decoding=Decoding(max_new_tokens=3))
    monkeypatch.setattr(medeval_assets.tasks, "_own_tasks", lambda: specs)
    plan = agree(evaluated)
    generations = {key for key, state in states(plan).items() if key.asset == "generations" and state == "stale"}
    assert generations == {LakeKey("generations", model, "medqa") for model in MODELS}
    (change, *_) = cells(plan)["m1", "medqa"].generations.changes
    assert (change.kind, change.name, change.after) == ("parameter", "decoding.max_new_tokens", 3)


RECIPES = {asset: f"recipes.{asset}" for asset in ASSETS} | {"generations": "engines.cell"}


@pytest.mark.parametrize(
    "stale",
    [
        ["datasets", "prompt_sets", "leaderboard", "comparisons"],
        ["generations", "metric_tables"],
        ["scores"],
    ],
    ids=" ".join,
)
def test_another_code_version(evaluated: Evaluated, monkeypatch: pytest.MonkeyPatch, stale: list[str]) -> None:
    for asset in stale:
        monkeypatch.setattr(f"medeval_assets.{RECIPES[asset]}.CODE_VERSION", "another")
    plan = agree(evaluated)
    # What is made again comes out as before, so nothing else is stale by it.
    assert {key.asset for key, state in states(plan).items() if state == "stale"} == set(stale)
    assert {change.kind for table in plan.tables for change in table.changes} == {"code version"}
    assert not any(model.loads for model in plan.models)


def test_another_wording_is_planned_with_todays_prompts(platform: SmallPlatform) -> None:
    platform.add_model("m1")
    evaluated = Evaluated(platform, models=["m1"], tasks=["mednli"], limit=2)
    assert evaluated.evaluate() == []
    script = evaluated.home / "clue" / "eval" / "eval_mednli.py"
    script.parent.mkdir(parents=True)
    script.write_text(CLUE_SCRIPT)
    plan = agree(replace(evaluated, prompts="clue"))
    (mednli,) = plan.tasks
    assert mednli.datasets.state == "fresh"
    assert {"prompts", "wording.wording"} <= {change.name for change in mednli.prompt_sets.changes}
    cost = cells(plan)["m1", "mednli"].cost
    assert cost is not None
    assert (cost.answered, cost.to_ask) == (0, 2)


def test_what_cannot_be_made_is_told_and_left_alone(evaluated: Evaluated) -> None:
    change_source(evaluated, '"answer_idx": "A"', '"answer_idx": "E"')
    (evaluated.home / "mine" / "m2" / "model.safetensors").unlink()
    plan = evaluated.plan()
    (medqa, pubmedqa) = plan.tasks
    assert not medqa.ready
    assert "test.jsonl" in medqa.datasets.problem
    assert pubmedqa.ready
    m1, m2, baseline = plan.models
    assert (m1.state, m2.state, baseline.state) == ("here", "blocked", "here")
    assert "m2" in m2.problem
    assert {cell.task: cell.generations.state for cell in m1.cells} == {"medqa": "blocked", "pubmedqa": "fresh"}
    assert not plan.nothing_to_do
    before = evaluated.made()
    assert evaluated.evaluate()
    assert evaluated.made() == before


def test_models_whose_files_are_not_here_are_named_and_nothing_is_downloaded(
    evaluated: Evaluated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(evaluated.home / "hub"))
    plan = replace(evaluated, models=["llama-3-8b-instruct", "m1"], tasks=["medqa"]).plan()
    hub, m1 = plan.models
    assert (hub.state, list(hub.cells)) == ("not here", [])
    assert "not on this machine" in hub.problem
    assert m1.state == "here"
    assert not plan.nothing_to_do


def test_a_table_that_cannot_be_read_is_made_again(evaluated: Evaluated) -> None:
    path = Path(Lake(evaluated.platform.settings.lake).path(LakeKey("generations", "m1", "medqa")))
    path.write_bytes(path.read_bytes()[:100])
    plan = evaluated.plan()
    cell = cells(plan)["m1", "medqa"]
    assert cell.generations.state == "stale"
    assert "cannot be read" in cell.generations.problem
    assert cell.cost is not None
    assert cell.cost.to_ask == 0
    assert evaluated.evaluate() == []
    assert evaluated.plan().nothing_to_do


def test_it_is_whole_as_json(evaluated: Evaluated) -> None:
    told: dict[str, Any] = json.loads(json.dumps(replace(evaluated, limit=6).plan().as_json()))
    assert (told["limit"], told["prompts"], told["nothing_to_do"]) == (6, "project", False)
    assert [task["task"] for task in told["tasks"]] == TASKS
    assert [model["model"] for model in told["models"]] == MODELS
    m1 = told["models"][0]
    assert m1["loads"] is True
    assert m1["total"]["to_ask"] == sum(cell["cost"]["to_ask"] for cell in m1["cells"])
    assert {report["asset"]: report["state"] for report in told["reports"]} == dict.fromkeys(
        ("leaderboard", "comparisons"), "follows"
    )
