"""`medeval audit` on what a real evaluation wrote: what is intact, stale, changed or deleted, and what was sealed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from medeval_assets.lake.lake import Lake
from medeval_assets_tests.e2e.conftest import BIN, Medeval, Outcome, environment

pytestmark = pytest.mark.slow

MODEL = "baseline-majority"
TABLES = 7  # dataset, prompt set, generations, scores, metric table, leaderboard, comparisons


def pairs(home: Path, count: int) -> None:
    """Real files of a credentialed task, with so many examples."""
    folder = home / "sources" / "mednli"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"pairID": f"p{n}", "sentence1": f"Patient {n} is well.", "sentence2": "He is ill.", "gold_label": "neutral"}
        for n in range(count)
    ]
    (folder / "mli_test_v1.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def evaluate(medeval: Medeval) -> None:
    outcome = medeval("evaluate", "-m", MODEL, "-t", "mednli")
    assert outcome.returncode == 0, outcome.stderr


def document(outcome: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


def counts(outcome: Outcome) -> dict[str, int]:
    return {verdict: count for verdict, count in document(outcome)["counts"].items() if count}


@pytest.fixture(scope="module")
def evaluated_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("evaluated")
    pairs(home, 9)
    command = [str(BIN / "medeval"), "evaluate", "-m", MODEL, "-t", "mednli"]
    subprocess.run(command, env=environment(home), cwd=home, check=True, capture_output=True, timeout=300)
    return home


@pytest.fixture
def evaluated(evaluated_once: Path, home: Path) -> Lake:
    """The lake of a copy of it, in which a table and its version are one file, as they were."""
    subprocess.run(["cp", "-a", f"{evaluated_once}/.", str(home)], check=True)
    return Lake(home / "lake")


def test_a_home_without_anything_is_fine_and_stays_empty(medeval: Medeval, home: Path) -> None:
    outcome = medeval("audit")
    assert outcome.returncode == 0
    assert "0 files: none yet" in outcome.stderr
    assert outcome.stdout == ""
    assert not (home / "dagster").exists()


def test_an_audit_tells_what_moved_on_and_what_was_changed_and_deleted(
    medeval: Medeval, home: Path, evaluated: Lake
) -> None:
    first = medeval("audit", "--json")
    assert first.returncode == 0, first.stderr
    assert counts(first) == {"intact": 2 * TABLES}
    assert (document(first)["event_log"], document(first)["read"]) == (True, TABLES)
    assert document(medeval("audit", "--json"))["read"] == 0
    assert document(medeval("audit", "--full", "--json"))["read"] == TABLES

    pairs(home, 10)
    stale = medeval("audit")
    assert stale.returncode == 0
    assert "raw file mli_test_v1.jsonl changed" in " ".join(stale.stdout.split())
    assert f"{2 * TABLES} files: {2 * TABLES - 1} intact, 1 stale" in stale.stderr
    evaluate(medeval)
    again = medeval("audit", "--json")
    assert (again.returncode, set(counts(again))) == (0, {"intact"})

    (dataset,) = evaluated.keys("datasets")
    path = Path(evaluated.path(dataset))
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:100] + b"x" + content[101:])
    (scores,) = evaluated.keys("scores")
    Path(evaluated.path(scores)).unlink()
    wrong = medeval("audit", "--json")
    assert wrong.returncode == 1
    told = {file["path"]: file["verdict"] for file in document(wrong)["files"] if file["verdict"] != "intact"}
    assert told.pop(f"{dataset.folder}/data.parquet") in {"tampered", "unreadable"}
    assert told.pop(f"{scores.folder}/data.parquet") == "missing"
    # What cannot be read or is gone has no content that something else could still rest on.
    assert set(told.values()) <= {"stale"}
    assert "Patient" not in wrong.stdout + wrong.stderr


def test_a_seal_finds_what_was_made_to_fit(medeval: Medeval, home: Path, tmp_path: Path, evaluated: Lake) -> None:
    key, manifest = tmp_path / "key", tmp_path / "seal.json"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    sealed = medeval("audit", "--seal", "--to", manifest, "--key", key)
    assert sealed.returncode == 0, sealed.stderr
    assert "Sealed:" in sealed.stderr
    verify = ("audit", "--verify", manifest, "--public-key", key.with_suffix(".pub"))
    outcome = medeval(*verify)
    assert outcome.returncode == 0, outcome.stderr
    assert f"{2 * TABLES} files sealed" in outcome.stderr
    assert "signature: valid" in outcome.stderr
    # An audit knows the seals that the lake keeps.
    assert medeval("audit").returncode == 0

    # Another number, by someone who makes everything fit: the lake, its archive, what Dagster recorded, earlier audits.
    (leaderboard,) = evaluated.keys("leaderboard")
    record = evaluated.record(leaderboard)
    assert record is not None
    rows = [{**row, "value": 0.99} for row in evaluated.rows(leaderboard)]
    for version in evaluated.versions(leaderboard):
        Path(version.path).unlink()
    evaluated.write(leaderboard, rows, record.derivation, run_id=record.run_id)
    for left in ("dagster", "audit"):
        (home / left).rename(tmp_path / left)
    assert medeval("audit", "--full").returncode == 0
    outcome = medeval(*verify)
    assert outcome.returncode == 1
    assert "leaderboard/data.parquet" in outcome.stderr
    told = document(medeval(*verify, "--json"))
    assert (told["signature"], len(told["problems"])) == ("valid", 2)


def test_what_is_wrong_is_not_sealed(medeval: Medeval, evaluated: Lake) -> None:
    path = Path(evaluated.path(evaluated.keys("scores")[0]))
    path.write_bytes(path.read_bytes()[:-9])
    outcome = medeval("audit", "--seal")
    assert outcome.returncode == 1
    assert "Not sealed" in outcome.stderr
    assert not Path(evaluated.root, "_seals").exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--seal", "--verify", "seal.json"],
        ["--to", "seal.json"],
        ["--key", "key"],
        ["--public-key", "key"],
        ["--allowed-signers", "signers"],
    ],
)
def test_options_that_do_not_go_together_are_wrong_use(medeval: Medeval, options: list[str]) -> None:
    outcome = medeval("audit", *options)
    assert outcome.returncode == 2
    assert options[0] in outcome.stderr


def test_a_manifest_that_is_not_there_is_told(medeval: Medeval, tmp_path: Path) -> None:
    outcome = medeval("audit", "--verify", tmp_path / "nowhere.json")
    assert outcome.returncode == 1
    assert "nowhere.json" in outcome.stderr
