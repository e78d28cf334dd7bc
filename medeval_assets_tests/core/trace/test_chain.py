"""The chain behind a number names every table by the hash that was read, wherever that table is by now."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from medeval_assets.errors import BadInput
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation, LineageRecord
from medeval_assets.trace.chain import Link, chain_of, command_of
from medeval_assets.trace.recorded import rows_of
from medeval_assets.trace.tree import trace_tree
from medeval_assets_tests.core.audit.small_lakes import SmallLake, every_kind, row_of

DATASET = LakeKey("datasets", task="mednli")
PROMPTS = LakeKey("prompt_sets", task="mednli")
GENERATIONS = LakeKey("generations", "biomed", "mednli")
NUMBERS = LakeKey("metric_tables", "biomed", "mednli")


@pytest.fixture
def small(tmp_path: Path) -> SmallLake:
    return every_kind(tmp_path)


def states(chain: Link) -> dict[str, str]:
    return {link.key.asset: link.state for link in chain.tables()}


def printed(chain: Link) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(trace_tree(chain, []))
    return capture.get()


def test_every_table_is_found_once_by_the_hash_that_was_read(small: SmallLake) -> None:
    chain = chain_of(small.lake, NUMBERS)
    assert states(chain) == dict.fromkeys(
        ["metric_tables", "scores", "datasets", "generations", "prompt_sets"], "current"
    )
    for link in chain.tables():
        record = small.lake.record(link.key)
        assert record is not None
        assert (link.content_sha256, link.record) == (record.content_sha256, record)
        assert [one.key for one in link.inputs] == [one.key for one in record.derivation.inputs]
    assert len(list(chain.tables())) == 5


def test_a_table_that_was_made_again_is_found_in_the_archive(small: SmallLake) -> None:
    read = small.lake.record(DATASET)
    assert read is not None
    small.write(DATASET, 9)
    chain = chain_of(small.lake, NUMBERS)
    link = chain.of("datasets")
    assert link is not None
    assert (link.state, link.content_sha256, link.record) == ("earlier version", read.content_sha256, read)
    assert [row["example_id"] for row in rows_of(small.lake, link)] == [
        row_of("datasets", n)["example_id"] for n in (2, 3)
    ]
    assert f"datasets {read.content_sha256[:16]} (earlier version)" in printed(chain)
    # With the content of before it is the current one again, whenever that was written.
    small.write(DATASET, 2)
    assert states(chain_of(small.lake, NUMBERS))["datasets"] == "current"


def test_a_removed_table_is_told_with_its_proof(small: SmallLake) -> None:
    for version in small.lake.versions(DATASET):
        small.lake.remove(version, "purge")
    chain = chain_of(small.lake, NUMBERS)
    link = chain.of("datasets")
    assert link is not None
    assert link.state == "removed"
    assert link.record is not None
    assert link.record.content_sha256 == link.content_sha256
    with pytest.raises(BadInput, match="was removed"):
        rows_of(small.lake, link)


def test_a_missing_table_is_told_and_so_is_what_rests_on_it(small: SmallLake) -> None:
    for path in (small.current(GENERATIONS), *small.versions(GENERATIONS)):
        path.unlink()
    chain = chain_of(small.lake, NUMBERS)
    assert states(chain)["generations"] == "missing"
    # What the missing one was made from is not known any more; the scores name the dataset themselves.
    assert "prompt_sets" not in states(chain)
    assert states(chain)["datasets"] == "current"
    with pytest.raises(BadInput, match="missing"):
        rows_of(small.lake, next(link for link in chain.tables() if link.state == "missing"))


def test_a_number_that_is_not_there_or_cannot_be_read_is_told(small: SmallLake, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="medeval evaluate -m nobody -t mednli"):
        chain_of(small.lake, LakeKey("metric_tables", "nobody", "mednli"))
    path = small.current(NUMBERS)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BadInput, match="cannot be read"):
        chain_of(small.lake, NUMBERS)


@pytest.mark.parametrize(
    ("limit", "prompts", "options"),
    [(None, "project", []), (7, "project", ["--limit", "7"]), (2, "clue", ["--limit", "2", "--prompts", "clue"])],
)
def test_the_command_has_the_choices_that_were_made(
    tmp_path: Path, limit: int | None, prompts: str, options: list[str]
) -> None:
    lake = Lake(tmp_path)

    def write(key: LakeKey, *inputs: LineageRecord, **parameters: object) -> LineageRecord:
        derivation = Derivation(code_version="1", parameters=parameters, inputs=tuple(one.as_input() for one in inputs))
        return lake.write(key, [row_of(key.asset)], derivation, run_id="r")

    prompt_set = write(PROMPTS, prompts=prompts)
    generations = write(GENERATIONS, prompt_set, limit=limit)
    write(NUMBERS, write(GENERATIONS._replace(asset="scores"), generations))
    expected = ["medeval", "evaluate", "-m", "biomed", "-t", "mednli", *options]
    assert command_of(chain_of(lake, NUMBERS)).split() == expected


def test_a_name_is_no_part_of_a_command(tmp_path: Path) -> None:
    key = LakeKey("metric_tables", "a; rm -rf $HOME", "mednli")
    Lake(tmp_path).write(key, [row_of(key.asset)], Derivation(code_version="1"), run_id="r")
    assert command_of(chain_of(Lake(tmp_path), key)) == "medeval evaluate -m 'a; rm -rf $HOME' -t mednli"
