"""Real tiny checkpoints on several tasks: each answer is asked for once, and no task takes another one with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from medeval_assets.catalog.model_spec import EngineNeeds, ModelSpec
from medeval_assets.catalog.task_spec import Access, Decoding, Document, TaskSpec
from medeval_assets.engines import loaded_engines, model_under_test, transformers_engine
from medeval_assets.engines.engine_setup import EngineSetup
from medeval_assets.engines.generations import Generation
from medeval_assets.engines.journal import Journal
from medeval_assets.engines.loaded_checkpoint import LoadedCheckpoint
from medeval_assets.engines.loaded_engines import LOADED_ENGINES
from medeval_assets.engines.model_under_test import ModelUnderTest
from medeval_assets.engines.protocol import Answer, Batch, Engine, EngineDied, EngineIdentity, Key, Request
from medeval_assets.engines.respondent import Outcome, Questions
from medeval_assets.errors import BadInput, MedevalError
from medeval_assets.prompts.prompt import Message, Prompt
from medeval_assets.settings import Settings
from medeval_assets.tasks.mednli import TASKS

SPEC = TASKS[0]
TASK_NAMES = ("first", "second", "third")

Wrap = Callable[[Engine], Engine]


def task(name: str) -> TaskSpec:
    return replace(SPEC, name=name, decoding=Decoding(max_new_tokens=4))


def prompt(example_id: str, text: str = "", options: Sequence[str] = ("yes", "no")) -> Prompt:
    asked = text or f"patient {example_id} is the question"
    return Prompt(example_id, (Message("user", asked),), "Answer:", {option: option for option in options})


def questions(name: str, count: int = 6) -> Questions:
    prompts = [prompt(f"{name}-{number}", " patient" * (3 * number) + f" {name}") for number in range(count)]
    return Questions(task(name), prompts, list, Access.PUBLIC)


@dataclass
class Asked:
    """A model in a home of its own, and what became of the questions that it was asked."""

    settings: Settings
    checkpoint: Path
    dtype: Any = "float32"
    progress: list[tuple[str, int, int]] = field(default_factory=list)

    def model(self) -> ModelUnderTest:
        spec = ModelSpec(
            key="tiny",
            checkpoint=f"folder:{self.checkpoint}",
            role="generalist",
            engine=EngineNeeds(gpus=0, dtype=self.dtype),
        )
        return ModelUnderTest(spec, {"tiny": spec}, self.settings)

    def ask(self, *asked: Questions) -> dict[str, Outcome]:
        """Outcomes by task, as a new process would get them but for an engine that is still loaded."""
        self.progress.clear()
        answering = LoadedCheckpoint(self.model()).answer(asked, lambda *told: self.progress.append(told))
        outcomes = list(answering)
        found = {outcome.questions.task.name: outcome for outcome in outcomes}
        assert len(found) == len(outcomes) == len(asked), "one outcome a task"
        return found

    def kept(self) -> list[str]:
        """The hash of every answer in the journal, one by one."""
        hashes = []
        for path in sorted(self.settings.journal.rglob("*.jsonl")):
            for line in path.read_bytes().splitlines():
                hashes += list(json.loads(line.partition(b" ")[2])["answers"])
        return hashes


@pytest.fixture
def asked(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """Batches are so small that each task has several."""
    monkeypatch.setattr(transformers_engine, "TOKENS_ON_CPU", 64)
    LOADED_ENGINES.close()
    yield Asked(Settings(home=tmp_path / "home", sources=tmp_path / "sources"), tiny_checkpoint)
    LOADED_ENGINES.close()


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[EngineSetup]:
    """Grows with each engine that is loaded."""
    return wrap_engines(monkeypatch, lambda engine: engine)


def wrap_engines(monkeypatch: pytest.MonkeyPatch, *wraps: Wrap) -> list[EngineSetup]:
    """Wrap the engines as they are loaded, one after the other; there are no more than these."""
    loaded: list[EngineSetup] = []
    left = list(wraps)

    def load(setup: EngineSetup) -> Engine:
        loaded.append(setup)
        return left.pop(0)(loaded_engines.load_engine(setup))

    monkeypatch.setattr(model_under_test, "load_engine", load)
    return loaded


class Mortal:
    """A real engine that is dead after some batches."""

    def __init__(self, engine: Engine, batches: int, closes: bool = True) -> None:
        self._engine = engine
        self._left = batches
        self._closes = closes

    @property
    def identity(self) -> EngineIdentity:
        return self._engine.identity

    def answer(self, requests: Sequence[Request], done: Container[Key] = ()) -> Iterator[Batch]:
        for batch in self._engine.answer(requests, done):
            if self._left == 0:
                raise EngineDied("its process is gone")
            self._left -= 1
            yield batch

    def close(self) -> None:
        self._engine.close()
        if not self._closes:
            raise RuntimeError("what is dead cannot be closed")


def mortal(batches: int, closes: bool = True) -> Wrap:
    return lambda engine: Mortal(engine, batches, closes)


def rows(outcomes: dict[str, Outcome]) -> dict[str, list[Generation]]:
    for outcome in outcomes.values():
        assert outcome.error is None
    return {name: list(outcome.generations) for name, outcome in sorted(outcomes.items())}


@pytest.fixture
def undisturbed(tiny_checkpoint: Path, tmp_path: Path, asked: Asked) -> dict[str, list[Generation]]:
    """The rows of all three tasks from an engine that nothing happens to."""
    other = Asked(Settings(home=tmp_path / "other", sources=tmp_path / "sources"), tiny_checkpoint)
    found = rows(other.ask(*map(questions, TASK_NAMES)))
    LOADED_ENGINES.close()
    return found


def test_all_tasks_are_answered_by_one_engine(asked: Asked, engines: list[EngineSetup]) -> None:
    outcomes = asked.ask(*map(questions, TASK_NAMES))
    assert len(engines) == 1
    for name, generations in rows(outcomes).items():
        assert [row.example_id for row in generations] == [f"{name}-{number}" for number in range(6)]
        assert all(row.finish_reason in {"stop", "length"} and len(row.option_logprobs) == 2 for row in generations)
        environment = dict(outcomes[name].environment)
        assert (environment["engine"], environment["dtype"], environment["device"]) == (
            "transformers",
            "float32",
            "cpu",
        )
    hashes = [row.request_sha256 for generations in rows(outcomes).values() for row in generations]
    assert sorted(asked.kept()) == sorted(set(hashes))
    for name in TASK_NAMES:
        told = [(count, tokens) for task_name, count, tokens in asked.progress if task_name == name]
        assert told[0] == (0, 0)
        assert len(told) > 2, "one batch only"
        assert sum(count for count, _ in told) == 6
        assert sum(tokens for _, tokens in told) == sum(
            row.prompt_tokens + row.generated_tokens for row in outcomes[name].generations
        )


def test_what_the_journal_has_loads_nothing(asked: Asked, engines: list[EngineSetup]) -> None:
    first = rows(asked.ask(*map(questions, TASK_NAMES)))
    LOADED_ENGINES.close()
    kept = asked.kept()
    # A second load would find no engine left.
    again = asked.ask(*map(questions, TASK_NAMES))
    assert rows(again) == first
    assert again["first"].environment["engine"] == "transformers"
    assert len(engines) == 1
    assert asked.kept() == kept
    assert asked.progress == [(name, 6, 0) for name in TASK_NAMES]


def test_only_what_is_missing_is_asked(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    wrap_engines(monkeypatch, lambda engine: engine, lambda engine: engine)
    asked.ask(questions("first", 4), questions("second"))
    before = asked.kept()
    LOADED_ENGINES.close()
    rows(asked.ask(questions("first", 7), questions("second")))
    kept = asked.kept()
    assert len(kept) - len(before) == 3
    assert len(set(kept)) == len(kept)
    told = [(name, count) for name, count, tokens in asked.progress if tokens]
    assert sum(count for _, count in told) == 3
    assert {name for name, _ in told} == {"first"}


def test_other_weights_dtypes_and_decodings_are_other_work(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    wrap_engines(monkeypatch, *[lambda engine: engine] * 2)
    asked.ask(questions("first"))
    one = questions("first")
    for decoding in (Decoding(max_new_tokens=5), Decoding(max_new_tokens=4, stop=(" of",))):
        changed = replace(one, task=replace(one.task, decoding=decoding))
        before = len(asked.kept())
        rows(asked.ask(changed))
        assert len(asked.kept()) - before == 6
    asked.dtype = "bfloat16"
    before = len(asked.kept())
    assert asked.ask(one)["first"].environment["dtype"] == "bfloat16"
    assert len(asked.kept()) - before == 6
    assert len(set(asked.kept())) == 24


def test_examples_with_the_same_prompt_share_an_answer(asked: Asked, engines: list[EngineSetup]) -> None:
    """The same prompt twice, with as many others of its length between that the two would be in different batches."""
    texts = {"a-0": "patient q", **{f"b-{letter}": f"patient {letter}" for letter in "abcdefgh"}, "c-9": "patient q"}
    prompts = [prompt(example_id, text) for example_id, text in texts.items()]
    outcomes = asked.ask(Questions(task("first"), prompts, list), questions("second"))
    found = {row.example_id: row for row in rows(outcomes)["first"]}
    assert list(found) == list(texts)
    assert replace(found["a-0"], example_id="c-9") == found["c-9"]
    kept = asked.kept()
    assert len(kept) == len(set(kept)) == 9 + 6
    told = [count for name, count, _ in asked.progress if name == "first"]
    assert len(told) > 2
    assert sum(told) == 10


def broken_documents(name: str) -> Questions:
    """Questions with documents, of a task that has no rule to fit them."""
    asked = replace(prompt("x"), documents=(Document("d", "t"),))
    return replace(questions(name), prompts=[asked])


def test_a_task_that_cannot_be_prepared_does_not_take_the_others(
    asked: Asked, engines: list[EngineSetup], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = asked.ask(questions("first"), broken_documents("second"), questions("third"))
    assert isinstance(outcomes.pop("second").error, MedevalError)
    assert [len(found) for found in rows(outcomes).values()] == [6, 6]


def test_an_unexpected_error_stops_its_task_alone(
    asked: Asked, engines: list[EngineSetup], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Journal.entries

    def entries(self: Journal, name: str) -> Iterator[Any]:
        if name == "second":
            raise RuntimeError("a bug")
        return read(self, name)

    monkeypatch.setattr(Journal, "entries", entries)
    outcomes = asked.ask(*map(questions, TASK_NAMES))
    assert isinstance(outcomes.pop("second").error, RuntimeError)
    assert [len(found) for found in rows(outcomes).values()] == [6, 6]


@pytest.mark.parametrize(("batches", "closes"), [(0, True), (1, False), (5, True), (9, True)])
def test_an_engine_that_dies_once_is_loaded_again(
    asked: Asked,
    undisturbed: dict[str, list[Generation]],
    monkeypatch: pytest.MonkeyPatch,
    batches: int,
    closes: bool,
) -> None:
    loaded = wrap_engines(monkeypatch, mortal(batches, closes), lambda engine: engine)
    assert rows(asked.ask(*map(questions, TASK_NAMES))) == undisturbed
    assert len(loaded) == 2
    kept = asked.kept()
    assert len(kept) == len(set(kept)) == 18


def test_an_engine_that_dies_twice_fails_what_is_not_done_and_keeps_the_rest(
    asked: Asked, undisturbed: dict[str, list[Generation]], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = batches_a_task(asked, undisturbed)
    loaded = wrap_engines(monkeypatch, mortal(batches["first"] + 1), mortal(1), lambda engine: engine)
    outcomes = asked.ask(*map(questions, TASK_NAMES))
    assert len(loaded) == 2
    assert list(outcomes["first"].generations) == undisturbed["first"]
    assert isinstance(outcomes["second"].error, EngineDied)
    assert isinstance(outcomes["third"].error, EngineDied)
    kept = asked.kept()
    assert 6 < len(kept) < 18
    # The next evaluation goes on from there.
    assert rows(asked.ask(*map(questions, TASK_NAMES))) == undisturbed
    assert len(asked.kept()) == len(set(asked.kept())) == 18
    assert set(kept) < set(asked.kept())


def batches_a_task(asked: Asked, undisturbed: dict[str, list[Generation]]) -> dict[str, int]:
    """How many batches each task was answered in, as the journal of the undisturbed run has them."""
    journal = asked.settings.home.parent / "other" / "journal"
    found = {}
    for name in TASK_NAMES:
        [path] = journal.glob(f"*/{name}/*.jsonl")
        found[name] = len(path.read_bytes().splitlines())
    assert all(count > 2 for count in found.values())
    return found


class Failing(Mortal):
    """A real engine whose answers to one task fail, as a server's do that is away for a while."""

    def __init__(self, engine: Engine, name: str) -> None:
        super().__init__(engine, -1)
        self._name = name

    def answer(self, requests: Sequence[Request], done: Container[Key] = ()) -> Iterator[Batch]:
        for batch in super().answer(requests, done):
            yield [
                (request, Answer("", "failed", 0, reason="no answer within 60 s"))
                if request.task == self._name and request.example_id.endswith(("1", "2"))
                else (request, answer)
                for request, answer in batch
            ]


def test_failed_answers_fail_their_task_alone_and_are_asked_again(
    asked: Asked, undisturbed: dict[str, list[Generation]], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrap_engines(monkeypatch, lambda engine: Failing(engine, "second"), lambda engine: engine)
    outcomes = asked.ask(*map(questions, TASK_NAMES))
    failed = outcomes.pop("second")
    assert rows(outcomes) == {name: undisturbed[name] for name in ("first", "third")}
    assert failed.generations == ()
    assert "2 of 6 prompts got no answer: no answer within 60 s (2). The others are kept" in str(failed.error)
    assert len(asked.kept()) == 16
    LOADED_ENGINES.close()
    again = rows(asked.ask(*map(questions, TASK_NAMES)))
    # The two are a batch of another width now, which moves sums of floats by their last digits.
    for before, after in zip(undisturbed["second"], again.pop("second"), strict=True):
        assert after.option_logprobs == pytest.approx(before.option_logprobs, rel=1e-4)
        assert replace(after, option_logprobs=()) == replace(before, option_logprobs=())
    assert again == {name: undisturbed[name] for name in ("first", "third")}
    assert len(asked.kept()) == len(set(asked.kept())) == 18


class Forgetful(Mortal):
    """A real engine that ends before everything is answered."""

    def answer(self, requests: Sequence[Request], done: Container[Key] = ()) -> Iterator[Batch]:
        try:
            yield from super().answer(requests, done)
        except EngineDied:
            return


def test_an_engine_that_ends_too_early_is_told(
    asked: Asked, undisturbed: dict[str, list[Generation]], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = batches_a_task(asked, undisturbed)
    wrap_engines(monkeypatch, lambda engine: Forgetful(engine, batches["first"] + 1))
    outcomes = asked.ask(*map(questions, TASK_NAMES))
    assert list(outcomes["first"].generations) == undisturbed["first"]
    for name in ("second", "third"):
        assert "the engine left 2 tasks unanswered" in str(outcomes[name].error)


def test_a_journal_that_cannot_be_written_stops_the_model_and_keeps_what_is_there(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.settings.home.mkdir()
    asked.settings.journal.write_text("a file where the folder should be")
    wrap_engines(monkeypatch, lambda engine: engine)
    outcomes = asked.ask(*map(questions, TASK_NAMES))
    for outcome in outcomes.values():
        assert isinstance(outcome.error, BadInput)
        assert "cannot be written" in str(outcome.error)
