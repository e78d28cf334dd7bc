"""LoadedCheckpoint: answers of a model that is loaded here."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.engines.generations import Generation, Prepared, generation_of, prepare, request_sha256
from medeval_assets.engines.interruption import BatchesAreWhole
from medeval_assets.engines.journal import Entry, collect, merged
from medeval_assets.engines.model_under_test import ModelUnderTest
from medeval_assets.engines.protocol import Answer, Batch, EngineDied, Request
from medeval_assets.engines.respondent import OnBatch, Outcome, Questions
from medeval_assets.errors import MedevalError

_log = logging.getLogger(__name__)


@dataclass
class _Task:
    """The questions about one task and what is known of their answers.

    hashes: of what is asked, by example. Examples with the same prompt have the same one and share its answer.
    answers: by these hashes.
    """

    questions: Questions
    prepared: Sequence[Prepared]
    hashes: Mapping[str, str]
    answers: dict[str, Answer]
    environments: list[Mapping[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._examples = Counter(self.hashes.values())
        self._open = set(self.hashes.values()) - self.answers.keys()

    @property
    def requests(self) -> list[Request]:
        """What is asked, each once."""
        unique: dict[str, Request] = {}
        for one in self.prepared:
            if one.request is not None:
                unique.setdefault(self.hashes[one.request.example_id], one.request)
        return list(unique.values())

    @property
    def answered(self) -> int:
        """Prompts that need no answer any more, those that are skipped among them."""
        return len(self.prepared) - sum(self._examples[sha256] for sha256 in self._open)

    @property
    def done(self) -> bool:
        return not self._open

    def keep(self, answers: Mapping[str, Answer], environment: Mapping[str, str]) -> int:
        """Take the answers over; returns how many more prompts are answered."""
        self.answers |= answers
        self._open -= answers.keys()
        if environment not in self.environments:
            self.environments.append(environment)
        return sum(self._examples[sha256] for sha256 in answers)

    def outcome(self) -> Outcome:
        rows: list[Generation] = []
        for one in self.prepared:
            sha256 = self.hashes.get(one.prompt.example_id, "")
            rows.append(generation_of(one, self.answers.get(sha256), sha256))
        failed = [answer.reason for answer in self.answers.values() if answer.finish_reason == "failed"]
        if failed:
            reasons = "; ".join(f"{reason} ({failed.count(reason)})" for reason in sorted(set(failed)))
            what = f"{len(failed)} of {len(rows)} prompts got no answer: {reasons}. "
            return Outcome(self.questions, error=MedevalError(f"{what}The others are kept; run again for the rest."))
        return Outcome(self.questions, rows, environment=merged(self.environments))


class LoadedCheckpoint:
    """A respondent that loads its model when a prompt has to be answered that was never answered before.

    All tasks are asked at once, so that an engine can batch over all of them. Each batch is in the journal before the
    next one is waited for; an engine that dies is loaded once more and goes on from there.
    """

    reads = ("prompt_sets",)

    def __init__(self, model: ModelUnderTest) -> None:
        self._model = model

    @property
    def model(self) -> ModelUnderTest:
        """What it loads."""
        return self._model

    def identity(self, task: TaskSpec) -> Mapping[str, str]:
        return asdict(self._model.identity)

    def parameters(self, task: TaskSpec) -> Mapping[str, Any]:
        needs = self._model.spec.engine
        return {
            "decoding": asdict(task.decoding),
            "documents": asdict(task.documents) if task.documents else None,
            "engine": needs.name,
            "dtype": needs.dtype,
            "context": needs.context,
            **self._model.elsewhere,
        }

    def answer(self, asked: Sequence[Questions], on_batch: OnBatch) -> Iterator[Outcome]:
        journal = self._model.journal
        try:
            tasks: dict[str, _Task] = {}
            for questions in asked:
                name = questions.task.name
                try:
                    task = self.recall(questions)
                except Exception as error:  # whatever keeps one task from being asked, the others can be
                    yield Outcome(questions, error=error)
                    continue
                on_batch(name, task.answered, 0)
                if task.done:
                    yield task.outcome()
                else:
                    tasks[name] = task
            yield from self._answer(tasks, on_batch)
        finally:
            journal.close()

    def recall(self, questions: Questions) -> _Task:
        """The task's requests and the answers that the journal has; nothing is loaded for it but the tokenizer."""
        self._model.may_be_asked(questions)
        setup = self._model.setup
        prepared = prepare(questions.task, questions.prompts, self._model.renderer, setup.context)
        salt = self._model.request_salt
        hashes = {
            one.request.example_id: request_sha256(one.request, salt) for one in prepared if one.request is not None
        }
        wanted = dict.fromkeys(hashes.values())
        answers, environments = collect(self._model.journal.entries(questions.task.name), wanted)
        return _Task(questions, prepared, hashes, answers, environments)

    def _answer(self, tasks: dict[str, _Task], on_batch: OnBatch) -> Iterator[Outcome]:
        """Outcomes of the tasks that are not done; `tasks` is emptied."""
        restarted = False
        while tasks:
            try:
                yield from self._answer_once(tasks, on_batch)
            except EngineDied as error:
                with contextlib.suppress(Exception):  # what is dead may not be closed in order either
                    self._model.drop_engine()
                if not restarted:
                    restarted = True
                    _log.warning("%s: %s; loading it again", self._model.spec.key, error)
                    continue
                yield from _all_failed(tasks, error)
            except Exception as error:  # whatever an engine raises, each task is told of it
                yield from _all_failed(tasks, error)

    def _answer_once(self, tasks: dict[str, _Task], on_batch: OnBatch) -> Iterator[Outcome]:
        engine = self._model.engine
        environment = environment_of(engine.identity)
        requests = [request for task in tasks.values() for request in task.requests]
        done = {
            (name, example_id)
            for name, task in tasks.items()
            for example_id, sha256 in task.hashes.items()
            if sha256 in task.answers
        }
        answering = engine.answer(requests, done)
        while True:
            with BatchesAreWhole():
                start = time.perf_counter()
                batch = next(answering, None)
                if batch is None:
                    break
                counts: dict[str, int] = {}
                by_task: dict[str, Batch] = {}
                for request, answer in batch:
                    by_task.setdefault(request.task, []).append((request, answer))
                seconds = (time.perf_counter() - start) / len(batch) if batch else 0.0
                for name, part in by_task.items():
                    task = tasks[name]
                    answers = {task.hashes[request.example_id]: answer for request, answer in part}
                    prompt_tokens = sum(len(request.token_ids) for request, _ in part)
                    self._model.journal.write(name, Entry(answers, environment, prompt_tokens, seconds * len(part)))
                    counts[name] = task.keep(answers, environment)
            for name, part in by_task.items():
                tokens = sum(len(request.token_ids) + answer.generated_tokens for request, answer in part)
                on_batch(name, counts[name], tokens)
                if tasks[name].done:
                    yield tasks.pop(name).outcome()
            if not tasks:
                break
        if tasks:
            raise MedevalError(f"the engine left {sum(not task.done for task in tasks.values())} tasks unanswered")


def environment_of(identity: Any) -> dict[str, str]:
    """An engine's identity as it stands in lineage records."""
    return {"engine": identity.name, "dtype": identity.dtype, "device": identity.device, **identity.versions}


def _all_failed(tasks: dict[str, _Task], error: Exception) -> Iterator[Outcome]:
    for name in list(tasks):
        yield Outcome(tasks.pop(name).questions, error=error)
