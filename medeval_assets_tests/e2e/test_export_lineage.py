"""`medeval export openlineage` and `medeval export prov` on a real evaluation, as a user and a receiver see them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import prov.model
import pytest

from medeval_assets.exports.openlineage_facets import SCHEMA, facets_schema
from medeval_assets_tests.e2e.conftest import BIN, Medeval, environment
from medeval_assets_tests.lineage_receiver import Answer, Receiver, every_third, receiving
from medeval_assets_tests.openlineage_schemas import Validator, client_schemas

pytestmark = pytest.mark.slow

MODELS, TASKS = ("baseline-majority", "baseline-copy"), ("mednli", "meqsum")
KEY = "k3y-0f-the-receiver"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which two baselines answered three prompts of two tasks."""
    home = tmp_path_factory.mktemp("evaluated")
    chosen = [word for model in MODELS for word in ("-m", model)] + [word for task in TASKS for word in ("-t", task)]
    command = [str(BIN / "medeval"), "evaluate", *chosen, "--limit", "3"]
    subprocess.run(command, env=environment(home), cwd=home, check=True, capture_output=True, timeout=300)
    return home


@pytest.fixture
def home(evaluated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(evaluated, tmp_path / "home"))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_file_of_events_is_valid_and_the_same_each_time(medeval: Medeval, home: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    outcome = medeval("export", "openlineage", first)
    assert (outcome.returncode, outcome.stdout) == (0, ""), outcome.stderr
    assert medeval("export", "openlineage", second, env={"OPENLINEAGE_DISABLED": "true"}).returncode == 0
    assert first.read_bytes() == second.read_bytes()
    events = lines(first)
    assert f"{len(events)} events written." in outcome.stderr
    validator = Validator({**client_schemas(), SCHEMA: facets_schema()})
    assert [problem for event in events for problem in validator.problems(event)] == []
    made = {event["job"]["name"] for event in events}
    cells = {
        f"{asset}/model={model}/task={task}"
        for asset in ("generations", "scores", "metric_tables")
        for model in MODELS
        for task in TASKS
    }
    assert made == cells | {f"{asset}/task={task}" for asset in ("datasets", "prompt_sets") for task in TASKS} | {
        "leaderboard",
        "comparisons",
    }
    # Each table that was read was told of before, as what it was then.
    told: set[tuple[str, str]] = set()
    for event in events:
        for one in event["inputs"]:
            if one["namespace"] == "medeval-assets" and "version" in one["facets"]:
                assert (one["name"], one["facets"]["version"]["datasetVersion"]) in told
        told |= {(one["name"], one["facets"]["version"]["datasetVersion"]) for one in event["outputs"]}
    assert str(home) not in first.read_text(encoding="utf-8")


def test_a_receiver_that_drops_every_third_connection_gets_all_of_it(medeval: Medeval, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    assert medeval("export", "openlineage", file).returncode == 0
    with receiving(Receiver(every_third)) as receiver:
        outcome = medeval("export", "openlineage", receiver.url, env={"OPENLINEAGE_API_KEY": KEY})
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stderr == f"{len(lines(file))} events taken.\n"
    assert receiver.events == lines(file)
    assert {headers["Authorization"] for _, _, headers in receiver.requests} == {f"Bearer {KEY}"}
    assert receiver.connections > len(receiver.events)


def test_a_receiver_that_refuses_ends_the_command(medeval: Medeval) -> None:
    with receiving(Receiver(lambda number: Answer(201 if number <= 3 else 403))) as receiver:
        outcome = medeval("export", "openlineage", receiver.url, env={"OPENLINEAGE_API_KEY": KEY})
    assert outcome.returncode == 1
    assert "the receiver took 3 events and then no more (status 403)" in " ".join(outcome.stderr.split())
    assert KEY not in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["openlineage", "http://a\x1b[2J"], 1),
        (["openlineage", "s3://bucket/\x1b[2J"], 2),
        (["openlineage", "events.jsonl", "--namespace", "a\x1b[2J"], 2),
        (["openlineage"], 2),
        (["prov", "baseline-majority"], 2),
        (["prov", "nobody\x1b[2J", "mednli"], 1),
    ],
)
def test_wrong_use_is_told_and_not_shown_as_it_is(medeval: Medeval, arguments: list[str], code: int) -> None:
    outcome = medeval("export", *arguments)
    assert (outcome.returncode, outcome.stdout) == (code, "")
    assert outcome.stderr.strip()
    assert "\x1b[2J" not in outcome.stderr


def test_the_lineage_of_a_cell_is_part_of_that_of_the_lake(medeval: Medeval, tmp_path: Path) -> None:
    cell, whole = medeval("export", "prov", MODELS[0], "mednli"), medeval("export", "prov")
    assert (cell.returncode, whole.returncode) == (0, 0), cell.stderr + whole.stderr
    part, everything = json.loads(cell.stdout), json.loads(whole.stdout)
    for kind in part:
        assert part[kind].items() <= everything[kind].items()
    found = prov.model.ProvDocument.deserialize(content=cell.stdout, format="json")
    (table,) = [
        one
        for one in found.get_records(prov.model.ProvEntity)
        if str(one.label) == f"metric_tables × {MODELS[0]} × mednli"
    ]
    # From the number back to a file whose name and hash the record has, and to who answered.
    derived = [tuple(map(str, one.args[:2])) for one in found.get_records(prov.model.ProvDerivation)]
    written = [tuple(map(str, one.args[1::-1])) for one in found.get_records(prov.model.ProvSpecialization)]
    behind, waiting = set[str](), {str(table.identifier)}
    while waiting:
        name = waiting.pop()
        behind.add(name)
        waiting |= {source for made, source in [*derived, *written] if made == name} - behind
    kinds = {name.removeprefix("medeval:").partition("-")[0] for name in behind}
    assert kinds == {"table", "content", "file", "model"}
    assert len(behind) == len(part["entity"]) - 1  # the content of the table itself is not behind it
    file = tmp_path / "events.jsonl"
    medeval("export", "openlineage", file)
    runs = {event["run"]["runId"] for event in lines(file)}
    assert {name.partition("-")[2] for name in everything["activity"]} == runs
