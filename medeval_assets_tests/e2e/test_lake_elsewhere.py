"""The command line with its lake in a bucket, and on a disk that is read-only or full."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from medeval_assets_tests.core.lake.small_disk import SmallDisk, small_disk
from medeval_assets_tests.core.lake.storages import KEY_ID, SECRET
from medeval_assets_tests.e2e.conftest import Medeval, Outcome

pytestmark = pytest.mark.slow

CELL = ("-m", "baseline-majority", "-t", "pubmedqa", "--limit", "3")
FILES = 14  # seven tables and their files in the archive


def well(outcome: Outcome) -> str:
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


def intact(outcome: Outcome) -> int:
    """How many files an audit found intact, and none otherwise."""
    counts = {verdict: count for verdict, count in json.loads(well(outcome))["counts"].items() if count}
    assert counts.keys() == {"intact"}
    return int(counts["intact"])


def test_a_cell_is_evaluated_audited_traced_sealed_and_purged_in_a_bucket(
    medeval: Medeval, bucket: str, home: Path, tmp_path: Path
) -> None:
    in_bucket = {"MEDEVAL_LAKE": f"{bucket}/lake"}
    well(medeval("evaluate", *CELL, env=in_bucket))
    assert not (home / "lake").exists()
    assert intact(medeval("audit", "--json", env=in_bucket)) == FILES
    chain = json.loads(well(medeval("trace", "baseline-majority", "pubmedqa", "--json", env=in_bucket)))
    assert "datasets" in json.dumps(chain)
    kept = tmp_path / "kept.json"
    well(medeval("audit", "--seal", "--to", kept, env=in_bucket))
    well(medeval("evaluate", *CELL, env=in_bucket))
    well(medeval("prune", "--older-than", "0", env=in_bucket))
    told = medeval("purge", "pubmedqa", "--yes", env=in_bucket)
    assert "uploads that were cut short" in well(told) + told.stderr
    verified = json.loads(well(medeval("audit", "--verify", kept, "--json", env=in_bucket)))
    assert (verified["problems"], verified["removed"]) == ([], 6)
    # Three proofs, and the tables of numbers.
    assert intact(medeval("audit", "--json", env=in_bucket)) == FILES - 6 + 3 + 1

    away, missing = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, {"MEDEVAL_LAKE": "s3://no-such-bucket/lake"}
    trace = ("trace", "baseline-majority", "pubmedqa")
    for change, command in ((away, ("audit",)), (away, ("evaluate", *CELL)), (missing, ("audit",)), (missing, trace)):
        outcome = medeval(*command, env=in_bucket | change)
        assert outcome.returncode == 1
        assert "Check the bucket" in outcome.stderr
        assert KEY_ID not in outcome.stdout + outcome.stderr
        assert SECRET not in outcome.stdout + outcome.stderr


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", megabytes=64, names=20_000) as disk:
        yield disk


@pytest.fixture
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """On a small disk where the test has one."""
    parent = request.getfixturevalue("disk").folder if "disk" in request.fixturenames else tmp_path
    home = Path(parent) / "home"
    home.mkdir()
    return home


def test_a_home_on_a_disk_that_takes_nothing_is_audited_and_traced(medeval: Medeval, disk: SmallDisk) -> None:
    if not disk.mounted and os.geteuid() == 0:
        pytest.skip("nothing may be mounted here, and no permission holds for root")
    well(medeval("evaluate", *CELL))
    assert intact(medeval("audit", "--json")) == FILES
    for nothing_fits in (disk.read_only, lambda: disk.left(0)):
        with nothing_fits():
            audited = medeval("audit", "--full", "--json")
            assert intact(audited) == FILES
            assert json.loads(audited.stdout)["event_log"]
            assert "could not be kept" in audited.stderr
            assert "made " in well(medeval("trace", "baseline-majority", "pubmedqa"))
            for command in (("evaluate", *CELL[:-1], "2"), ("purge", "pubmedqa", "--yes"), ("audit", "--seal")):
                outcome = medeval(*command)
                assert outcome.returncode == 1
                assert "Check " in outcome.stderr or "Free some space" in outcome.stderr
    assert intact(medeval("audit", "--json", "--full")) == FILES
