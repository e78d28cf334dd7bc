"""A whole platform in a temporary folder: a real Dagster instance, real sources, real models of random weights."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import yaml
from safetensors.numpy import load_file, save_file

from medeval_assets.definitions import build_definitions
from medeval_assets.engines.loaded_engines import LOADED_ENGINES
from medeval_assets.evaluation import Evaluation, evaluate
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.partitions import lake_key
from medeval_assets.progress import LoggedProgress
from medeval_assets.resources import Home, all_models
from medeval_assets.settings import Settings, keep_libraries_at_home
from medeval_assets_tests.checkpoints import make_tiny_checkpoint

CONTEXT = 4096
"""Room for prompts with worked examples: these models really answer."""


def make_roomy_checkpoint(folder: Path, seed: int) -> Path:
    """The tiny checkpoint with a context of `CONTEXT` tokens; its positions are computed, so no weight changes."""
    make_tiny_checkpoint(folder, seed)
    for name, limit in (("config.json", "max_position_embeddings"), ("tokenizer_config.json", "model_max_length")):
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | {limit: CONTEXT}))
    return folder


def scale_weights(folder: Path, factor: float) -> None:
    """Multiply what scales the checkpoint's last layer, so that it is another model."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["model.norm.weight"] = weights["model.norm.weight"] * np.float32(factor)
    save_file(weights, path, metadata={"format": "pt"})


@dataclass
class SmallPlatform:
    """A MEDEVAL_HOME and its sources; `checkpoint` is what every model starts as a copy of."""

    settings: Settings
    checkpoint: Path
    _entries: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def lake(self) -> Lake:
        return Lake(self.settings.lake)

    def copied(self, home: Path) -> SmallPlatform:
        """A copy of it in another home, which may be there already and is empty then."""
        shutil.copytree(self.settings.home, home, dirs_exist_ok=True)
        return SmallPlatform(Settings(home=home, sources=home / "sources"), self.checkpoint, dict(self._entries))

    def add_model(self, key: str, **fields: Any) -> Path:
        """Write the checkpoint with weights of its own, enter it into `<home>/models.yaml`, and return its folder."""
        folder = Path(shutil.copytree(self.checkpoint, self.settings.home / "mine" / key))
        # Copies of the same files would share their answers.
        scale_weights(folder, 1 + len(self._entries) / 64)
        self._entries[key] = {
            "checkpoint": f"folder:mine/{key}",
            "role": "generalist",
            "engine": {"gpus": 0, "dtype": "float32"},
            **fields,
        }
        (self.settings.home / "models.yaml").write_text(yaml.safe_dump({"models": self._entries}, sort_keys=False))
        return folder

    def write_source(self, task: str, name: str, text: str) -> Path:
        """Write a source file of a task."""
        path = self.settings.sources / task / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def evaluate(self, models: Sequence[str], tasks: Sequence[str], limit: int | None = 2) -> Evaluation:
        known = all_models(self.settings)
        return evaluate(self.settings, [known[key] for key in models], tasks, progress=LoggedProgress(), limit=limit)

    def home(self) -> Home:
        keep_libraries_at_home(self.settings.home)
        return Home.from_settings(self.settings)

    def definitions(self) -> dg.Definitions:
        return build_definitions({"home": self.home()})

    def run(self, instance: dg.DagsterInstance, job: str, tags: Mapping[str, str], limit: int = 2) -> bool:
        """Run a job as the UI or a sensor would, in this process; whether it succeeded."""
        config = {"ops": {"generations": {"config": {"limit": limit}}}} if job == "evaluate_model" else {}
        result = (
            self.definitions()
            .resolve_job_def(job)
            .execute_in_process(instance=instance, tags=dict(tags), run_config=config, raise_on_error=False)
        )
        return result.success

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Every file of the lake with its time of change and its content."""
        paths = sorted(path for path in self.settings.lake.rglob("*") if path.is_file())
        return {
            str(path.relative_to(self.settings.lake)): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths
        }

    def made_by(self, asset: str, models: Sequence[str], tasks: Sequence[str]) -> dict[tuple[str, str], str]:
        """(model, task) → id of the run that made the cell's table."""
        made = {}
        for model in models:
            for task in tasks:
                record = self.lake.record(LakeKey(asset, model, task))
                assert record is not None, (asset, model, task)
                made[model, task] = record.run_id
        return made


@contextmanager
def new_platform(home: Path, checkpoint: Path) -> Iterator[SmallPlatform]:
    """An empty platform; the environment and the engine of this process are as before when the block ends."""
    before = dict(os.environ)
    home.mkdir()
    try:
        yield SmallPlatform(Settings(home=home, sources=home / "sources"), checkpoint)
    finally:
        LOADED_ENGINES.close()
        os.environ.clear()
        os.environ.update(before)


def loads() -> dict[str, int]:
    """How often this process has loaded each model, by its key."""
    counted: dict[str, int] = {}
    for identity, count in LOADED_ENGINES.loads.items():
        key = identity.split(" ")[0]
        counted[key] = counted.get(key, 0) + count
    return counted


def loads_logged(instance: dg.DagsterInstance) -> list[str]:
    """Keys of the models whose loading stands in the logs of the instance's runs, in order of run and time."""
    found = []
    for run in reversed(instance.get_runs()):
        for entry in instance.all_logs(run.run_id):
            _, loading, key = entry.message.partition("loading model ")
            found += [key] if loading else []
    return found


def materialized(instance: dg.DagsterInstance, asset: str) -> set[LakeKey]:
    """What Dagster says is materialized of an asset."""
    return {lake_key(asset, key) for key in instance.get_materialized_partitions(dg.AssetKey(asset))}
