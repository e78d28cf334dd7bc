"""A real small model on vLLM, loaded once for all tests, and the same on transformers to compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from medeval_assets.catalog.model_spec import EngineNeeds, ModelSpec
from medeval_assets.catalog.models_file import read_models
from medeval_assets.engines.engine_setup import engine_setup
from medeval_assets.engines.generations import prepare
from medeval_assets.engines.loaded_engines import LOADED_ENGINES
from medeval_assets.engines.model_under_test import ModelUnderTest
from medeval_assets.engines.protocol import Answer, Request
from medeval_assets.engines.transformers_engine import TransformersEngine
from medeval_assets.engines.vllm_engine import VllmEngine
from medeval_assets.prompts.prompt_set import prompt_set
from medeval_assets.prompts.wording import wording_for
from medeval_assets.settings import Settings, keep_libraries_at_home
from medeval_assets.sources.dataset import read_dataset
from medeval_assets.tasks import find_tasks
from medeval_assets_tests.vllm.asking import answers_of, shortened

DEMO = "smollm2-135m"
CONTEXT = 2048

HUNDRED = {
    "nejm": 12,
    "jama": 12,
    "mednli": 15,
    "pubmedqa": 12,
    "medmcqa": 12,
    "meqsum": 12,
    "bc5cdr": 12,
    "problem_summary": 11,
    "longhealth_1": 2,
}
"""Prompts of 190 to 2,000 tokens, two thirds of them with options, some of which are longer than a token."""

RequestsOf = Callable[[str, int], list[Request]]


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("home"), sources=tmp_path_factory.mktemp("no-sources"))
    keep_libraries_at_home(settings.home)
    return settings


@pytest.fixture(scope="session")
def spec(settings: Settings) -> ModelSpec:
    """The demo's model, to be run by vLLM on the CPU in float32."""
    needs = EngineNeeds(name="vllm", gpus=0, dtype="float32", context=CONTEXT)
    return read_models(settings.catalog_files)[DEMO].model_copy(update={"engine": needs})


@pytest.fixture(scope="session")
def model(spec: ModelSpec, settings: Settings) -> Iterator[ModelUnderTest]:
    yield ModelUnderTest(spec, {spec.key: spec}, settings)
    LOADED_ENGINES.close()


@pytest.fixture(scope="session")
def checkpoint(model: ModelUnderTest) -> Path:
    """The model's folder: a whole checkpoint with tokenizer and chat template."""
    return model.folder


@pytest.fixture
def engine(model: ModelUnderTest) -> VllmEngine:
    """The one engine that all tests share; loaded again where a test has ended its process."""
    loaded = model.engine
    assert isinstance(loaded, VllmEngine)
    return loaded


@pytest.fixture(scope="session")
def plain(model: ModelUnderTest) -> TransformersEngine:
    """The same checkpoint on transformers."""
    needs = EngineNeeds(name="transformers", gpus=0, dtype="float32", context=CONTEXT)
    return TransformersEngine.load(engine_setup("plain", model.folder, "causal", needs))


@pytest.fixture(scope="session")
def tokenizer(checkpoint: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)


@pytest.fixture(scope="session")
def requests_of(model: ModelUnderTest, settings: Settings) -> RequestsOf:
    """The first requests of a task, made from the bundled samples."""

    def made(name: str, most: int) -> list[Request]:
        (task,) = find_tasks([name])
        examples = read_dataset(task, settings).examples
        prompts: Sequence[Any] = prompt_set(task, examples, wording_for(task, "project", settings))[:most]
        prepared = prepare(task, prompts, model.renderer, CONTEXT)
        return [one.request for one in prepared if one.request is not None]

    return made


@pytest.fixture(scope="session")
def hundred(plain: TransformersEngine, requests_of: RequestsOf) -> list[tuple[Request, Answer]]:
    """A hundred requests of nine tasks, for a few tokens each, and what transformers answers."""
    asked = shortened([one for task, most in HUNDRED.items() for one in requests_of(task, most)], 12)
    assert len(asked) == 100
    answers = answers_of(plain, asked)
    return [(one, answers[one.key]) for one in asked]
