"""An evaluation that is asked to stop keeps its batch, says so, and goes on from there when it is asked again."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from medeval_assets.instance import open_instance
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.settings import Settings
from medeval_assets_tests.e2e.conftest import BIN, Medeval, environment

pytestmark = pytest.mark.slow

TASKS = ("meqsum", "problem_summary")
EVALUATE = ("evaluate", "-m", "tiny", "-t", TASKS[0], "-t", TASKS[1], "--limit", "10")
ASSETS = ("generations", "scores", "metric_tables")

# The installed command with batches so small that many are left when the first one is kept.
_SMALL_BATCHES = """
import sys
from medeval_assets.engines import transformers_engine
transformers_engine.TOKENS_ON_CPU = 1000
from medeval_assets.cli import main
main()
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", _SMALL_BATCHES, *arguments]


def answers(home: Path, task: str) -> list[str]:
    """The hash of every answer to the task in the journal, one by one."""
    hashes: list[str] = []
    for path in (home / "journal").glob(f"*/{task}/*.jsonl"):
        for line in path.read_bytes().splitlines():
            hashes += json.loads(line.partition(b" ")[2])["answers"]
    return hashes


def contents(home: Path) -> dict[LakeKey, str]:
    lake = Lake(home / "lake")
    found = {}
    for asset in ASSETS:
        for key in lake.keys(asset):
            record = lake.record(key)
            assert record is not None
            found[key] = record.content_sha256
    return found


def wait_for_answers(process: subprocess.Popen[str], home: Path, task: str) -> None:
    while not answers(home, task):
        assert process.poll() is None, "it ended before the first batch of the task"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_evaluation_is_told_recorded_and_gone_on_with(
    home: Path, working_folder: Path, tiny_model: str, number: signal.Signals
) -> None:
    first, second = TASKS
    running = {"cwd": working_folder, "env": environment(home), "encoding": "utf-8"}
    with subprocess.Popen(command(*EVALUATE), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **running) as process:  # type: ignore[call-overload]
        # The tasks are answered one after the other, so the first cell is kept by then.
        wait_for_answers(process, home, second)
        process.send_signal(number)
        said, complaints = process.communicate(timeout=300)
    assert process.returncode == 128 + number
    assert "Traceback" not in complaints
    assert said == ""
    told = complaints.splitlines()
    assert "stopping after the batch in flight; once more stops at once" in told
    assert told[-1] == "Stopped. Every answer so far is kept: the same command goes on from there."

    settings = Settings(home=home, sources=home / "sources")
    kept = answers(home, second)
    with open_instance(settings) as instance:
        assert instance.get_materialized_partitions(dg.AssetKey("generations")) == {f"tiny|{first}"}
        [run] = instance.get_runs(dg.RunsFilter(job_name="evaluate_model"))
        assert run.status in {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
        assert instance.get_runs(dg.RunsFilter(job_name="refresh_reports")) == [], "it went on after it was stopped"
    assert not list((home / "dagster" / "processes").iterdir())
    assert contents(home).keys() == {LakeKey("generations", "tiny", first)}
    assert len(answers(home, first)) == len(Lake(home / "lake").rows(LakeKey("generations", "tiny", first)))

    done = subprocess.run(command(*EVALUATE), capture_output=True, check=False, timeout=300, **running)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    for task in TASKS:
        assert len(answers(home, task)) == len(set(answers(home, task))), "a batch was computed twice"
    whole = len(Lake(home / "lake").rows(LakeKey("generations", "tiny", second)))
    assert 0 < len(kept) < whole == len(answers(home, second))
    assert len(contents(home)) == len(ASSETS) * len(TASKS)
    if number is signal.SIGINT:
        return

    undisturbed = home.with_name("undisturbed")
    undisturbed.mkdir()
    (undisturbed / "models.yaml").write_text((home / "models.yaml").read_text())
    running["env"] = environment(undisturbed)
    subprocess.run(command(*EVALUATE), capture_output=True, check=True, timeout=300, **running)  # type: ignore[call-overload]
    assert contents(undisturbed) == contents(home)


def test_two_evaluations_at_once_take_turns_and_both_succeed(home: Path, working_folder: Path, tiny_model: str) -> None:
    """One cell, two processes, one Dagster instance."""
    processes = [
        subprocess.Popen(
            [BIN / "medeval", "evaluate", "-m", "tiny", "-t", "mednli", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=working_folder,
            env=environment(home),
            encoding="utf-8",
        )
        for _ in range(2)
    ]
    rows = []
    for process in processes:
        said, complaints = process.communicate(timeout=300)
        assert process.returncode == 0, complaints
        assert "Traceback" not in complaints
        rows.append(json.loads(said)["rows"])
    assert rows[0] == rows[1] != []
    assert len(answers(home, "mednli")) == len(set(answers(home, "mednli"))), "an answer was computed twice"
    with open_instance(Settings(home=home, sources=home / "sources")) as instance:
        assert all(run.status is dg.DagsterRunStatus.SUCCESS for run in instance.get_runs())


def test_who_waits_for_a_turn_can_be_stopped_and_the_dead_are_not_waited_for(
    home: Path, working_folder: Path, tiny_model: str, medeval: Medeval
) -> None:
    running = {"cwd": working_folder, "env": environment(home), "encoding": "utf-8", "stderr": subprocess.PIPE}
    with subprocess.Popen(command(*EVALUATE), **running) as holder:  # type: ignore[call-overload]
        wait_for_answers(holder, home, TASKS[0])
        # It holds the slot of the pool as long as it does not go on.
        holder.send_signal(signal.SIGSTOP)
        with subprocess.Popen(command("evaluate", "-m", "tiny", "-t", "medqa"), **running) as waiting:  # type: ignore[call-overload]
            assert waiting.stderr is not None
            for line in waiting.stderr:
                if line.strip() == "waiting: another run uses the GPU":
                    break
            else:
                raise AssertionError("it never waited")
            waiting.send_signal(signal.SIGINT)
            rest = waiting.stderr.read()
        assert waiting.returncode == 128 + signal.SIGINT
        assert "Traceback" not in rest
        holder.kill()
    outcome = medeval("evaluate", "-m", "tiny", "-t", "medqa", "--limit", "1", "--json")
    assert outcome.returncode == 0
    assert "waiting" not in outcome.stderr
    with open_instance(Settings(home=home, sources=home / "sources")) as instance:
        assert [run.run_id for run in instance.get_runs() if not run.is_finished] == []
        statuses = {run.status for run in instance.get_runs(dg.RunsFilter(job_name="evaluate_model"))}
    assert statuses == {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS}


def test_a_terminal_shows_how_far_it_is(home: Path, working_folder: Path, tiny_model: str) -> None:
    """Through a real terminal: bars that end full, the pace, and nothing of it in what is printed as the result."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        command("evaluate", "-m", "tiny", "-t", "mednli", "-t", "medqa", "--json"),
        stdout=subprocess.PIPE,
        stderr=follower,
        cwd=working_folder,
        env=environment(home) | {"TERM": "xterm", "COLUMNS": "120"},
        encoding="utf-8",
    ) as process:
        os.close(follower)
        shown = b""
        # A terminal whose last writer is gone answers with an error on Linux.
        while True:
            try:
                chunk = os.read(leader, 4096)
            except OSError:
                break
            if not chunk:
                break
            shown += chunk
        said, _ = process.communicate(timeout=300)
    os.close(leader)
    screen = shown.decode()
    assert process.returncode == 0, screen
    assert json.loads(said)["problems"] == []
    rows = [len(Lake(home / "lake").rows(LakeKey("generations", "tiny", task))) for task in ("mednli", "medqa")]
    assert f"{sum(rows)}/{sum(rows)}" in screen.replace(" ", "")
    assert "2/2" in screen
    assert "tokens/s" in screen
    assert "-" not in [word[0] for word in screen.split() if word.endswith("tokens/s")]
