"""Turns: when a run of this process may use the GPU, and what becomes of the runs of processes that were killed.

Belongs here: slots of Dagster's pools and runs that nobody ends. Does not belong here: what a run does.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg

from medeval_assets.instance import alone
from medeval_assets.settings import Settings

_POOL = "gpu"
_SECONDS_BETWEEN_LOOKS = 1.0


class Turns:
    """Runs that this process executes itself.

    Dagster frees a run's slot when the run ends, but a process that was killed ends nothing: its run would seem to be
    at work and keep its slot for ever, and whoever comes next would wait for it. So each process holds a lock on a file
    that names its runs. Where the lock is free the process is gone, and its runs are ended for it.
    on_wait: called once for each run that has to wait. Dagster would wait too, but at full speed and deaf to Ctrl-C.
    """

    def __init__(
        self, instance: dg.DagsterInstance, settings: Settings, on_wait: Callable[[], None] = lambda: None
    ) -> None:
        self._instance = instance
        self._on_wait = on_wait
        self._folder = settings.dagster / "processes"
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Turns:
        end_dead_runs(self._instance, self._folder)
        path = self._folder / uuid.uuid4().hex
        with contextlib.ExitStack() as undo, alone(self._folder):
            self._runs = undo.enter_context(path.open("a", encoding="ascii"))
            fcntl.flock(self._runs, fcntl.LOCK_EX)
            undo.callback(path.unlink, missing_ok=True)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    @contextlib.contextmanager
    def run(self, gpu_step: str | None = None) -> Iterator[str]:
        """The id of a new run, which holds a slot of the pool `gpu` for the step, if one is named."""
        run_id = str(uuid.uuid4())
        self._runs.write(run_id + "\n")
        self._runs.flush()
        try:
            if gpu_step is not None:
                self._claim(run_id, gpu_step)
            yield run_id
        finally:
            self._instance.event_log_storage.free_concurrency_slots_for_run(run_id)

    def _claim(self, run_id: str, step: str) -> None:
        storage = self._instance.event_log_storage
        if _POOL not in storage.get_concurrency_keys():
            storage.initialize_concurrency_limit_to_default(_POOL)
        if _POOL not in storage.get_concurrency_keys():
            return  # it has no limit
        waited = False
        while not storage.claim_concurrency_slot(_POOL, run_id, step).is_claimed:
            if not waited:
                self._on_wait()
                waited = True
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            end_dead_runs(self._instance, self._folder)


def end_dead_runs(instance: dg.DagsterInstance, folder: Path) -> None:
    """Report the runs of processes that are gone as failed, and free their slots."""
    with alone(folder):
        for path in folder.iterdir():
            with path.open(encoding="ascii") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                for run_id in file.read().split():
                    run = instance.get_run_by_id(run_id)
                    if run is not None and not run.is_finished:
                        instance.report_run_failed(run, "The process that executed it is gone.")
                    instance.event_log_storage.free_concurrency_slots_for_run(run_id)
            path.unlink()
