"""What is written into an overlay is read from it like a table of the lake, and nothing of the lake changes."""

from __future__ import annotations

from typing import Any

from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets.lake.overlay import Overlay

THERE, NEW = LakeKey("datasets", task="medqa"), LakeKey("datasets", task="mednli")
FIRST, SECOND = Derivation(code_version="1"), Derivation(code_version="2")


def example(example_id: str) -> dict[str, Any]:
    return {
        "example_id": example_id,
        "cluster_id": example_id,
        "split": "test",
        "inputs": {},
        "options": {},
        "targets": [],
        "documents": [],
    }


def test_written_tables_hide_those_of_the_lake_and_leave_them_as_they_are(lake_url: str) -> None:
    lake, overlay = Lake(lake_url), Overlay(lake_url)
    before = lake.write(THERE, [example("a")], FIRST, run_id="run")
    assert overlay.record(THERE) == before
    assert overlay.fresh(THERE, FIRST) == before

    after = overlay.write(THERE, [example("b")], SECOND, run_id="")
    overlay.write(NEW, [example("c")], FIRST, run_id="")
    assert [row["example_id"] for key in (THERE, NEW) for row in overlay.rows(key)] == ["b", "c"]
    assert overlay.records([THERE])[0] == after
    assert overlay.fresh(THERE, FIRST) is None
    assert overlay.keys("datasets") == [NEW, THERE]
    assert overlay.read_models([THERE, NEW], ["example_id"]).num_rows == 2

    assert lake.record(THERE) == before
    assert [row["example_id"] for row in lake.rows(THERE)] == ["a"]
    assert lake.keys("datasets") == [THERE]
    # The record says what the lake's own would say.
    assert lake.write(THERE, [example("b")], SECOND, run_id="").content_sha256 == after.content_sha256


def test_what_is_nowhere_is_missing(lake_url: str) -> None:
    assert Overlay(lake_url).record(NEW) is None
    assert Overlay(lake_url).keys("datasets") == []
