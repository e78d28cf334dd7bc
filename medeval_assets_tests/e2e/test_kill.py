"""Sixty evaluations are killed, each at another moment: nothing that was finished is lost or done twice."""

from __future__ import annotations

import json
import multiprocessing
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from medeval_assets.engines.journal import Journal
from medeval_assets.instance import open_instance
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.settings import Settings
from medeval_assets_tests.e2e.watched_evaluation import WARM, Evaluations, Kill, Phase
from medeval_assets_tests.graph.small_platform import SmallPlatform, make_roomy_checkpoint

KILLS = 60
KILLS_BEFORE_A_RERUN = 10
SEED = 20261122
MODELS = ("m1",)
TASKS = ("medqa", "pubmedqa", "mmlu_general")
ASSETS = ("datasets", "prompt_sets", "generations", "scores", "metric_tables", "leaderboard", "comparisons")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@dataclass
class Scene:
    """A home whose evaluations are killed, and how often each phase was hit."""

    folder: Path
    evaluations: Evaluations
    hits: Counter[Phase] = field(default_factory=Counter)

    @property
    def settings(self) -> Settings:
        return Settings(home=self.folder / "home", sources=self.folder / "sources")

    def fresh_home(self) -> None:
        """A home with the models and nothing else."""
        shutil.rmtree(self.folder / "home", ignore_errors=True)
        shutil.copytree(self.folder / "template", self.folder / "home")

    def run(self) -> float:
        """An evaluation that nothing happens to; how many seconds it takes."""
        begun = time.monotonic()
        process, _ = self.evaluations.start()
        process.join()
        assert process.exitcode == 0, (self.folder / "output").read_text()
        return time.monotonic() - begun

    def kill(self, when: Kill | float) -> bool:
        """Have an evaluation killed in a phase or after some seconds; False if it ended before."""
        process, watch = self.evaluations.start(when if isinstance(when, Kill) else None)
        process.join(None if isinstance(when, Kill) else when)
        process.kill()
        process.join()
        assert process.exitcode in {0, -signal.SIGKILL}, (self.folder / "output").read_text()
        if process.exitcode == 0:
            return False
        self.hits[watch.phase] += 1
        return True

    def journal(self) -> dict[Path, list[str]]:
        """The whole lines of every journal file, read without our code."""
        return {
            path: path.read_text("ascii").rpartition("\n")[0].splitlines()
            for path in sorted(self.settings.journal.rglob("*.jsonl"))
        }

    def answers(self) -> list[str]:
        """The hash of every answer that our code reads in the journal, one by one."""
        hashes = []
        for about in self.settings.journal.glob("*/work.json"):
            journal = Journal(self.settings.journal, json.loads(about.read_text()))
            for folder in about.parent.iterdir():
                if folder.is_dir():
                    hashes += [sha256 for entry in journal.entries(folder.name) for sha256 in entry.answers]
        return hashes

    def tables(self) -> dict[LakeKey, tuple[str, Any]]:
        """What every table of the lake holds, and what it was derived from."""
        lake = Lake(self.settings.lake)
        found = {}
        for asset in ASSETS:
            for key in lake.keys(asset):
                record = lake.record(key)
                assert record is not None
                found[key] = (record.content_sha256, record.derivation)
        return found

    def drafts(self) -> list[Path]:
        return [path for path in self.settings.lake.rglob("*") if path.is_file() and path.suffix != ".parquet"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("kills")
    home = folder / "template"
    home.mkdir()
    checkpoint = make_roomy_checkpoint(folder / "checkpoint", seed=0)
    platform = SmallPlatform(Settings(home=home, sources=folder / "sources"), checkpoint)
    for model in MODELS:
        platform.add_model(model)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([WARM])
    # What the others are forked from begins with the first of them; that must not count as an evaluation's time.
    first = context.Process(target=int)
    first.start()
    first.join()
    yield Scene(folder, Evaluations(context, folder, MODELS, TASKS))


# How many seconds after a phase has begun it is killed at most. A write is over before a thread that is to kill it
# runs: it is killed where it begins, and, as SYNC, where all is written.
_LENGTHS = {Phase.LOAD: 0.1, Phase.GENERATE: 0.05, Phase.JOURNAL: 0.0, Phase.PARQUET: 0.0, Phase.SYNC: 0.0}


def _moment(random_numbers: random.Random, seconds: float) -> Kill | float:
    """When to kill next: two times of five anywhere, else in a phase, the shortest of which would never be hit."""
    if random_numbers.random() < 0.4:
        return random_numbers.uniform(0, seconds)
    phase = random_numbers.choice(list(_LENGTHS))
    times = 1 if phase is Phase.LOAD else random_numbers.randint(1, 6)
    return Kill(phase, times, random_numbers.uniform(0, _LENGTHS[phase]))


def test_sixty_kills_lose_nothing_and_repeat_nothing(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.fresh_home()
    seconds = scene.run()
    expected, asked = scene.tables(), sorted(scene.answers())
    assert {key.asset for key in expected} == set(ASSETS)
    assert len(asked) == len(set(asked)) > 30
    batches = sum(map(len, scene.journal().values()))
    assert batches > 3 * len(TASKS), "too few batches to be killed in between"
    random_numbers = random.Random(SEED)
    kills = reruns = torn = drafts = 0
    while kills < KILLS:
        scene.fresh_home()
        before: dict[Path, list[str]] = {}
        killed = True
        for _ in range(KILLS_BEFORE_A_RERUN):
            killed = scene.kill(_moment(random_numbers, seconds))
            if not killed:
                break
            kills += 1
            now = scene.journal()
            for path, lines in before.items():
                assert now[path] == lines, "a line that was whole is gone"
            before = now
            known = scene.answers()
            assert len(known) == len(set(known)), "an answer was computed twice"
            assert len(known) == sum(len(json.loads(line[9:])["answers"]) for lines in now.values() for line in lines)
            torn += sum(not path.read_bytes().endswith(b"\n") for path in now if path.stat().st_size)
            drafts += len(scene.drafts())
        if killed:
            scene.run()
        reruns += 1
        assert scene.tables() == expected
        assert sorted(scene.answers()) == asked, "each answer is there, once"
        assert scene.drafts() == []
        with open_instance(scene.settings) as instance:
            assert [run.run_id for run in instance.get_runs() if not run.is_finished] == []

    hits = ", ".join(f"{phase.name.lower()} {scene.hits[phase]}" for phase in Phase)
    with capsys.disabled():
        print(
            f"\n{kills} kills ({hits}), {reruns} reruns of {seconds:.1f} s, {batches} batches each; "
            f"torn lines {torn}, half-written tables {drafts}: all mended"
        )
    assert all(scene.hits[phase] >= 3 for phase in Phase), hits
