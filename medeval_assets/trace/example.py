"""ExampleTrace: one example, from the raw files it was read from to its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from medeval_assets.catalog.checkpoint_source import NotHere
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.quoted import quoted
from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.engines.generations import prepare, request_sha256
from medeval_assets.engines.loaded_checkpoint import LoadedCheckpoint
from medeval_assets.engines.model_under_test import ModelUnderTest
from medeval_assets.engines.rendering import Renderer
from medeval_assets.engines.respondent import Respondent
from medeval_assets.engines.respondents import respondent_of
from medeval_assets.errors import BadInput, MedevalError, Problem
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import RawFileRecord
from medeval_assets.prompts.prompt_rows import prompts_of
from medeval_assets.settings import Settings
from medeval_assets.sources.dataset import read_dataset
from medeval_assets.sources.example_rows import examples_of
from medeval_assets.trace.chain import Link
from medeval_assets.trace.recorded import rows_of

RawState = Literal["the same row", "another row", "other files", "unreadable"]


@dataclass(frozen=True)
class Asked:
    """The prompt as the model was asked it, worked out again from its tokenizer and template of today.

    rendered: as text, special tokens written out; "" where nothing was rendered here, for the reason in `why`.
    request_sha256: of what would be asked today; "" where nothing would be.
    matches: whether it is the hash in the generations, which is made of the tokens, the decoding and the identity of
        model and engine: then this is what was asked, token for token. None where there is none to compare.
    """

    rendered: str = ""
    request_sha256: str = ""
    matches: bool | None = None
    why: str = ""


@dataclass(frozen=True)
class ExampleTrace:
    """What became of one example.

    raw_files: the files that its dataset was read from. raw: what they give for the example when they are read again.
    row: its row of the dataset. prompt: its row of the prompt set. generation: what the model returned.
    scores: its rows of the scores, with parse rule and failure.
    """

    raw_files: Sequence[Mapping[str, Any]]
    raw: RawState
    row: Mapping[str, Any]
    prompt: Mapping[str, Any]
    asked: Asked
    generation: Mapping[str, Any]
    scores: Sequence[Mapping[str, Any]]


def example_trace(
    lake: Lake, chain: Link, example_id: str, *, task: TaskSpec, models: Mapping[str, ModelSpec], settings: Settings
) -> ExampleTrace:
    """The example behind a cell's numbers, from the tables that these were made from.

    chain: of the cell's metric table. BadInput where a table of it is gone, or knows no such example.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    raw_files: Sequence[RawFileRecord] = ()
    for asset in ("datasets", "prompt_sets", "generations", "scores"):
        link = chain.of(asset)
        if link is None:
            raise BadInput([Problem(str(chain.key), f"no {asset} stand behind it", "`medeval audit` tells more.")])
        found[asset] = [row for row in rows_of(lake, link) if row["example_id"] == example_id]
        if not found[asset]:
            what = f"it has no example {quoted(example_id)}"
            remedy = "`medeval dataset` lists the examples; a limit leaves some out, and worked examples are not asked."
            raise BadInput([Problem(str(link.key), what, remedy)])
        if asset == "datasets" and link.record is not None:
            raw_files = link.record.derivation.raw_files
    row, prompt, generation = found["datasets"][0], found["prompt_sets"][0], found["generations"][0]
    spec = models.get(chain.key.model)
    respondent = respondent_of(spec, models, settings, download=False) if spec else None
    return ExampleTrace(
        raw_files=[file.model_dump() for file in raw_files],
        raw=_read_again(task, settings, raw_files, row),
        row=row,
        prompt=prompt,
        asked=_asked(respondent, task, prompt, generation),
        generation=generation,
        scores=found["scores"],
    )


def _read_again(
    task: TaskSpec, settings: Settings, raw_files: Sequence[RawFileRecord], row: Mapping[str, Any]
) -> RawState:
    try:
        dataset = read_dataset(task, settings)
    except MedevalError:
        return "unreadable"
    if [(one.name, one.sha256) for one in dataset.sources] != [(one.name, one.sha256) for one in raw_files]:
        return "other files"
    again = [example for example in dataset.examples if example.example_id == row["example_id"]]
    return "the same row" if again == examples_of([row]) else "another row"


def _asked(
    respondent: Respondent | None, task: TaskSpec, prompt: Mapping[str, Any], generation: Mapping[str, Any]
) -> Asked:
    if generation["finish_reason"] == "skipped":
        return Asked(why=str(generation["skip_reason"]))
    if respondent is None:
        return Asked(why="the model is no longer in the catalog")
    if not isinstance(respondent, LoadedCheckpoint):
        return Asked(why="no model was asked here")
    try:
        return _asked_again(respondent.model, task, prompt, str(generation["request_sha256"]))
    except MedevalError as error:
        return Asked(why=str(error) if isinstance(error, NotHere) else f"it cannot be rendered today: {error}")


def _asked_again(model: ModelUnderTest, task: TaskSpec, prompt: Mapping[str, Any], recorded: str) -> Asked:
    asked, renderer = prompts_of([prompt])[0], model.renderer
    (prepared,) = prepare(task, [asked], renderer, model.setup.context)
    if prepared.request is None:
        return Asked(why=prepared.skip_reason)
    sha256 = request_sha256(prepared.request, model.request_salt)
    matches = sha256 == recorded if recorded else None
    if not isinstance(renderer, Renderer):
        return Asked("", sha256, matches, "the server renders the messages")
    text = renderer.render(prepared.request.messages, asked.cue).text
    return Asked(text, sha256, matches, "" if matches else "rendered with the model's files of today")
