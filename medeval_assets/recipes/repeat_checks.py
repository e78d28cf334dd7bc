"""How a cell's repeat checks are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.engines.cell import questions_of
from medeval_assets.engines.repeat import on_other_engines, repeats
from medeval_assets.errors import BadInput, Problem
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation, LineageRecord
from medeval_assets.lake.recipe import Recipe
from medeval_assets.metrics.available import available_metrics, scoring_identity
from medeval_assets.metrics.repeatability import repeat_rows
from medeval_assets.settings import Settings
from medeval_assets.sources.example_rows import examples_of

CODE_VERSION = "1"


def repeat_checks_recipe(
    lake: Lake,
    spec: ModelSpec,
    models: Mapping[str, ModelSpec],
    task: TaskSpec,
    settings: Settings,
    *,
    examples: int,
    download: bool = True,
) -> Recipe:
    """The checks of the cell's current generations. examples: how many prompts are asked again.

    models: all there are, for templates of others. download: False lets it raise NotHere where files are not here.
    BadInput where nothing is asked of the model, or a table is missing.
    """
    cell = LakeKey("repeat_checks", spec.key, task.name)
    if not spec.is_asked:
        what = "nothing is loaded for this model, so its answers have no noise"
        raise BadInput([Problem(str(cell), what, "Check a model that is loaded.")])
    dataset, prompts, generations = _sources(lake, spec.key, task)
    engines = on_other_engines(spec, models, settings, download=download)

    def rows() -> list[dict[str, object]]:
        first = lake.rows(generations.key)
        found = repeats(engines, questions_of(lake, task, prompts), first, examples)
        variants = {one.variant: [asdict(row) for row in one.generations] for one in found}
        metrics = available_metrics(task, settings)
        return repeat_rows(task, metrics, examples_of(lake.rows(dataset.key)), first, variants)

    derivation = repeat_checks_derivation(
        lake,
        spec.key,
        task,
        scoring_identity(task, settings),
        examples=examples,
        engines=[engine.setup.engine for engine in engines],
        identity=asdict(engines[0].identity),
    )
    return Recipe(cell, derivation, rows, like=[dataset, prompts, generations])


def repeat_checks_derivation(
    lake: Lake,
    model: str,
    task: TaskSpec,
    scoring: Mapping[str, Any],
    *,
    examples: int,
    engines: Sequence[str],
    identity: Mapping[str, str],
) -> Derivation:
    """What the checks of the cell's current generations are derived from. BadInput where a table is missing.

    scoring: the task's `scoring_identity`. engines: which ones ask again, the model's own first. identity: who answers.
    """
    return Derivation(
        code_version=CODE_VERSION,
        parameters={"examples": examples, "engines": list(engines), "scoring": dict(scoring)},
        inputs=tuple(source.as_input() for source in _sources(lake, model, task)),
        model=dict(identity),
    )


def _sources(lake: Lake, model: str, task: TaskSpec) -> list[LineageRecord]:
    """Dataset, prompt set and generations."""
    return lake.records(
        [
            LakeKey("datasets", task=task.name),
            LakeKey("prompt_sets", task=task.name),
            LakeKey("generations", model, task.name),
        ]
    )
