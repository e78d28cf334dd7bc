"""Eight processes write to one lake at once: no reader sees half a table, no version is lost, every audit is clean."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from medeval_assets.audit.audit import audit
from medeval_assets.audit.known_writes import KnownWrite
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets_tests.core.audit.small_lakes import SmallLake
from medeval_assets_tests.core.lake.forking_process import BOARD, NLI, WRITERS, Children, Place, own_table
from medeval_assets_tests.core.lake.storages import all_paths, content_of, reaching, swap


@pytest.mark.parametrize("turns", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_eight_writers_lose_nothing_and_show_nothing_half_written(
    lake_url: str, tmp_path: Path, children: Children, turns: int
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    place = Place(lake_url, str(home), "first")
    for key in (NLI, BOARD):
        place.write(key, 1)
    place.audit()
    about = {"url": lake_url, "home": str(home)}
    children.run("eight_writers", about, environment=reaching(place.lake), turns=turns)

    written = Counter(write.key for write in place.log.writes())
    own = {own_table(writer): turns for writer in range(WRITERS)}
    assert written == Counter[LakeKey]({NLI: 1 + WRITERS * turns, BOARD: 1 + WRITERS * turns} | own)
    for key, count in written.items():
        versions = place.lake.versions(key)
        assert len(versions) == count
        assert place.lake.file_sha256(key) in {version.file_sha256 for version in versions}
        recorded = {write.content_sha256 for write in place.log.writes() if write.key == key}
        assert {place.lake.version_record(version).content_sha256 for version in versions} == recorded
    for full in (False, True):
        # Now every write must have been recorded.
        assert audit(place.lake, known=place.log, remembered=place.notes, full=full).wrong == []
    assert [path for path in all_paths(place.lake) if path.endswith(".tmp")] == []


@dataclass
class Ended:
    """What an orchestrator recorded, and when its only run that did not end well was killed."""

    recorded: list[KnownWrite]
    killed_at: str

    def writes(self) -> list[KnownWrite]:
        return list(self.recorded)

    def may_be_unrecorded(self, run_id: str, made: str) -> bool:
        return made <= self.killed_at


@pytest.mark.parametrize("is_recorded", [True, False])
@pytest.mark.parametrize("second_began_before_first_ended", [True, False])
def test_the_first_of_two_may_be_current_unless_the_second_began_after_it(
    tmp_path: Path, is_recorded: bool, second_began_before_first_ended: bool
) -> None:
    small = SmallLake(Lake(tmp_path))
    small.write(NLI, 1)
    content = content_of(small.lake, "datasets/task=mednli/data.parquet")
    small.write(NLI, 2)
    swap(small.lake, "datasets/task=mednli/data.parquet", content)
    first, second = small.log.recorded
    ended = second.made if second_began_before_first_ended else first.made
    recorded = [replace(first, recorded=ended), second] if is_recorded else [second]
    wrong = audit(small.lake, known=Ended(recorded, "" if is_recorded else ended)).wrong
    told = [file.reason for file in wrong if file.place.kind == "current"]
    assert told == ([] if second_began_before_first_ended else ["an earlier version was put back"])
