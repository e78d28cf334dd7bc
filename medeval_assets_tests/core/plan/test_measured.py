"""Estimates rest on what the journal has measured, the nearest first, and say where they are from."""

from __future__ import annotations

from pathlib import Path

import pytest

from medeval_assets.catalog.model_spec import EngineNeeds, ModelSpec
from medeval_assets.engines.journal import Entry, Journal
from medeval_assets.engines.model_under_test import ModelUnderTest
from medeval_assets.engines.protocol import Answer
from medeval_assets.plan.measured import Measurements
from medeval_assets.settings import Settings

TASKS = ["mednli", "medqa", "meqsum"]
MOST = 20


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", sources=tmp_path / "sources")


@pytest.fixture
def model(settings: Settings, tiny_checkpoint: Path) -> ModelUnderTest:
    spec = ModelSpec(
        key="tiny",
        checkpoint=f"folder:{tiny_checkpoint}",
        role="generalist",
        engine=EngineNeeds(gpus=0, dtype="float32"),
    )
    return ModelUnderTest(spec, {"tiny": spec}, settings)


def batch(
    answers: int, prompt_tokens: int, generated: int, seconds: float, *, device: str = "cpu", first: int = 0
) -> Entry:
    """A batch of so many answers, each of `generated` tokens; `first` numbers them."""
    kept = {f"{first + number}": Answer("text", "stop", generated) for number in range(answers)}
    return Entry(kept, {"device": device}, prompt_tokens, seconds)


def about(seconds: float) -> object:
    """Equal to what is nearly as long; mypy knows no approximate floats."""
    return pytest.approx(seconds)


def write(journal: Journal, task: str, *entries: Entry) -> None:
    for entry in entries:
        journal.write(task, entry)
    journal.close()


def test_nothing_measured_gives_an_upper_bound_and_no_time(model: ModelUnderTest) -> None:
    measured = Measurements(model, TASKS)
    assert measured.generated_per_answer("mednli", MOST) == (MOST, "at most")
    assert measured.seconds("mednli", 3, 100, 60.0) == (None, "")


def test_the_task_itself_comes_first(model: ModelUnderTest) -> None:
    # Two batches: 4 answers, 400 + 40 tokens in 11 seconds, so 40 tokens a second and 10 tokens an answer.
    write(model.journal, "mednli", batch(3, 300, 10, 8.0), batch(1, 100, 10, 3.0, first=3))
    write(model.journal, "medqa", batch(1, 100, 1, 1000.0))
    measured = Measurements(model, TASKS)
    assert measured.generated_per_answer("mednli", MOST) == (10.0, "measured")
    assert measured.seconds("mednli", 2, 380, 20.0) == (about(10.0), "measured")
    # Where a server tokenizes, each request costs what it cost before.
    assert measured.seconds("mednli", 2, None, 20.0) == (about(5.5), "measured")


def test_two_other_tasks_tell_what_each_kind_of_token_costs(model: ModelUnderTest) -> None:
    # A prompt's token takes 0.01 s, a generated one 0.1 s.
    write(model.journal, "mednli", batch(1, 1000, 10, 11.0))
    write(model.journal, "medqa", batch(1, 100, 100, 11.0))
    seconds, source = Measurements(model, TASKS).seconds("meqsum", 5, 200, 50.0)
    assert (seconds, source) == (about(7.0), "measured on other tasks")
    assert Measurements(model, TASKS).seconds("meqsum", 5, None, 50.0) == (None, "")


def test_one_other_task_gives_every_token_the_same_price(model: ModelUnderTest) -> None:
    write(model.journal, "mednli", batch(1, 90, 10, 5.0))
    seconds, source = Measurements(model, TASKS).seconds("medqa", 1, 30, 10.0)
    assert (seconds, source) == (about(2.0), "measured on other tasks")


def test_what_another_model_generated_is_a_guess_within_what_the_task_allows(
    model: ModelUnderTest, settings: Settings
) -> None:
    other = Journal(settings.journal, {"identity": "another", "engine": "transformers", "dtype": "float32"})
    write(other, "mednli", batch(2, 100, 6, 1.0))
    write(other, "medqa", batch(1, 100, MOST + 10, 1.0))
    measured = Measurements(model, TASKS)
    assert measured.generated_per_answer("mednli", MOST) == (6.0, "measured for other models")
    assert measured.generated_per_answer("medqa", MOST) == (MOST, "measured for other models")
    # Its time says nothing of this model's.
    assert measured.seconds("mednli", 1, 100, 6.0) == (None, "")


def test_another_kind_of_device_says_nothing(model: ModelUnderTest) -> None:
    write(model.journal, "mednli", batch(2, 100, 5, 1.0, device="NVIDIA A100"))
    assert Measurements(model, TASKS).seconds("mednli", 1, 100, 5.0) == (None, "")


def test_an_encoder_generates_nothing(model: ModelUnderTest, settings: Settings) -> None:
    spec = model.spec.model_copy(update={"kind": "encoder"})
    encoder = ModelUnderTest(spec, {"tiny": spec}, settings)
    assert Measurements(encoder, TASKS).generated_per_answer("mednli", MOST) == (0.0, "")
