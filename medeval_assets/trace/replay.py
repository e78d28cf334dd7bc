"""Replay: a cell made again from what its records name, and compared with what is recorded."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.engines.cell import cell_of
from medeval_assets.engines.respondent import OnBatch
from medeval_assets.engines.respondents import respondent_of
from medeval_assets.errors import BadInput, Problem
from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.lake.overlay import Overlay
from medeval_assets.lake.recipe import Recipe
from medeval_assets.lake.staleness import Change, changes
from medeval_assets.recipes.metric_tables import metric_table_recipe
from medeval_assets.recipes.scores import scores_recipe
from medeval_assets.settings import Settings
from medeval_assets.trace.chain import Link


@dataclass(frozen=True)
class Replayed:
    """One table made again.

    recorded, again: hashes of the content. changes: what it is made from otherwise today.
    """

    asset: str
    recorded: str
    again: str
    changes: Sequence[Change]

    @property
    def same(self) -> bool:
        return self.recorded == self.again


def replay(
    chain: Link,
    *,
    task: TaskSpec,
    models: Mapping[str, ModelSpec],
    settings: Settings,
    on_batch: OnBatch,
) -> list[Replayed]:
    """The cell's generations, scores and metric table made again, in the order the data flow. The lake stays as it is.

    Prompts and dataset are the recorded ones. Every prompt is asked anew: answers that are remembered do not count, and
    the new ones are not kept. BadInput where a table of the chain is gone, or the model is.
    """
    overlay = Overlay.of(settings)
    for asset in ("datasets", "prompt_sets"):
        link = _needed(chain, asset)
        if link.version is not None:
            overlay.stand_in(link.version)
    recorded = {asset: _record(_needed(chain, asset)) for asset in ("generations", "scores", "metric_tables")}
    if chain.key.model not in models:
        raise BadInput([Problem(chain.key.model, "the model is no longer in the catalog", "Enter it again.")])
    settings.home.mkdir(parents=True, exist_ok=True)
    journal = Path(tempfile.mkdtemp(prefix=".replay-", dir=settings.home))
    try:
        respondent = respondent_of(models[chain.key.model], models, replace(settings, journal_folder=journal))
        limit = recorded["generations"].derivation.parameters["limit"]
        cell = cell_of(overlay, chain.key.model, task, respondent, limit)
        outcome = next(iter(respondent.answer([cell.questions(overlay)], on_batch)))
    finally:
        shutil.rmtree(journal, ignore_errors=True)
    if outcome.error is not None:
        raise outcome.error

    def made(asset: str, recipe: Recipe) -> Replayed:
        record = recipe.make(overlay, run_id="")
        before = recorded[asset]
        return Replayed(
            asset, before.content_sha256, record.content_sha256, changes(before.derivation, record.derivation)
        )

    return [
        made("generations", cell.recipe(outcome.generations)),
        made("scores", scores_recipe(overlay, chain.key.model, task, settings)),
        made("metric_tables", metric_table_recipe(overlay, chain.key.model, task.name)),
    ]


def _needed(chain: Link, asset: str) -> Link:
    link = chain.of(asset)
    if link is None or (link.state in {"removed", "missing"} and asset in {"datasets", "prompt_sets"}):
        what = f"the {asset} that it was made from are {'not recorded' if link is None else link.state}"
        raise BadInput([Problem(str(chain.key), what, "It cannot be made again; `medeval audit` tells more.")])
    return link


def _record(link: Link) -> LineageRecord:
    if link.record is None:
        raise BadInput([Problem(str(link.key), "its record is missing", "`medeval audit` tells more.")])
    return link.record
