"""Replay: a cell made again from what its records name, and compared with what is recorded."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.engines.cell import cell_of
from medeval_assets.engines.respondent import OnBatch
from medeval_assets.engines.respondents import respondent_of
from medeval_assets.errors import BadInput, Problem
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.lake.overlay import Overlay
from medeval_assets.lake.recipe import Recipe
from medeval_assets.lake.staleness import Change, changes
from medeval_assets.recipes.metric_tables import metric_table_recipe
from medeval_assets.recipes.scores import scores_recipe
from medeval_assets.settings import Settings
from medeval_assets.trace.chain import Link
from medeval_assets.trace.recorded import rows_of

LIKELIHOOD_NOISE = 1e-3
"""Nats by which an option's log-likelihood may differ where the same prompt shares a batch with others."""

_SCRATCH = ".replay-"


@dataclass(frozen=True)
class Answers:
    """How answers differ that are not the same bit for bit.

    rows: prompts that were answered then or now. other: those whose answer is another one in anything but likelihoods.
    likelihoods: those whose likelihoods alone differ. largest: by how much at most (nats).
    """

    rows: int
    other: int
    likelihoods: int
    largest: float


@dataclass(frozen=True)
class Replayed:
    """One table made again.

    recorded, again: hashes of the content. changes: what it is made from otherwise today.
    answers: for generations that are not the same, how they differ; None otherwise, and where the rows are gone.
    """

    asset: str
    recorded: str
    again: str
    changes: Sequence[Change]
    answers: Answers | None = None

    @property
    def same(self) -> bool:
        """Bit for bit."""
        return self.recorded == self.again

    @property
    def reproduced(self) -> bool:
        """The same, or the same answers with likelihoods that differ by no more than other batches explain."""
        within_noise = self.answers is not None and not self.answers.other and self.answers.largest <= LIKELIHOOD_NOISE
        return self.same or within_noise


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
    links = {asset: _needed(chain, asset) for asset in ("generations", "scores", "metric_tables")}
    recorded = {asset: _record(link) for asset, link in links.items()}
    if chain.key.model not in models:
        raise BadInput([Problem(chain.key.model, "the model is no longer in the catalog", "Enter it again.")])
    with _scratch(settings.home) as journal:
        respondent = respondent_of(models[chain.key.model], models, replace(settings, journal_folder=journal))
        limit = recorded["generations"].derivation.parameters["limit"]
        cell = cell_of(overlay, chain.key.model, task, respondent, limit)
        outcome = next(iter(respondent.answer([cell.questions(overlay)], on_batch)))
    if outcome.error is not None:
        raise outcome.error
    before = _rows(overlay, links["generations"])

    def made(asset: str, recipe: Recipe) -> Replayed:
        record = recipe.make(overlay, run_id="")
        then = recorded[asset]
        found = Replayed(asset, then.content_sha256, record.content_sha256, changes(then.derivation, record.derivation))
        if asset != "generations" or found.same or before is None:
            return found
        return replace(found, answers=_compared(before, overlay.rows(record.key)))

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


def _rows(lake: Lake, link: Link) -> list[dict[str, Any]] | None:
    """The recorded rows; None where they were removed."""
    return None if link.state in {"removed", "missing"} else rows_of(lake, link)


def _compared(then: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> Answers:
    before, after = ({str(row["example_id"]): row for row in rows} for rows in (then, now))
    other, likelihoods, largest = 0, 0, 0.0
    for example_id in before.keys() | after.keys():
        one, two = before.get(example_id), after.get(example_id)
        if one is None or two is None or _without_likelihoods(one) != _without_likelihoods(two):
            other += 1
        elif one["option_logprobs"] != two["option_logprobs"]:
            likelihoods += 1
            pairs = zip(one["option_logprobs"], two["option_logprobs"], strict=True)
            largest = max(largest, *(abs(first - second) for first, second in pairs))
    return Answers(len(before.keys() | after.keys()), other, likelihoods, largest)


def _without_likelihoods(row: Mapping[str, Any]) -> dict[str, Any]:
    likelihoods = row["option_logprobs"]
    return {**row, "option_logprobs": len(likelihoods)}


@contextlib.contextmanager
def _scratch(home: Path) -> Iterator[Path]:
    """A folder for the answers of one replay, which does not stay; those that killed replays left are removed."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        for left_behind in home.glob(f"{_SCRATCH}*"):
            with _locked(left_behind) as alone:
                if alone:
                    shutil.rmtree(left_behind, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=home))
    except OSError as error:
        what = f"it cannot be written to ({error.strerror or type(error).__name__})"
        raise BadInput([Problem(str(home), what, "A replay keeps its answers there until it is done.")]) from error
    try:
        with _locked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether the folder is nobody else's; it is ours as long as this lasts."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)
