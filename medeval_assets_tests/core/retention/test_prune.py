"""Retention removes old versions, and never one that a current number rests on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation, InputRecord, LineageRecord
from medeval_assets.retention.prune import prune
from medeval_assets_tests.core.lake.test_lake import example

KEYS = [LakeKey("datasets", task=task) for task in ("mednli", "medqa", "jama", "nejm")]
LATER = datetime.now(UTC) + timedelta(days=100)


def write(lake: Lake, key: LakeKey, name: str, *inputs: LineageRecord) -> LineageRecord:
    derivation = Derivation(code_version=name, inputs=tuple(one.as_input() for one in inputs))
    return lake.write(key, [example(name)], derivation, run_id="run")


@pytest.fixture
def lake(lake_url: str) -> Lake:
    return Lake(lake_url)


def test_old_versions_go_and_their_proof_stays(lake: Lake) -> None:
    for name in "abc":
        last = write(lake, KEYS[0], name)
    old = {version.file_sha256 for version in lake.versions(KEYS[0])} - {lake.file_sha256(KEYS[0])}
    done = prune(lake, timedelta(days=30), LATER)
    assert {version.file_sha256 for version in done.removed} == old
    assert {removal.file_sha256 for removal in lake.removals()} == old
    assert {removal.reason for removal in lake.removals()} == {"retention"}
    assert lake.record(KEYS[0]) == last
    assert (done.current, done.needed, done.recent, done.unreadable) == (1, 0, 0, 0)
    assert prune(lake, timedelta(days=30), LATER).removed == ()


def test_young_versions_stay(lake: Lake) -> None:
    for name in "ab":
        write(lake, KEYS[0], name)
    done = prune(lake, timedelta(days=30))
    assert (done.removed, done.recent) == ((), 1)


def test_what_a_current_table_was_made_from_stays_down_to_the_dataset(lake: Lake) -> None:
    dataset = write(lake, KEYS[0], "first")
    prompts = write(lake, KEYS[1], "from first", dataset)
    write(lake, KEYS[2], "number", prompts)
    # Both are made anew, and the number is not: it still rests on the old ones.
    write(lake, KEYS[0], "second")
    write(lake, KEYS[1], "unrelated")
    unused = write(lake, KEYS[3], "unused")
    write(lake, KEYS[3], "used")
    done = prune(lake, timedelta(), LATER)
    assert [version.key for version in done.removed] == [unused.key]
    assert done.needed == 2


def test_damaged_versions_are_left_to_the_audit(lake: Lake) -> None:
    for name in "ab":
        write(lake, KEYS[0], name)
    old = next(version for version in lake.versions(KEYS[0]) if version.file_sha256 != lake.file_sha256(KEYS[0]))
    lake.fs.pipe_file(old.path, b"PAR1 nothing")
    done = prune(lake, timedelta(), LATER)
    assert (done.removed, done.unreadable) == ((), 1)
    assert old in lake.versions(KEYS[0])


Step = tuple[int, list[int]]


@settings(max_examples=15)
@given(steps=st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 3), max_size=2)), min_size=1, max_size=8))
def test_no_chain_of_a_current_table_is_ever_broken(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    for number, (table, inputs) in enumerate(steps):
        sources = [record for key in {KEYS[one] for one in inputs} if (record := lake.record(key)) is not None]
        write(lake, KEYS[table], str(number), *sources)
    files = {version.path for key in KEYS for version in lake.versions(key)}

    def chain() -> set[tuple[LakeKey, str]]:
        found: set[tuple[LakeKey, str]] = set()
        waiting: list[InputRecord] = [one for key in KEYS for one in of_current(key)]
        while waiting:
            one = waiting.pop()
            if (one.key, one.content_sha256) not in found:
                found.add((one.key, one.content_sha256))
                there = lake.record_with(one.key, one.content_sha256)
                assert there is not None, "a link of the chain is gone"
                waiting += there[1].derivation.inputs
        return found

    def of_current(key: LakeKey) -> tuple[InputRecord, ...]:
        record = lake.record(key)
        return () if record is None else record.derivation.inputs

    before = chain()
    done = prune(lake, timedelta(), LATER)
    assert chain() == before
    left = {version.path for key in KEYS for version in lake.versions(key)}
    assert left == files - {version.path for version in done.removed}
    # Nothing else stays: every version left is current or in a chain.
    for key in KEYS:
        for version in lake.versions(key):
            content = lake.version_record(version).content_sha256
            assert version.file_sha256 == lake.file_sha256(key) or (key, content) in before
