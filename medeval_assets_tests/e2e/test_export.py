"""`medeval export model-card`, `results` and `duckdb` on a real evaluation, as a user sees them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import pytest
import yaml
from huggingface_hub import metadata_load, parse_eval_result_entries
from huggingface_hub.repocard_data import model_index_to_eval_results

from medeval_assets.lake.lake import Lake
from medeval_assets_tests.e2e.conftest import BIN, Medeval, Outcome, environment

pytestmark = pytest.mark.slow

MODEL, REAL, MADE_UP = "baseline-majority", "mednli", "medqa"
SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "evaluation_results.schema.json"
SECRET = "zyxomeride"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which a baseline answered one task on real files of a credentialed set, and one on samples."""
    home = tmp_path_factory.mktemp("evaluated")
    folder = home / "sources" / REAL
    folder.mkdir(parents=True)
    rows = [
        {"pairID": f"{SECRET}-{n}", "sentence1": f"{SECRET} {n}.", "sentence2": SECRET, "gold_label": "neutral"}
        for n in range(9)
    ]
    (folder / "mli_test_v1.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    command = [str(BIN / "medeval"), "evaluate", "-m", MODEL, "-t", REAL, "-t", MADE_UP, "--limit", "4"]
    subprocess.run(command, env=environment(home), cwd=home, check=True, capture_output=True, timeout=300)
    return home


@pytest.fixture
def home(evaluated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(evaluated, tmp_path / "home"))


def values(home: Path, task: str) -> dict[tuple[str, str], float]:
    """(metric, profile) → value, as the lake has it."""
    lake = Lake(home / "lake")
    (key,) = [key for key in lake.keys("metric_tables") if key.task == task]
    return {(row["metric"], row["profile"]): row["value"] for row in lake.rows(key) if row["value"] is not None}


def document(outcome: Outcome) -> dict[str, Any]:
    assert outcome.returncode == 0, outcome.stderr
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


def test_results_are_the_lakes_and_fit_the_published_schema(medeval: Medeval, home: Path) -> None:
    outcome = medeval("export", "results", MODEL)
    found = document(outcome)
    jsonschema.validate(found, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert [result["task"] for result in found["results"]] == [REAL]
    assert f"Left out: `{MADE_UP}`" in outcome.stderr
    told = {(one["metric"], one["profile"]): one["value"] for one in found["results"][0]["metrics"]}
    assert told == values(home, REAL)
    assert SECRET not in outcome.stdout + outcome.stderr
    both = document(medeval("export", "results", MODEL, "--synthetic"))
    assert {result["task"]: result["synthetic"] for result in both["results"]} == {REAL: False, MADE_UP: True}


def test_a_card_gets_the_values_and_keeps_the_rest(medeval: Medeval, home: Path, tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    text = "---\nlicence: apache-2.0  # ours\ntags: [a,  b]\n---\n# A model\n\nWords.\n"
    card.write_text(text, encoding="utf-8")
    outcome = medeval("export", "model-card", MODEL, "--out", card)
    assert (outcome.returncode, outcome.stdout) == (0, "")
    assert f"{len(values(home, REAL))} values on 1 tasks" in outcome.stderr
    metadata = metadata_load(card)
    assert metadata is not None
    name, results = model_index_to_eval_results(metadata["model-index"])
    assert name == MODEL
    assert {(one.metric_type, one.metric_config): one.metric_value for one in results} == values(home, REAL)
    written = card.read_text(encoding="utf-8")
    assert written.startswith("---\nlicence: apache-2.0  # ours\ntags: [a,  b]\n")
    assert written.endswith("---\n# A model\n\nWords.\n")
    assert SECRET not in written
    # Again: nothing is written twice.
    assert medeval("export", "model-card", MODEL, "--out", card).returncode == 0
    assert card.read_text(encoding="utf-8") == written
    printed = medeval("export", "model-card", MODEL, "--synthetic").stdout
    index = yaml.safe_load(printed.strip().strip("-"))["model-index"]
    assert {result["dataset"]["type"] for result in index[0]["results"]} == {REAL, f"synthetic-{MADE_UP}"}


def test_a_leaderboard_gets_what_the_user_says_it_is(medeval: Medeval) -> None:
    outcome = medeval("export", "results", MODEL, "--hub", f"{REAL}=org/mednli:test")
    assert outcome.returncode == 0, outcome.stderr
    (entry,) = parse_eval_result_entries(yaml.safe_load(outcome.stdout))
    assert (entry.dataset_id, entry.task_id) == ("org/mednli", "test")
    for wrong in ("mednli", "mednli=org", "mednly=org/mednli"):
        assert medeval("export", "results", MODEL, "--hub", wrong).returncode == 2
    assert medeval("export", "results", MODEL, "--hub", f"{REAL}=org/mednli", "--synthetic").returncode == 2


def test_the_lake_is_asked_in_sql(medeval: Medeval, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "lake.duckdb"
    outcome = medeval("export", "duckdb", file)
    assert (outcome.returncode, outcome.stdout) == (0, "")
    assert "Views: datasets, prompt_sets, generations, scores, metric_tables, leaderboard" in outcome.stderr
    assert SECRET.encode() not in file.read_bytes()
    with duckdb.connect(file, read_only=True) as database:
        found = database.execute(
            "SELECT metric, profile, value FROM metric_tables WHERE task = ? AND value IS NOT NULL", [REAL]
        ).fetchall()
    assert {(metric, profile): value for metric, profile, value in found} == values(home, REAL)
    notes = tmp_path / "notes.txt"
    notes.write_text("mine", encoding="utf-8")
    outcome = medeval("export", "duckdb", notes)
    assert outcome.returncode == 1
    assert "not a database that this command wrote" in outcome.stderr
    assert notes.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("command", ["model-card", "results"])
def test_a_model_without_values_is_told(medeval: Medeval, command: str) -> None:
    outcome = medeval("export", command, "baseline-majorty")
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert f"Did you mean `{MODEL}`?" in outcome.stderr
    outcome = medeval("export", command, "baseline-random")
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert "medeval evaluate" in outcome.stderr
