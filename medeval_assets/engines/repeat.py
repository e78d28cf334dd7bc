"""Repeat: some prompts answered again in another batch and, where there is one, on another engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.engines.engine_setup import engine_setup
from medeval_assets.engines.generations import Generation, generation_of, prepare, request_sha256
from medeval_assets.engines.loaded_checkpoint import LoadedCheckpoint
from medeval_assets.engines.model_under_test import ModelUnderTest
from medeval_assets.engines.respondent import Questions
from medeval_assets.engines.respondents import respondent_of
from medeval_assets.errors import BadInput, MedevalError, Problem
from medeval_assets.prompts.selection import select
from medeval_assets.settings import Settings

ALONE = "alone"


@dataclass(frozen=True)
class Repeat:
    """The same prompts answered once more.

    variant: `alone` (one prompt a batch, on the same engine) or the name of another engine, in batches.
    generations: in the order of the prompts; the same examples for every variant.
    """

    variant: str
    generations: Sequence[Generation]


def repeats(
    models: Sequence[ModelUnderTest], questions: Questions, first: Sequence[Mapping[str, Any]], most: int
) -> Iterator[Repeat]:
    """Answers to at most `most` of the prompts that were answered before: one by one, then on each other engine.

    models: the model, then the same on other engines. first: its rows of the generations table.
    BadInput where none of the rows is an answer of this model to these prompts as they are today, and where text that
    is not public would leave for a server.
    """
    for asked in models:
        asked.may_be_asked(questions)
    before = {row["example_id"]: row["request_sha256"] for row in first}
    model = models[0]
    prepared = prepare(questions.task, questions.prompts, model.renderer, model.setup.context)
    same = {
        one.prompt.example_id: one
        for one in prepared
        if one.request is not None
        and before.get(one.prompt.example_id) == request_sha256(one.request, model.request_salt)
    }
    if not same:
        what = "no answer there is one of this model, on this engine, to today's prompts"
        raise BadInput([Problem(f"{model.spec.key} × {questions.task.name}", what, "Evaluate it first.")])
    chosen = [same[prompt.example_id] for prompt in select([one.prompt for one in same.values()], most)]
    requests = [one.request for one in chosen if one.request is not None]
    for asked, groups in [(model, [[request] for request in requests]), *((other, [requests]) for other in models[1:])]:
        answers = {
            request.example_id: answer
            for group in groups
            for batch in asked.engine.answer(group)
            for request, answer in batch
        }
        failed = sum(answer.finish_reason == "failed" for answer in answers.values())
        if failed:
            raise MedevalError(f"{failed} of {len(requests)} prompts got no answer when they were asked again")
        variant = ALONE if asked is model else asked.setup.engine
        rows = [generation_of(one, answers[one.prompt.example_id], before[one.prompt.example_id]) for one in chosen]
        yield Repeat(variant, rows)


def on_other_engines(
    spec: ModelSpec, models: Mapping[str, ModelSpec], settings: Settings, *, download: bool = True
) -> list[ModelUnderTest]:
    """The model as it runs, then on every other engine that is there for it; the encoder's and a server's are alone.

    download: False lets it raise NotHere where files would have to be downloaded first.
    """
    own = _under_test(spec, models, settings, download)
    names: list[Literal["transformers", "vllm"]] = ["transformers", "vllm"]
    found = [own]
    for name in names if own.setup.engine in names else []:
        if name != own.setup.engine:
            needs = spec.engine.model_copy(update={"name": name})
            try:
                engine_setup(spec.key, own.folder, spec.kind, needs, own.adapter)
            except BadInput:
                continue
            found.append(_under_test(spec.model_copy(update={"engine": needs}), models, settings, download))
    return found


def _under_test(spec: ModelSpec, models: Mapping[str, ModelSpec], settings: Settings, download: bool) -> ModelUnderTest:
    respondent = respondent_of(spec, models, settings, download=download)
    if not isinstance(respondent, LoadedCheckpoint):
        raise MedevalError(f"{spec.key}: nothing is asked of it that could be asked again")
    return respondent.model
