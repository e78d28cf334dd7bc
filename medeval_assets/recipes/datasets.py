"""How a task's dataset is made."""

from __future__ import annotations

from dataclasses import asdict

from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lineage_record import Derivation, RawFileRecord
from medeval_assets.lake.recipe import Recipe
from medeval_assets.settings import Settings
from medeval_assets.sources.dataset import read_dataset
from medeval_assets.sources.example_rows import rows_of

CODE_VERSION = "1"
SAMPLE_LICENCE = "Apache-2.0 (the project's synthetic samples)"


def dataset_recipe(task: TaskSpec, settings: Settings) -> Recipe:
    """The examples of the task as its files hold them now. BadInput where they cannot be read."""
    dataset = read_dataset(task, settings)
    return Recipe(
        LakeKey("datasets", task=task.name),
        Derivation(
            code_version=f"{CODE_VERSION}.{task.version}",
            raw_files=tuple(RawFileRecord(**asdict(source)) for source in dataset.sources),
        ),
        lambda: rows_of(dataset.examples),
        access=task.access,
        licence=SAMPLE_LICENCE if dataset.synthetic else task.licence,
        synthetic=dataset.synthetic,
    )
