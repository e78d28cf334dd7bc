"""A real vLLM that serves a checkpoint over HTTP: the same tokens and likelihoods as here, and nothing asked twice."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from medeval_assets.catalog.model_spec import EngineNeeds, ModelSpec
from medeval_assets.engines import server
from medeval_assets.engines.engine_setup import engine_setup
from medeval_assets.engines.loaded_checkpoint import LoadedCheckpoint
from medeval_assets.engines.loaded_engines import LOADED_ENGINES
from medeval_assets.engines.openai_engine import OpenAiEngine
from medeval_assets.engines.protocol import Answer, Request
from medeval_assets.engines.respondent import Outcome, Questions
from medeval_assets.engines.respondents import respondent_of
from medeval_assets.engines.server import Patience
from medeval_assets.engines.transformers_engine import TransformersEngine
from medeval_assets.prompts.prompt_set import prompt_set
from medeval_assets.prompts.wording import wording_for
from medeval_assets.settings import Settings
from medeval_assets.sources.dataset import read_dataset
from medeval_assets.tasks import find_tasks
from medeval_assets_tests.vllm.asking import answers_of
from medeval_assets_tests.vllm.conftest import CONTEXT
from medeval_assets_tests.vllm.test_vllm_engine import (
    assert_same_answer,
    assert_same_scores,
)

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]

STARTING = 300.0
"""Seconds in which it must be up."""


@dataclass
class Served:
    """`vllm serve` on loopback. (Its command asks for a distribution of its name, which the CPU build has not.)"""

    checkpoint: Path
    log: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        command = [
            *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", str(self.checkpoint), "--served-model-name", "demo"),
            *("--host", "127.0.0.1", "--port", str(self.port)),
            *("--dtype", "float32", "--enforce-eager", "--max-model-len", str(CONTEXT)),
        ]
        environment = {
            **os.environ,
            "VLLM_CPU_KVCACHE_SPACE": "2",
            "VLLM_NO_USAGE_STATS": "1",
            "TORCHDYNAMO_DISABLE": "1",
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )
        end = time.monotonic() + STARTING
        while not self._is_up():
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < end, self.log.read_text()[-3000:]
            time.sleep(0.5)

    def kill(self) -> None:
        """As a machine that loses its power."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def answered(self) -> int:
        """How many completions this process has given."""
        return self.log.read_text().count('"POST /v1/completions HTTP/1.1" 200')

    def _is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False


@pytest.fixture(scope="module")
def served(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = Served(checkpoint, tmp_path_factory.mktemp("served") / "log", port)
    running.start()
    yield running
    running.kill()


def needs_of(served: Served) -> EngineNeeds:
    return EngineNeeds(name="openai", server=served.address, served_name="demo", context=CONTEXT)


def test_a_hundred_prompts_of_mixed_length_get_the_same_tokens_and_likelihoods(
    served: Served, plain: TransformersEngine, hundred: Sequence[tuple[Request, Answer]]
) -> None:
    asked, right = [one for one, _ in hundred], {one.key: answer for one, answer in hundred}
    engine = OpenAiEngine.load(engine_setup("demo", served.checkpoint, "causal", needs_of(served)))
    assert engine.identity.versions["vllm"]
    found = answers_of(engine, asked)
    for one in asked:
        assert_same_answer(plain, one, found[one.key], right[one.key])
    assert_same_scores(asked, found, right)


def test_a_server_that_dies_leaves_what_it_said_and_is_asked_for_the_rest(
    served: Served, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "PATIENCE", Patience(tries=3, first_wait=0.05))
    (task,) = find_tasks(["meqsum"])
    task = replace(task, decoding=replace(task.decoding, max_new_tokens=16))
    examples = read_dataset(task, settings).examples
    prompts = prompt_set(task, examples, wording_for(task, "project", settings))
    needs = needs_of(served).model_copy(update={"concurrency": 2})
    spec = ModelSpec(key="demo", checkpoint=f"folder:{served.checkpoint}", role="generalist", engine=needs)

    def ask(kill_after: int | None = None) -> Outcome:
        done = 0

        def on_batch(task: str, count: int, tokens: int) -> None:
            nonlocal done
            done += count
            if kill_after is not None and done >= kill_after:
                served.kill()

        LOADED_ENGINES.close()
        respondent = respondent_of(spec, {spec.key: spec}, settings)
        assert isinstance(respondent, LoadedCheckpoint)
        (outcome,) = respondent.answer([Questions(task, prompts, lambda: examples)], on_batch)
        return outcome

    first = ask(kill_after=2)
    served.kill()
    assert first.error is not None
    assert "prompts got no answer: " in str(first.error)
    assert "no connection" in str(first.error)
    missing = int(str(first.error).split(" of ", maxsplit=1)[0])
    assert 0 < missing <= len(prompts) - 2
    served.start()
    second = ask()
    assert second.error is None
    assert len(second.generations) == len(prompts)
    probes = 1
    assert served.answered() == probes + missing
    assert ask().generations == second.generations
    assert served.answered() == probes + missing
