"""An evaluation on vLLM whose process is killed while it answers."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Sequence

import pytest

from medeval_assets.engines.loaded_checkpoint import LoadedCheckpoint
from medeval_assets.engines.loaded_engines import LOADED_ENGINES
from medeval_assets.engines.model_under_test import ModelUnderTest
from medeval_assets.engines.respondent import Questions
from medeval_assets.engines.vllm_engine import VllmEngine
from medeval_assets.prompts.prompt_set import prompt_set
from medeval_assets.prompts.wording import wording_for
from medeval_assets.settings import Settings
from medeval_assets.sources.dataset import read_dataset
from medeval_assets.tasks import find_tasks
from medeval_assets_tests.vllm.processes import engine_core

pytestmark = pytest.mark.vllm


def questions_about(name: str, most: int, settings: Settings) -> Questions:
    (task,) = find_tasks([name])
    examples = read_dataset(task, settings).examples
    return Questions(task, prompt_set(task, examples, wording_for(task, "project", settings))[:most], lambda: examples)


def test_a_killed_process_costs_no_answer_and_none_is_given_twice(
    engine: VllmEngine, model: ModelUnderTest, settings: Settings
) -> None:
    asked = [questions_about("nejm", 6, settings), questions_about("medisumcode", 4, settings)]
    loads = sum(LOADED_ENGINES.loads.values())
    killed: list[int] = []
    reported: Counter[str] = Counter()

    def on_batch(task: str, prompts: int, tokens: int) -> None:
        reported[task] += prompts
        if tokens and not killed:
            killed.append(engine_core())
            os.kill(killed[0], signal.SIGKILL)

    outcomes = {one.questions.task.name: one for one in LoadedCheckpoint(model).answer(asked, on_batch)}

    assert killed
    assert [one.error for one in outcomes.values()] == [None, None]
    assert sum(LOADED_ENGINES.loads.values()) == loads + 1
    for questions in asked:
        name = questions.task.name
        outcome = outcomes[name]
        wanted = [prompt.example_id for prompt in questions.prompts]
        assert [one.example_id for one in outcome.generations] == wanted
        assert {one.finish_reason for one in outcome.generations} <= {"stop", "length"}
        assert outcome.environment["engine"] == "vllm"
        assert reported[name] == len(wanted)
        assert times_answered(model, name) == dict.fromkeys((one.request_sha256 for one in outcome.generations), 1)
    again = list(LoadedCheckpoint(model).answer(asked, lambda *_: None))
    assert [one.error for one in again] == [None, None]
    assert sum(LOADED_ENGINES.loads.values()) == loads + 1


def times_answered(model: ModelUnderTest, task: str) -> dict[str, int]:
    """How often the journal has an answer to each request."""
    entries: Sequence[str] = [key for entry in model.journal.entries(task) for key in entry.answers]
    return dict(Counter(entries))
