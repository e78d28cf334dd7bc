"""`medeval evaluate` in a process of its own that can be killed, and that shows what it is at.

The process is forked from one that has imported everything, so that sixty of them take minutes.
"""

from __future__ import annotations

import functools
import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

from medeval_assets.engines.journal import Journal
from medeval_assets.lake import lake

TOKENS_OF_A_BATCH = 1500
"""So few that every task is answered in many batches."""

WARM = "medeval_assets_tests.e2e.warm_process"
"""What the process that the others are forked from imports."""


class Phase(IntEnum):
    """What an evaluation is at; DAGSTER is everything that is none of the others.

    SYNC: a batch or a table is written, and neither made durable nor given its name.
    """

    DAGSTER = 0
    LOAD = 1
    GENERATE = 2
    JOURNAL = 3
    PARQUET = 4
    SYNC = 5


@dataclass(frozen=True)
class Kill:
    """When a process kills itself: some seconds after it has begun the phase for the n-th time; 0 is right then."""

    phase: Phase
    times: int
    seconds: float


class Watch:
    """A file in which a process writes what it is at, and how often it has begun each phase. It outlives the process.

    kill: when the process is to end.
    """

    SIZE = 1 + 4 * len(Phase)

    def __init__(self, path: Path, kill: Kill | None = None) -> None:
        if not path.exists():
            path.write_bytes(bytes(self.SIZE))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), self.SIZE)
        self._kill = kill

    @property
    def phase(self) -> Phase:
        return Phase(self._memory[0])

    def begun(self, phase: Phase) -> int:
        place = 1 + 4 * phase
        return int.from_bytes(self._memory[place : place + 4], "little")

    @contextmanager
    def at(self, phase: Phase) -> Iterator[None]:
        before = self._memory[0]
        place = 1 + 4 * phase
        times = self.begun(phase) + 1
        self._memory[place : place + 4] = times.to_bytes(4, "little")
        self._memory[0] = phase
        if self._kill is not None and (self._kill.phase, self._kill.times) == (phase, times):
            if self._kill.seconds == 0:
                _die(0)
            threading.Thread(target=_die, args=(self._kill.seconds,), daemon=True).start()
        try:
            yield
        finally:
            self._memory[0] = before

    def during(self, phase: Phase, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, which says what it is."""

        @functools.wraps(function)
        def watched(*arguments: Any, **named: Any) -> Any:
            with self.at(phase):
                return function(*arguments, **named)

        return watched


def _die(seconds: float) -> None:
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Evaluations:
    """Starts evaluations of these models on these tasks.

    folder: has `home` and `sources`; `watch` and `output` of the process are written there.
    """

    context: ForkServerContext
    folder: Path
    models: Sequence[str]
    tasks: Sequence[str]

    def start(self, kill: Kill | None = None) -> tuple[ForkServerProcess, Watch]:
        (self.folder / "watch").unlink(missing_ok=True)
        watch = Watch(self.folder / "watch")
        process = self.context.Process(target=_evaluate, args=(self.folder, self.models, self.tasks, kill))
        process.start()
        return process, watch


def _evaluate(folder: Path, models: Sequence[str], tasks: Sequence[str], kill: Kill | None) -> None:
    """The body of the process: the command line with small batches, writing down what it is at."""
    import torch

    from medeval_assets import cli
    from medeval_assets.engines import model_under_test, transformers_engine

    os.setsid()
    descriptor = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.environ |= {
        "MEDEVAL_HOME": str(folder / "home"),
        "MEDEVAL_SOURCES": str(folder / "sources"),
        "HF_HUB_OFFLINE": "1",
    }
    torch.set_num_threads(1)
    watch = Watch(folder / "watch", kill)
    sys.argv = ["medeval", "evaluate"]
    for model in models:
        sys.argv += ["-m", model]
    for task in tasks:
        sys.argv += ["-t", task]
    engine = transformers_engine.TransformersEngine
    with ExitStack() as patches:
        for target, name, phase in (
            (model_under_test, "load_engine", Phase.LOAD),
            (engine, "_answer", Phase.GENERATE),
            (Journal, "write", Phase.JOURNAL),
            (lake, "write_whole", Phase.PARQUET),
            (lake, "link_whole", Phase.PARQUET),
            (os, "fsync", Phase.SYNC),
        ):
            patches.enter_context(patch.object(target, name, watch.during(phase, getattr(target, name))))
        patches.enter_context(patch.object(transformers_engine, "TOKENS_ON_CPU", TOKENS_OF_A_BATCH))
        cli.main()
