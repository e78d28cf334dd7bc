"""What generating through the asset costs beside the engine called directly, on the same prompts.

Run: make bench-asset. The job `evaluate_model` makes the asset `generations` in this process, in one ranged run over
some tasks, as `medeval evaluate` does: prompts are read from the lake, rendered and hashed, every batch is journalled,
and every cell is a table with its lineage. The engine alone gets the same requests as token ids. The model is loaded
before the clock starts, once for both; they take turns, and the fastest turn of each counts.

The constant part is the same run when there is nothing to generate: what Dagster costs for these cells, however long
the prompts are. Beside the seconds on the clock stand those of the processor, which a busy machine changes less.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from medeval_assets.automation import evaluate_model, prepare_tasks
from medeval_assets.catalog.checkpoint_source import resolve
from medeval_assets.catalog.models_file import read_models
from medeval_assets.definitions import build_definitions
from medeval_assets.engines.cell import questions_of
from medeval_assets.engines.generations import prepare
from medeval_assets.engines.model_under_test import ModelUnderTest
from medeval_assets.engines.protocol import Request
from medeval_assets.instance import add_model_partitions, open_instance
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.partitions import model_run_request, task_range_tags
from medeval_assets.progress import LoggedProgress
from medeval_assets.prompts.selection import select
from medeval_assets.resources import Home, all_models
from medeval_assets.settings import Settings, keep_libraries_at_home
from medeval_assets.tasks import all_tasks

DEMO = "smollm2-135m"
KEY = "benchmark"
FIRST, LAST = "medisumcode", "bc5cdr"
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Timed:
    """The fewest seconds of several turns, on the clock and of the processor."""

    clock: float = float("inf")
    processor: float = float("inf")

    def turn(self, run: Callable[[], None]) -> None:
        clock, processor = time.perf_counter(), time.process_time()
        run()
        self.clock = min(self.clock, time.perf_counter() - clock)
        self.processor = min(self.processor, time.process_time() - processor)


class Platform:
    """A home with one model and the prompts of some neighbouring tasks."""

    def __init__(self, home: Path, checkpoint: Path, tasks: list[str], limit: int) -> None:
        self.settings = replace(Settings.from_environment(), home=home)
        keep_libraries_at_home(home)
        entry = {"checkpoint": f"folder:{checkpoint}", "role": "generalist", "engine": {"context": 2048}}
        (home / "models.yaml").write_text(yaml.safe_dump({"models": {KEY: entry}}), encoding="utf-8")
        self.tasks, self.limit = tasks, limit
        self.models = all_models(self.settings)
        self._definitions = build_definitions({"home": Home.from_settings(self.settings), "progress": LoggedProgress()})
        self.instance = open_instance(self.settings)
        add_model_partitions(self.instance, self.models)
        self._run(prepare_tasks.name, task_range_tags(tasks), {}, None)

    def model(self) -> ModelUnderTest:
        return ModelUnderTest(self.models[KEY], self.models, self.settings)

    def requests(self) -> list[Request]:
        """What the asset asks the engine."""
        lake, model = Lake(self.settings.lake), self.model()
        found = []
        for name in self.tasks:
            record = lake.records([LakeKey("prompt_sets", task=name)])[0]
            prompts = select(questions_of(lake, all_tasks()[name], record).prompts, self.limit)
            prepared = prepare(all_tasks()[name], prompts, model.renderer, model.setup.context)
            found += [one.request for one in prepared if one.request is not None]
        return found

    def forget(self) -> None:
        """Remove every answer."""
        for folder in (self.settings.lake / "generations", self.settings.journal):
            shutil.rmtree(folder, ignore_errors=True)

    def generate(self) -> None:
        """The ranged run."""
        tags = model_run_request(self.models[KEY], self.tasks).tags
        config = {"ops": {"generations": {"config": {"limit": self.limit}}}}
        self._run(evaluate_model.name, tags, config, [dg.AssetKey("generations")])

    def _run(
        self, job: str, tags: Mapping[str, str], config: Mapping[str, Any], selection: list[dg.AssetKey] | None
    ) -> None:
        self._definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance, tags=dict(tags), run_config={**QUIET, **config}, asset_selection=selection
        )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--limit", type=int, default=12, help="prompts of each task")
    arguments.add_argument("--rounds", type=int, default=2)
    given = arguments.parse_args()
    settings = Settings.from_environment()
    keep_libraries_at_home(settings.home)
    checkpoint = resolve(read_models(settings.catalog_files)[DEMO], settings)
    names = list(all_tasks())
    tasks = names[names.index(FIRST) : names.index(LAST) + 1]
    with tempfile.TemporaryDirectory() as home:
        platform = Platform(Path(home), checkpoint, tasks, given.limit)
        requests, engine = platform.requests(), platform.model().engine

        def bare() -> None:
            for _ in engine.answer(requests):
                pass

        print(f"{DEMO}, {len(tasks)} cells, {len(requests)} prompts ({', '.join(tasks)})", flush=True)
        alone, through, constant = Timed(), Timed(), Timed()
        for _ in range(given.rounds):
            alone.turn(bare)
            platform.forget()
            through.turn(platform.generate)
            constant.turn(platform.generate)
        for name, one in (("engine alone", alone), ("through the asset", through), ("nothing to do", constant)):
            print(f"  {name:18} {one.clock:7.2f} s   processor {one.processor:7.2f} s")
        for name, over in (("in all", 0.0), ("without the constant part", 1.0)):
            clock = (through.clock - over * constant.clock) / alone.clock
            processor = (through.processor - over * constant.processor) / alone.processor
            print(f"  ratio {name:26} {clock:.3f}   processor {processor:.3f}")
        platform.instance.dispose()


if __name__ == "__main__":
    main()
