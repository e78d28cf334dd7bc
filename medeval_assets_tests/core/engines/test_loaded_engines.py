"""One model is in memory at a time, and it is loaded once."""

from __future__ import annotations

import threading
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

import pytest

from medeval_assets.catalog.model_spec import EngineNeeds
from medeval_assets.engines.engine_setup import engine_setup
from medeval_assets.engines.loaded_engines import LoadedEngines, load_engine
from medeval_assets.engines.protocol import Batch, EngineIdentity, Key, Request


class Small:
    """An engine that only knows whether it was closed."""

    identity = EngineIdentity("small", "none", "none", {})

    def __init__(self, others: list[Small]) -> None:
        self.closed = False
        assert all(other.closed for other in others), "two models in memory"
        others.append(self)

    def answer(self, requests: Sequence[Request], done: Container[Key] = ()) -> Iterator[Batch]:
        yield []

    def close(self) -> None:
        self.closed = True


def test_consecutive_runs_share_an_engine() -> None:
    made: list[Small] = []
    engines = LoadedEngines()
    for identity in "aabba":
        engines.get(identity, lambda: Small(made))
    assert engines.loads == {"a": 2, "b": 1}
    assert [engine.closed for engine in made] == [True, True, False]
    engines.close()
    assert made[-1].closed


def test_a_failed_load_leaves_nothing_behind() -> None:
    made: list[Small] = []
    engines = LoadedEngines()
    engines.get("a", lambda: Small(made))

    def fail() -> Small:
        raise MemoryError

    with pytest.raises(MemoryError):
        engines.get("b", fail)
    assert made[0].closed
    assert engines.get("b", lambda: Small(made)) is made[1]
    assert engines.loads == {"a": 1, "b": 1}


def test_threads_wait_for_one_load() -> None:
    made: list[Small] = []
    engines = LoadedEngines()
    gate = threading.Barrier(8)

    def ask() -> None:
        gate.wait()
        engines.get("a", lambda: Small(made))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engines.loads == {"a": 1}


def test_a_causal_checkpoint_is_loaded(tiny_checkpoint: Path) -> None:
    engine = load_engine(engine_setup("tiny", tiny_checkpoint, "causal", EngineNeeds(gpus=0)))
    assert engine.identity.name == "transformers"
