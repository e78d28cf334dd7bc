"""After a purge no text of the task is anywhere below MEDEVAL_HOME, and every number is as it was."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import medeval_assets.cli.purge  # noqa: F401 - adds the command
from medeval_assets.audit.seal import seal, verify
from medeval_assets.cli.app import app
from medeval_assets.engines.journal import Entry, Journal
from medeval_assets.engines.protocol import Answer
from medeval_assets.errors import BadInput
from medeval_assets.event_log import audit_with_event_log
from medeval_assets.instance import open_instance
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.tables import TABLES
from medeval_assets.retention.purge import QUOTING
from medeval_assets_tests.graph.small_platform import SmallPlatform, new_platform
from medeval_assets_tests.graph.test_privacy import MARKER, holding, nli_rows, write_nli

TASKS = ("mednli", "medqa")
NUMBERS = tuple(asset for asset in TABLES if asset not in QUOTING)


def texts_of_tables(home: Path) -> dict[str, str]:
    """Every Parquet file's rows as text: in the files themselves they are packed."""
    found = {}
    for path in sorted(home.rglob("*")):
        if path.is_file() and path.read_bytes().startswith(b"PAR1"):
            rows = pq.ParquetFile(path).read().to_pylist()
            found[path.relative_to(home).as_posix()] = json.dumps(rows, ensure_ascii=False)
    return found


def marked(home: Path) -> set[str]:
    """Files below the home that hold the marker: as they are, unpacked from a database, or as rows of a table."""
    return holding(home, MARKER)[0] | {path for path, text in texts_of_tables(home).items() if MARKER in text}


def numbers(platform: SmallPlatform) -> dict[str, bytes]:
    """The tables of numbers, current and earlier, byte for byte."""
    tables = {path: content for path, (_, content) in platform.files().items()}
    return {path: tables[path] for path in tables if path.removeprefix("_versions/").split("/")[0] in NUMBERS}


def medeval(platform: SmallPlatform, *arguments: str, answer: str = "") -> tuple[int, str]:
    settings = platform.settings
    environment = {"MEDEVAL_HOME": str(settings.home), "MEDEVAL_SOURCES": str(settings.sources)}
    done = CliRunner().invoke(app, list(arguments), env=environment, input=answer)
    if isinstance(done.exception, BadInput):
        return 1, f"{done.output}{done.stderr}{done.exception}"
    return done.exit_code, done.output + done.stderr


@pytest.fixture(scope="module")
def evaluated_once(roomy_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallPlatform:
    """Two models, one of them with answers from elsewhere, on two tasks; mednli's real data in two versions."""
    rows = nli_rows()
    answers = [{"example_id": f"pair-{n}", "text": f"entailment, for {MARKER}"} for n in range(6)]
    with new_platform(tmp_path_factory.mktemp("evaluated") / "home", roomy_checkpoint) as platform:
        platform.add_model("m1")
        write_nli(platform, [json.dumps(row) for row in rows[:5]])
        assert platform.evaluate(["m1"], TASKS).problems == []
        write_nli(platform, [json.dumps(row) for row in rows])
        folder = platform.settings.external / "elsewhere"
        folder.mkdir(parents=True)
        (folder / "mednli.jsonl").write_text("".join(json.dumps(answer) + "\n" for answer in answers))
        assert platform.evaluate(["m1", "elsewhere"], TASKS[:1], limit=None).problems == []
        # A model of random weights quotes nothing: another one's journal does.
        journal = Journal(platform.settings.journal, {"model": "talkative"})
        journal.write("mednli", Entry({"0": Answer(MARKER, "stop", 1)}))
        journal.close()
        return platform


@pytest.fixture
def evaluated(evaluated_once: SmallPlatform, platform: SmallPlatform) -> SmallPlatform:
    """A copy of it."""
    return evaluated_once.copied(platform.settings.home)


def test_nothing_of_the_texts_stays_and_every_number_does(evaluated: SmallPlatform) -> None:
    home = evaluated.settings.home
    before = marked(home)
    for place in ("datasets/", "prompt_sets/", "generations/", "_versions/datasets/", "_versions/generations/"):
        assert [path for path in before if path.startswith(f"lake/{place}")], place
    for place in ("journal/", "external/", "sources/"):
        assert [path for path in before if path.startswith(place)], place
    assert len(evaluated.lake.versions(LakeKey("datasets", task="mednli"))) == 2
    counted, answers = numbers(evaluated), evaluated.lake.rows(LakeKey("generations", "m1", "medqa"))

    code, said = medeval(evaluated, "purge", "mednli", "--yes", "--sources")
    assert code == 0, said
    assert MARKER not in said
    assert marked(home) == set()
    assert counted
    assert numbers(evaluated) == counted
    # The search looks into what is there: the other task's texts, and Dagster's packed events.
    assert [path for path, text in texts_of_tables(home).items() if answers[0]["example_id"] in text]
    assert holding(evaluated.settings.dagster, "prepare_tasks")[0]

    code, said = medeval(evaluated, "purge", "mednli", "--yes", "--sources")
    assert code == 0
    assert "Nothing of mednli was left" in said


def test_the_platform_goes_on_after_a_purge(evaluated: SmallPlatform) -> None:
    sources = evaluated.settings.sources / "mednli"
    kept = shutil.copytree(sources, evaluated.settings.home.parent / "kept")
    leaderboard = evaluated.lake.rows(LakeKey("leaderboard"))
    assert medeval(evaluated, "purge", "mednli", "--yes", "--sources")[0] == 0

    # What the purged task gave to the leaderboard is there when it is made anew for another task.
    evaluated.add_model("m2")
    assert evaluated.evaluate(["m2"], ["medqa"]).problems == []
    after = {
        (row["model"], row["task"], row["metric"], row["profile"]): row
        for row in evaluated.lake.rows(LakeKey("leaderboard"))
    }
    assert {key[0] for key in after} >= {"m1", "m2"}
    for row in leaderboard:
        if row["task"] == "mednli":
            assert after[row["model"], "mednli", row["metric"], row["profile"]] == row

    # Samples never take the place of purged data.
    outcome = evaluated.evaluate(["m1"], ["mednli"])
    assert len(outcome.problems) == 1
    assert "were purged" in outcome.problems[0]
    assert evaluated.lake.record(LakeKey("datasets", task="mednli")) is None
    code, said = medeval(evaluated, "plan", "-m", "m1", "-t", "mednli")
    assert (code, "were purged" in said) == (0, True)

    shutil.copytree(kept, sources)
    assert evaluated.evaluate(["m1"], ["mednli"]).problems == []
    record = evaluated.lake.record(LakeKey("datasets", task="mednli"))
    assert record is not None
    assert not record.synthetic


def test_it_asks_before_and_removes_nothing_on_a_no(evaluated: SmallPlatform) -> None:
    before = marked(evaluated.settings.home)
    code, said = medeval(evaluated, "purge", "mednli", answer="n\n")
    assert code == 1
    assert "for good" in said
    assert marked(evaluated.settings.home) == before
    assert medeval(evaluated, "purge", "mednli", answer="y\n")[0] == 0
    assert marked(evaluated.settings.home) == {"sources/mednli/mli_test_v1.jsonl"}


@pytest.mark.parametrize("command", [("purge", "mednli", "--yes"), ("prune", "--older-than", "0")])
def test_it_waits_for_no_run(platform: SmallPlatform, command: tuple[str, ...]) -> None:
    with open_instance(platform.settings) as instance:
        run = dg.DagsterRun(job_name="evaluate_model", run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.STARTED)
        instance.add_run(run)
        code, said = medeval(platform, *command)
        assert (code, "1 in progress" in said) == (1, True)
        instance.delete_run(run.run_id)
    assert medeval(platform, *command)[0] == 0


def test_a_process_that_was_killed_does_not_keep_it_from_working(platform: SmallPlatform) -> None:
    with open_instance(platform.settings) as instance:
        run = dg.DagsterRun(job_name="evaluate_model", run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.STARTED)
        instance.add_run(run)
    processes = platform.settings.dagster / "processes"
    processes.mkdir()
    # Nobody holds a lock on it.
    (processes / uuid.uuid4().hex).write_text(run.run_id + os.linesep)
    assert medeval(platform, "purge", "mednli", "--yes")[0] == 0


def test_prune_keeps_what_the_current_numbers_rest_on(evaluated: SmallPlatform) -> None:
    lake = evaluated.lake
    counted = {path: content for path, (_, content) in evaluated.files().items() if not path.startswith("_")}
    code, said = medeval(evaluated, "prune", "--older-than", "0")
    assert code == 0, said
    assert len(lake.versions(LakeKey("datasets", task="mednli"))) == 1
    assert {removal.reason for removal in lake.removals()} == {"retention"}
    assert {path: content for path, (_, content) in evaluated.files().items() if not path.startswith("_")} == counted


def test_a_seal_from_before_a_purge_still_holds(evaluated: SmallPlatform, tmp_path: Path) -> None:
    manifest = tmp_path / "kept" / "manifest.json"
    seal(evaluated.lake, manifest)
    assert medeval(evaluated, "prune", "--older-than", "0")[0] == 0
    assert medeval(evaluated, "purge", "mednli", "--yes", "--sources")[0] == 0
    found = verify(evaluated.lake, manifest)
    assert found.problems == ()
    assert found.removed == len({removal.file_sha256 for removal in evaluated.lake.removals()}) + 4
    # What was purged must stay away only where it says so: another task's data may not go with it.
    evaluated.lake.fs.rm_file(evaluated.lake.path(LakeKey("datasets", task="medqa")))
    assert [problem.where for problem in verify(evaluated.lake, manifest).problems] == [
        "datasets/task=medqa/data.parquet"
    ]


def test_an_audit_is_clean_after_prune_and_purge(evaluated: SmallPlatform) -> None:
    def wrong(full: bool) -> list[str]:
        with open_instance(evaluated.settings) as instance:
            report = audit_with_event_log(evaluated.lake, evaluated.settings, instance, full=full)
        return [f"{file.path}: {file.verdict} {file.reason}" for file in report.wrong]

    assert wrong(full=False) == []
    assert medeval(evaluated, "prune", "--older-than", "0")[0] == 0
    assert wrong(full=False) == []
    assert medeval(evaluated, "purge", "mednli", "--yes", "--sources")[0] == 0
    assert wrong(full=False) == []
    assert wrong(full=True) == []
    assert marked(evaluated.settings.home) == set()
