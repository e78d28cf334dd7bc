"""A purge removes every text of a task and keeps what proves it. Cut short, it is finished by a second one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.engines.journal import Entry, Journal
from medeval_assets.engines.protocol import Answer
from medeval_assets.errors import BadInput
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets.lake.purged import purged, records_or_proofs
from medeval_assets.recipes.datasets import dataset_recipe
from medeval_assets.retention.purge import Purged, Quoting, find_quoting, remove_quoting
from medeval_assets.settings import Settings
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.core.lake.test_lake import example

MARKER = "ZEBRA-7731"
NLI = LakeKey("datasets", task="mednli")
QA = LakeKey("datasets", task="medqa")
ANSWERS = LakeKey("generations", "m1", "mednli")


def generation(text: str) -> dict[str, Any]:
    return {
        "example_id": "a",
        "prompt_sha256": "",
        "text": text,
        "finish_reason": "stop",
        "skip_reason": "",
        "prompt_tokens": 1,
        "generated_tokens": 1,
        "option_logprobs": [],
        "option_tokens": [],
        "fitting": "",
        "request_sha256": "",
    }


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", sources=tmp_path / "home" / "sources")


@pytest.fixture
def lake(settings: Settings) -> Lake:
    """mednli in two versions with an answer, medqa beside it; a journal, and answers from elsewhere."""
    lake = Lake.of(settings)
    for version in ("1", "2"):
        lake.write(
            NLI, [example("a", inputs={"premise": MARKER + version})], Derivation(code_version=version), run_id=""
        )
    lake.write(QA, [example("b")], Derivation(code_version="1"), run_id="")
    lake.write(ANSWERS, [generation(f"{MARKER} is my answer")], Derivation(code_version="1"), run_id="")
    for model in ("one", "two"):
        journal = Journal(settings.journal, {"model": model})
        for task in ("mednli", "medqa"):
            journal.write(task, Entry({"0": Answer(MARKER if task == "mednli" else "A", "stop", 1)}))
        journal.close()
    folder = settings.external / "other"
    folder.mkdir(parents=True)
    for name in ("mednli.jsonl", ".mednli.jsonl-0a", "medqa.jsonl"):
        (folder / name).write_text(MARKER if "mednli" in name else "answers")
    source = settings.sources / "mednli" / "mli_test_v1.jsonl"
    source.parent.mkdir(parents=True)
    source.write_text(MARKER)
    return lake


def find(
    lake: Lake, settings: Settings, sources: bool = False, models: Mapping[str, ModelSpec] | None = None
) -> Quoting:
    task = all_tasks()["mednli"]
    return find_quoting(lake, settings, task, tasks=all_tasks(), models=models or {}, sources=sources)


def purge(lake: Lake, settings: Settings, sources: bool = False) -> Purged:
    return remove_quoting(lake, find(lake, settings, sources))


def files(settings: Settings) -> dict[str, bytes]:
    paths = [path for path in settings.home.rglob("*") if path.is_file()]
    return {path.relative_to(settings.home).as_posix(): path.read_bytes() for path in paths}


def test_every_text_of_the_task_goes_and_nothing_else(lake: Lake, settings: Settings) -> None:
    before = files(settings)
    purge(lake, settings, sources=True)
    after = files(settings)
    gone = before.keys() - after.keys()
    assert gone == {path for path in before if "mednli" in path}
    assert {path: content for path, content in after.items() if path in before} == {
        path: content for path, content in before.items() if path not in gone
    }
    assert all(path.startswith("lake/_removed/") for path in after.keys() - before.keys())
    assert not [path for path, content in after.items() if MARKER.encode() in content]


def test_the_proof_of_every_version_stays(lake: Lake, settings: Settings) -> None:
    there = {(version.key, version.file_sha256) for key in (NLI, ANSWERS) for version in lake.versions(key)}
    last = lake.record(NLI)
    purge(lake, settings)
    assert {(removal.record.key, removal.file_sha256) for removal in lake.removals()} == there
    assert {removal.reason for removal in lake.removals()} == {"purge"}
    removal = purged(lake, NLI)
    assert removal is not None
    assert removal.record == last
    assert records_or_proofs(lake, [QA, NLI]) == [lake.record(QA), last]


def test_a_second_purge_finds_nothing(lake: Lake, settings: Settings) -> None:
    purge(lake, settings)
    after = files(settings)
    assert find(lake, settings).nothing
    purge(lake, settings)
    assert files(settings) == after


def test_in_a_bucket_it_is_the_same(settings: Settings, tmp_path: Path) -> None:
    lake = Lake(f"memory://purge-{tmp_path.name}")
    for key in (NLI, QA):
        lake.write(key, [example("a")], Derivation(code_version="1"), run_id="")
    lake.fs.pipe_file(f"{lake.root}/_versions/{NLI.folder}/{'0' * 64}.parquet", MARKER.encode())
    lake.fs.rm_file(lake.versions(QA)[0].path)
    found = find(lake, settings)
    assert any("bucket" in line for line in found.elsewhere)
    assert len(remove_quoting(lake, found).damaged) == 1
    left = [file.path for file in lake.all_files()]
    assert [path for path in left if "mednli" in path and not path.startswith("_removed/")] == []
    assert lake.record(QA) is not None
    assert purged(lake, NLI) is not None
    assert find(lake, settings).nothing


class Interrupted(BaseException):
    """Stands for a process that was killed."""


@pytest.mark.parametrize("cut", range(5))
def test_cut_short_anywhere_it_is_finished_by_a_second_one(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    there = {(version.key, version.file_sha256) for key in (NLI, ANSWERS) for version in lake.versions(key)}
    # Two current tables and three versions are removed by this function of the lake: a kill comes before one.
    remove = lake.remove_file
    left = cut

    def cut_short(path: str) -> None:
        nonlocal left
        if left == 0:
            raise Interrupted
        left -= 1
        remove(path)

    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(lake, "remove_file", cut_short)
        purge(lake, settings, sources=True)
    assert not find(lake, settings).nothing
    proofs = {path: content for path, content in files(settings).items() if path.startswith("lake/_removed/")}
    purge(lake, settings, sources=True)
    assert proofs.items() <= files(settings).items()
    assert find(lake, settings).nothing
    assert {(removal.record.key, removal.file_sha256) for removal in lake.removals()} == there
    assert not [path for path, content in files(settings).items() if MARKER.encode() in content]


def test_damaged_and_unfinished_files_go_too(lake: Lake, settings: Settings) -> None:
    old = next(version for version in lake.versions(NLI) if version.file_sha256 != lake.file_sha256(NLI))
    Path(old.path).write_bytes(MARKER.encode())
    drafts = [Path(lake.path(NLI)).with_name(".0a.tmp"), Path(old.path).with_name(".0b.tmp")]
    for draft in drafts:
        draft.write_text(MARKER)
    done = purge(lake, settings)
    assert len(done.damaged) == 1
    assert not [path for path in files(settings) if "task=mednli" in path and "_removed" not in path]


def test_a_table_that_never_got_into_the_archive_leaves_its_proof(lake: Lake, settings: Settings) -> None:
    for version in lake.versions(NLI):
        Path(version.path).unlink()
    record = lake.record(NLI)
    assert purge(lake, settings).damaged == ()
    removal = purged(lake, NLI)
    assert removal is not None
    assert removal.record == record
    assert find(lake, settings).nothing


def test_raw_files_outside_are_named_and_left(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    outside = Settings(home=settings.home, sources=tmp_path / "sources")
    shutil.copytree(settings.sources, outside.sources)
    found = find(lake, outside, sources=True)
    assert found.sources == ()
    assert any(str(outside.sources / "mednli") in line and "outside" in line for line in found.elsewhere)
    # A link below the home that leads outside is not followed.
    shutil.rmtree(settings.sources / "mednli")
    (settings.sources / "mednli").symlink_to(outside.sources / "mednli")
    remove_quoting(lake, find(lake, settings, sources=True))
    assert (outside.sources / "mednli" / "mli_test_v1.jsonl").is_file()


def test_without_the_option_raw_files_stay_and_are_named(lake: Lake, settings: Settings) -> None:
    found = find(lake, settings)
    remove_quoting(lake, found)
    assert (settings.sources / "mednli" / "mli_test_v1.jsonl").is_file()
    assert any("--sources" in line for line in found.elsewhere)


def test_raw_files_that_another_task_reads_stay_until_it_is_purged(settings: Settings) -> None:
    lake = Lake.of(settings)
    tasks = {name: task for name, task in all_tasks().items() if task.folder == "longhealth"}
    source = settings.sources / "longhealth" / "benchmark_v5.json"
    source.parent.mkdir(parents=True)
    source.write_text("{}")
    for name in tasks:
        lake.write(LakeKey("datasets", task=name), [example("a")], Derivation(code_version="1"), run_id="")
    for name, task in tasks.items():
        found = find_quoting(lake, settings, task, tasks=all_tasks(), models={}, sources=True)
        assert bool(found.sources) == (name == list(tasks)[-1])
        others = [other for other in tasks if other != name and lake.versions(LakeKey("datasets", task=other))]
        assert [line.partition(":")[0] for line in found.elsewhere if "as well" in line] == others
        remove_quoting(lake, found)
    assert len(tasks) > 1
    assert not source.exists()


def test_samples_do_not_take_the_place_of_purged_data(lake: Lake, settings: Settings) -> None:
    task = all_tasks()["mednli"]
    shutil.rmtree(settings.sources)
    # It has a table: what becomes of it when its files are gone is as it always was.
    assert dataset_recipe(task, settings, lake).synthetic
    purge(lake, settings)
    with pytest.raises(BadInput, match=r"1 examples\) were purged 20"):
        dataset_recipe(task, settings, lake)
    assert dataset_recipe(task, settings).synthetic
    assert dataset_recipe(all_tasks()["medqa"], settings, lake).synthetic


def test_purged_samples_may_come_back(settings: Settings) -> None:
    lake, task = Lake.of(settings), all_tasks()["mednli"]
    dataset_recipe(task, settings, lake).make(lake, run_id="")
    purge(lake, settings)
    assert lake.removals(NLI)
    dataset_recipe(task, settings, lake).make(lake, run_id="")
    assert lake.record(NLI) is not None
