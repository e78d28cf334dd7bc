"""Plan, audit, the UI and the assets themselves name the same tables as stale."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

import medeval_assets.cli.audit  # noqa: F401 - adds the command
from medeval_assets.cli.app import app
from medeval_assets.engines.cell import cell_of
from medeval_assets.engines.generations import Generation
from medeval_assets.engines.respondents import respondent_of
from medeval_assets.evaluation import evaluate
from medeval_assets.instance import open_instance
from medeval_assets.lake.key import LakeKey
from medeval_assets.partitions import grid_key, model_run_request, task_range_tags
from medeval_assets.progress import LoggedProgress
from medeval_assets.resources import all_models
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.graph.dagster_ui import Check, dagster_ui
from medeval_assets_tests.graph.small_platform import SmallPlatform, new_platform

pytestmark = pytest.mark.slow

MODELS = ("m1", "baseline-majority")
TASKS = ("medmcqa", "medqa")  # neighbours, so that they share their runs
BY_TASK = ("datasets", "prompt_sets")
BY_CELL = ("generations", "scores", "metric_tables")
REPORTS = ("leaderboard", "comparisons")
ASSETS = (*BY_TASK, *BY_CELL, "repeat_checks", *REPORTS)
"""In the order the data flow."""
PARTITIONED = (*BY_TASK, *BY_CELL, "repeat_checks")

LIMIT = 2


def write_medqa(platform: SmallPlatform, wording: str, separators: tuple[str, str] = (", ", ": ")) -> None:
    rows = [
        {"question": f"{wording} {n}?", "options": {"A": "0", "B": "1"}, "answer_idx": "AB"[n % 2]} for n in range(6)
    ]
    lines = [json.dumps(row, separators=separators) for row in rows]
    platform.write_source("medqa", "test.jsonl", "\n".join(lines))


@pytest.fixture(scope="module")
def evaluated_once(roomy_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallPlatform:
    """A model and the baseline it is compared with, on two tasks and the model asked again; audited."""
    with new_platform(tmp_path_factory.mktemp("evaluated") / "home", roomy_checkpoint) as platform:
        write_medqa(platform, "Which is")
        platform.add_model("m1", base="baseline-majority")
        known = all_models(platform.settings)
        outcome = evaluate(
            platform.settings,
            [known[key] for key in MODELS],
            TASKS,
            progress=LoggedProgress(),
            limit=LIMIT,
            repeat=LIMIT,
            audit=True,
        )
        assert outcome.problems == []
        return platform


@pytest.fixture
def evaluated(evaluated_once: SmallPlatform, platform: SmallPlatform) -> SmallPlatform:
    """A copy of it."""
    return evaluated_once.copied(platform.settings.home)


@pytest.fixture
def instance(evaluated: SmallPlatform) -> Iterator[dg.DagsterInstance]:
    with open_instance(evaluated.settings) as opened:
        yield opened


def made(platform: SmallPlatform) -> dict[LakeKey, str]:
    """Every table and when it was made."""
    keys = [key for asset in ASSETS for key in platform.lake.keys(asset)]
    return {record.key: record.created_at for record in platform.lake.records(keys)}


def printed(platform: SmallPlatform, *arguments: str) -> dict[str, Any]:
    """What a command prints with --json."""
    environment = {"MEDEVAL_HOME": str(platform.settings.home), "MEDEVAL_SOURCES": str(platform.settings.sources)}
    done = CliRunner().invoke(app, [*arguments, "--json"], env=environment)
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def stale_for_audit(platform: SmallPlatform) -> set[LakeKey]:
    files = printed(platform, "audit")["files"]
    return {LakeKey(file["asset"], file["model"], file["task"]) for file in files if file["verdict"] == "stale"}


def planned(platform: SmallPlatform) -> dict[LakeKey, str]:
    """Table → what the plan says becomes of it. It knows no repeat checks: an evaluation makes none unless told."""
    chosen = [word for model in MODELS for word in ("-m", model)] + [word for task in TASKS for word in ("-t", task)]
    plan = printed(platform, "plan", *chosen, "--limit", str(LIMIT))
    states = {LakeKey(asset, task=task["task"]): task[asset]["state"] for task in plan["tasks"] for asset in BY_TASK}
    for model in plan["models"]:
        for cell in model["cells"]:
            states |= {LakeKey(asset, model["model"], cell["task"]): cell[asset]["state"] for asset in BY_CELL}
    return {**states, **{LakeKey(table["asset"]): table["state"] for table in plan["reports"]}}


def stale_in_ui(instance: dg.DagsterInstance, run_id: str | None = None) -> set[str]:
    """The tables that the checks on the assets' pages call stale. run_id: of the run that all of them are from."""
    with dagster_ui(instance) as ui:
        checks = ui.checks(ASSETS, "up_to_date")
    assert set(checks) == set(ASSETS)
    found = set()
    for asset, check in checks.items():
        assert check is not None, asset
        assert run_id in {None, check.run_id}
        assert check.severity == "WARN"
        assert check.passed == (check.metadata["stale"] == 0)
        assert check.metadata["stale"] == len(check.metadata["findings"])
        assert all(check.metadata["findings"].values())
        found |= set(check.metadata["findings"])
    return found


def materialize(
    platform: SmallPlatform, instance: dg.DagsterInstance, asset: str, tags: Mapping[str, str], config: Any = None
) -> None:
    """Materialize one asset, as its page does."""
    job = dg.define_asset_job("one_asset", selection=[asset])
    definitions = dg.Definitions.merge(platform.definitions(), dg.Definitions(jobs=[job]))
    run_config = {"ops": {asset: {"config": config}}} if config else {}
    result = definitions.resolve_job_def("one_asset").execute_in_process(
        instance=instance, tags=dict(tags), run_config=run_config
    )
    assert result.success


def make_again(platform: SmallPlatform, instance: dg.DagsterInstance, asset: str) -> set[LakeKey]:
    """Materialize every table of the asset; which ones were really made."""
    before = made(platform)
    if asset in REPORTS:
        materialize(platform, instance, asset, {})
    elif asset in BY_TASK:
        materialize(platform, instance, asset, task_range_tags(TASKS))
    else:
        config = {"generations": {"limit": LIMIT}, "repeat_checks": {"examples": LIMIT}}.get(asset)
        for model in MODELS[:1] if asset == "repeat_checks" else MODELS:
            tags = model_run_request(all_models(platform.settings)[model], TASKS).tags
            materialize(platform, instance, asset, tags, config)
    after = made(platform)
    assert set(after) == set(before)
    return {key for key in after if after[key] != before[key]}


def before(key: LakeKey) -> set[str]:
    """The assets that a table of this one's may be made from, by whatever steps."""
    return set(ASSETS[: ASSETS.index(key.asset)]) - ({"leaderboard"} if key.asset == "comparisons" else set())


def other_text(platform: SmallPlatform, _: pytest.MonkeyPatch) -> None:
    write_medqa(platform, "Which one is")


def other_bytes(platform: SmallPlatform, _: pytest.MonkeyPatch) -> None:
    write_medqa(platform, "Which is", (",", ":"))


def other_template(platform: SmallPlatform, _: pytest.MonkeyPatch) -> None:
    path = platform.settings.home / "mine" / "m1" / "chat_template.jinja"
    path.write_text(path.read_text() + "{# another #}")


def other_code(_: SmallPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    for asset in ("prompt_sets", "scores", "leaderboard"):
        monkeypatch.setattr(f"medeval_assets.recipes.{asset}.CODE_VERSION", "another")


Edit = Callable[[SmallPlatform, pytest.MonkeyPatch], None]


def test_plan_audit_ui_and_assets_agree_on_what_is_stale(
    evaluated: SmallPlatform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_agree_that_nothing_is_stale(evaluated, instance)
    other_text(evaluated, monkeypatch)
    other_template(evaluated, monkeypatch)
    assert all_agree(evaluated, instance) == {"datasets", "generations", "repeat_checks"}
    other_code(evaluated, monkeypatch)
    assert all_agree(evaluated, instance) == {"prompt_sets", "scores", "leaderboard"}


@pytest.mark.parametrize(
    ("edit", "assets"),
    [(other_bytes, {"datasets"}), (other_template, {"generations", "repeat_checks"})],
)
def test_they_agree_after_a_single_edit(
    evaluated: SmallPlatform,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    edit: Edit,
    assets: set[str],
) -> None:
    edit(evaluated, monkeypatch)
    assert all_agree(evaluated, instance) == assets


def all_agree_that_nothing_is_stale(platform: SmallPlatform, instance: dg.DagsterInstance) -> None:
    assert stale_for_audit(platform) == set()
    assert set(planned(platform).values()) == {"fresh"}
    assert stale_in_ui(instance) == set()


def all_agree(platform: SmallPlatform, instance: dg.DagsterInstance) -> set[str]:
    """Compare what each says, then make all again; the assets that had stale tables."""
    stale = stale_for_audit(platform)
    of_stale = {key.asset for key in stale}
    # The plan makes in memory what comes before, so what it says of a table is about the one that is there as long as
    # nothing before it is made.
    states = planned(platform)
    changed = {key for key, state in states.items() if state != "fresh"}
    of_changed = {key.asset for key in changed}
    assert {key for key in changed if states[key] == "stale" and not before(key) & of_changed} == {
        key for key in stale if not before(key) & of_stale
    }
    # An evaluation asks nothing again unless it is told to.
    assert {key.asset for key in stale - changed} <= {"repeat_checks"}

    run = platform.definitions().resolve_job_def("audit_lineage").execute_in_process(instance=instance)
    assert run.success
    assert stale_in_ui(instance, run.run_id) == set(map(str, stale))
    rows = platform.lake.rows(LakeKey("lineage_audit"))
    assert {LakeKey(row["asset"], row["model"], row["task"]) for row in rows if row["verdict"] == "stale"} == stale

    for asset in ASSETS:
        expected = {key for key in stale_for_audit(platform) if key.asset == asset}
        assert make_again(platform, instance, asset) == expected, asset
    # Each was checked in the run that made it.
    all_agree_that_nothing_is_stale(platform, instance)
    return of_stale


def test_dagster_itself_calls_nothing_out_of_date_that_is_not(
    evaluated: SmallPlatform, instance: dg.DagsterInstance
) -> None:
    def nothing_is_out_of_date() -> None:
        with dagster_ui(instance) as ui:
            assert ui.out_of_date([*ASSETS, "lineage_audit"]) == {}
            told = {(asset, key): ui.partition(asset, key) for asset in PARTITIONED for key in partitions(asset)}
            assert set(told.values()) == {("FRESH", (), "content_sha256 of each partition")}
            versions = ui.data_versions([*REPORTS, "lineage_audit"])
        records = evaluated.lake.records([LakeKey(asset) for asset in versions])
        assert versions == {record.asset: record.content_sha256 for record in records}

    # After runs of several partitions, after one of a single one that changes nothing, ...
    nothing_is_out_of_date()
    materialize(evaluated, instance, "datasets", task_range_tags(["medqa"]))
    materialize(evaluated, instance, "prompt_sets", task_range_tags(["medqa"]))
    nothing_is_out_of_date()
    # ... and after one that fails for another partition.
    evaluated.write_source("medmcqa", "dev.json", "{}")
    assert not evaluated.run(instance, "prepare_tasks", task_range_tags(TASKS))
    nothing_is_out_of_date()
    # What it knows nothing of are files, and the content of single partitions: the checks tell of these.
    write_medqa(evaluated, "Which one is")
    nothing_is_out_of_date()
    assert stale_for_audit(evaluated) >= {LakeKey("datasets", task="medqa")}
    materialize(evaluated, instance, "datasets", task_range_tags(["medqa"]))
    nothing_is_out_of_date()
    assert LakeKey("prompt_sets", task="medqa") in stale_for_audit(evaluated)


def test_the_leaderboard_follows_new_data_so_that_dagster_does_not_call_it_out_of_date(
    evaluated: SmallPlatform, instance: dg.DagsterInstance
) -> None:
    definitions = evaluated.definitions()
    asked = dg.evaluate_automation_conditions(definitions, instance, dg.AssetSelection.assets("leaderboard"))
    materialize(evaluated, instance, "datasets", task_range_tags(["mednli"]))
    with dagster_ui(instance) as ui:
        assert ui.out_of_date(ASSETS) == {"leaderboard": ["has a new data version"]}
    assert LakeKey("leaderboard") not in stale_for_audit(evaluated)
    asked = dg.evaluate_automation_conditions(
        definitions, instance, dg.AssetSelection.assets("leaderboard"), cursor=asked.cursor
    )
    assert asked.get_num_requested(dg.AssetKey("leaderboard")) == 1
    materialize(evaluated, instance, "leaderboard", {})
    with dagster_ui(instance) as ui:
        assert ui.out_of_date(ASSETS) == {}


def test_there_is_no_leaderboard_for_data_alone(platform: SmallPlatform) -> None:
    leaderboard = dg.AssetSelection.assets("leaderboard")
    with open_instance(platform.settings) as opened:
        definitions = platform.definitions()
        asked = dg.evaluate_automation_conditions(definitions, opened, leaderboard)
        opened.report_runless_asset_event(dg.AssetMaterialization("datasets", partition="mednli"))
        asked = dg.evaluate_automation_conditions(definitions, opened, leaderboard, cursor=asked.cursor)
        assert asked.total_requested == 0


def test_a_model_whose_files_are_not_here_is_named_and_stale_by_what_can_be_seen(
    platform: SmallPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = platform.settings.home
    monkeypatch.setenv("HF_HOME", str(home / "hub"))
    repository, commit = home / "hub" / "hub" / "models--someone--tiny", "a" * 40
    shutil.copytree(platform.checkpoint, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    entry = "{checkpoint: hub:someone/tiny, role: generalist, engine: {gpus: 0}}"
    (home / "models.yaml").write_text(f"models:\n  hub: {entry}\n")
    write_medqa(platform, "Which is")
    with open_instance(platform.settings) as opened:
        assert platform.run(opened, "prepare_tasks", task_range_tags(["medqa"]))
        models = all_models(platform.settings)
        respondent = respondent_of(models["hub"], models, platform.settings, download=False)
        cell = cell_of(platform.lake, "hub", all_tasks()["medqa"], respondent, None)
        asked = cell.questions(platform.lake).prompts
        answers = [Generation(one.example_id, one.prompt_sha256, "A", "stop") for one in asked]
        cell.recipe(answers).make(platform.lake, run_id="run")
        shutil.rmtree(repository)

        def told() -> Check:
            job = platform.definitions().resolve_job_def("audit_lineage")
            assert job.execute_in_process(instance=opened).success
            with dagster_ui(opened) as ui:
                check = ui.checks(["generations"], "up_to_date")["generations"]
            assert check is not None
            return check

        check = told()
        assert check.passed
        assert check.metadata["models_not_here"] == ["hub"]
        write_medqa(platform, "Which one is")
        assert platform.run(opened, "prepare_tasks", task_range_tags(["medqa"]))
        check = told()
        assert not check.passed
        assert check.metadata["findings"] == {"generations × hub × medqa": "input prompt_sets × medqa changed"}
        assert check.metadata["models_not_here"] == ["hub"]


def partitions(asset: str) -> list[str]:
    """Those that were evaluated."""
    if asset in BY_TASK:
        return list(TASKS)
    return [str(grid_key(model, task)) for model in MODELS for task in TASKS if asset in BY_CELL or model == "m1"]
