"""How a task's dataset is made."""

from __future__ import annotations

from dataclasses import asdict

from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.errors import BadInput, Problem
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation, RawFileRecord
from medeval_assets.lake.purged import purged
from medeval_assets.lake.recipe import Recipe
from medeval_assets.settings import Settings
from medeval_assets.sources.dataset import read_dataset
from medeval_assets.sources.example_rows import rows_of

CODE_VERSION = "1"
SAMPLE_LICENCE = "Apache-2.0 (the project's synthetic samples)"


def dataset_recipe(task: TaskSpec, settings: Settings, lake: Lake | None = None) -> Recipe:
    """The examples of the task as its files hold them now.

    BadInput where they cannot be read, and where only samples are left of a task whose real data the lake knows to have
    been purged: they never come in quietly for these.
    """
    dataset = read_dataset(task, settings)
    if dataset.synthetic and lake is not None:
        _refuse_samples_for_purged(task, settings, lake)
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


def _refuse_samples_for_purged(task: TaskSpec, settings: Settings, lake: Lake) -> None:
    removal = purged(lake, LakeKey("datasets", task=task.name))
    if removal is not None and not removal.record.synthetic:
        what = (
            f"its real data ({removal.record.rows} examples) were purged {removal.removed_at}, and only synthetic "
            "samples are there to take their place"
        )
        remedy = f"Put its files back into {settings.sources / task.name}, or leave the task out."
        raise BadInput([Problem(f"datasets × {task.name}", what, remedy)])
