"""A process that has imported everything, and forks a child for each task: a child that is killed costs no start.

`Crashes` starts it. It reads tasks from its standard input, a line of JSON each, and answers each with a line.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from medeval_assets.audit.audit import audit
from medeval_assets.audit.seal import seal
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.retention.prune import prune
from medeval_assets.retention.purge import find_quoting, remove_quoting
from medeval_assets.settings import Settings
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.core.lake.written_log import WrittenLog

NLI, QA = LakeKey("datasets", task="mednli"), LakeKey("datasets", task="medqa")
PROMPTS = LakeKey("prompt_sets", task="mednli")
ANSWERS = LakeKey("generations", "m1", "mednli")
SCORES = LakeKey("scores", "m1", "mednli")
BOARD = LakeKey("leaderboard")
NEEDS: dict[LakeKey, list[LakeKey]] = {
    NLI: [],
    QA: [],
    PROMPTS: [NLI],
    ANSWERS: [PROMPTS, NLI],
    SCORES: [NLI, ANSWERS],
    BOARD: [SCORES],
}
Ended = Literal["well", "killed"]


class Place:
    """A lake with its log, and the home that belongs to it.

    run: the name of the run that writes. key: what seals are signed with, if anything.
    """

    def __init__(self, url: str, home: str, run: str = "", key: str = "") -> None:
        self.url, self.lake, self.home, self.run, self.key = url, Lake(url), Path(home), run, key
        self.log = WrittenLog(self.home / "log.jsonl")
        self.notes = self.home / "audit" / "notes.parquet"

    def write(self, key: LakeKey, number: int) -> None:
        self.log.write(self.lake, key, number, self.run, inputs=NEEDS[key])

    def audit(self) -> None:
        audit(self.lake, known=self.log, remembered=self.notes)

    def prune(self) -> None:
        prune(self.lake, timedelta(), datetime.now(UTC) + timedelta(days=1))

    def purge(self) -> None:
        settings = Settings(home=self.home, sources=self.home / "sources", lake_url=self.url)
        task = all_tasks()["mednli"]
        found = find_quoting(self.lake, settings, task, tasks=all_tasks(), models={}, sources=True)
        remove_quoting(self.lake, found)

    def seal(self) -> None:
        seal(self.lake, self.home / "kept" / "manifest.json", Path(self.key) if self.key else None)


def write_new(place: Place) -> None:
    place.write(LakeKey("datasets", task="longhealth_1"), 100)


NEEDS[LakeKey("datasets", task="longhealth_1")] = []


def write_again(place: Place) -> None:
    place.write(NLI, 100)


def remove_current(place: Place) -> None:
    current = place.lake.file_sha256(QA)
    for version in place.lake.versions(QA):
        if version.file_sha256 == current:
            place.lake.remove(version, "purge")


def at_random(place: Place, seed: int, first: int) -> None:
    """One thing after another, until it is killed. first: number of the first table that is written."""
    draw = random.Random(seed)
    for number in range(first, first + 1000):
        what = draw.choices(["write", "prune", "seal", "audit", "purge"], [20, 2, 2, 2, 1])[0]
        if what == "write":
            place.write(draw.choice(list(NEEDS)), number)
        elif what == "seal":
            # Where a removal was cut short by an earlier kill, no seal is made.
            place.prune()
            place.seal()
        else:
            getattr(place, what)()


TASKS: Mapping[str, Callable[..., None]] = {
    "write_new": write_new,
    "write_again": write_again,
    "remove_current": remove_current,
    "prune": Place.prune,
    "purge": Place.purge,
    "seal": Place.seal,
    "audit": Place.audit,
    "at_random": at_random,
}

_STEPS = {"open", "write", "flush", "fsync", "flock", "replace", "rename", "link", "unlink", "rmdir", "mkdir", "close"}


class _Steps:
    """Kills the process just before the n-th step that changes something in a file system or on a server.

    Where the step is to write a file's content, half of it is written first.
    """

    def __init__(self, last: int) -> None:
        self._left = last

    def in_files(self, frame: FrameType, event: str, function: Any) -> None:
        if event != "c_call":
            return
        name, of = function.__name__, getattr(function, "__self__", None)
        in_file = isinstance(of, io.IOBase)
        if (name in _STEPS or (in_file and name == "__exit__")) and (
            in_file or function.__module__ in {"posix", "fcntl", "_io", "io"}
        ):
            self._step()
            if self._left == 0:
                content = frame.f_locals.get("content")
                if name == "write" and in_file and isinstance(content, bytes):
                    os.write(of.fileno(), content[: len(content) // 2])  # type: ignore[union-attr]
                os.kill(os.getpid(), signal.SIGKILL)

    def in_sockets(self, frame: FrameType, event: str, function: Any) -> None:
        if event != "c_call" or not isinstance(getattr(function, "__self__", None), socket.socket):
            return
        data = frame.f_locals.get("data")
        # A kill before a request that changes nothing is one before the next that does.
        if function.__name__ == "send" and data and not bytes(data).startswith((b"GET", b"HEAD")):
            self._step()
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def _step(self) -> None:
        self._left -= 1


def _run(task: dict[str, Any]) -> None:
    os.environ |= task["environment"]
    if task["kill_at"] is not None:
        steps = _Steps(task["kill_at"])
        if "AWS_ENDPOINT_URL" in task["environment"]:
            threading.setprofile(steps.in_sockets)  # the thread that talks to the server begins later
        else:
            sys.setprofile(steps.in_files)
    TASKS[task["name"]](Place(**task["place"]), **task["arguments"])


def _warm_up() -> None:
    """Do everything once: what is imported and kept by then is no step of a child's."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(f"{folder}/lake", folder)
        for key in NEEDS:
            place.write(key, 0)
        for task in TASKS.values():
            if task is not at_random:
                task(place)


def _serve() -> None:
    _warm_up()
    for line in sys.stdin:
        task = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 0
            try:
                _run(task)
            except BaseException:
                traceback.print_exc()
                code = 1
            os._exit(code)
        if task["kill_after"] is not None:
            time.sleep(task["kill_after"])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), flush=True)


class Crashes:
    """The process, and what is asked of it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(
        self,
        name: str,
        place: Mapping[str, str],
        *,
        environment: Mapping[str, str] | None = None,
        kill_at: int | None = None,
        kill_after: float | None = None,
        **arguments: object,
    ) -> Ended:
        """Have a child do a task. kill_at: it is killed before that step. kill_after: after so many seconds."""
        task = {
            "name": name,
            "place": dict(place),
            "environment": dict(environment or {}),
            "kill_at": kill_at,
            "kill_after": kill_after,
            "arguments": arguments,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        code = json.loads(self._process.stdout.readline())
        assert code in {0, -signal.SIGKILL}, "the child failed: its traceback stands in the captured output"
        return "well" if code == 0 else "killed"


@contextmanager
def crashes() -> Iterator[Crashes]:
    """The process, for as long as it is needed."""
    command = [sys.executable, "-m", __spec__.name]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[3],
    ) as process:
        try:
            yield Crashes(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


if __name__ == "__main__":
    import s3fs  # noqa: F401 - for the children, which would import it each

    _serve()
