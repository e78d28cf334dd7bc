"""A process that has imported everything, and forks a child for each task: a child that is killed costs no start.

`Children` starts it. It reads tasks from its standard input, a line of JSON each, and answers each with a line.
"""

from __future__ import annotations

import io
import json
import logging
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
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from medeval_assets.audit.audit import audit
from medeval_assets.audit.seal import seal
from medeval_assets.errors import BadInput
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake, LakeOutOfReach
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets.lake.purged import purged
from medeval_assets.retention.prune import prune
from medeval_assets.retention.purge import find_quoting, remove_quoting
from medeval_assets.settings import Settings
from medeval_assets.tasks import all_tasks
from medeval_assets.trace.chain import chain_of
from medeval_assets.trace.recorded import rows_of
from medeval_assets_tests.core.audit.small_lakes import row_of
from medeval_assets_tests.core.lake.written_log import WrittenLog

NLI, QA = LakeKey("datasets", task="mednli"), LakeKey("datasets", task="medqa")
PROMPTS = LakeKey("prompt_sets", task="mednli")
ANSWERS = LakeKey("generations", "m1", "mednli")
SCORES = LakeKey("scores", "m1", "mednli")
BOARD = LakeKey("leaderboard")
NEW = LakeKey("datasets", task="longhealth_1")
NEEDS: dict[LakeKey, list[LakeKey]] = {
    NLI: [],
    QA: [],
    PROMPTS: [NLI],
    ANSWERS: [PROMPTS, NLI],
    SCORES: [NLI, ANSWERS],
    BOARD: [SCORES],
    NEW: [],
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

    def opened(self) -> Place:
        """The same for a process that was forked: connections do not survive that."""
        return Place(self.url, str(self.home), self.run, self.key)

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
    place.write(NEW, 100)


def write_again(place: Place) -> None:
    place.write(NLI, 100)


def remove_current(place: Place) -> None:
    current = place.lake.file_sha256(QA)
    for version in place.lake.versions(QA):
        if version.file_sha256 == current:
            place.lake.remove(version, "purge")


def write_and_remove(place: Place) -> None:
    """A new table, a version of an old one that is removed, and a new one."""
    lake, rows = place.lake, [row_of("datasets", 50)]
    lake.write(QA, rows, Derivation(code_version="50"), run_id="other")
    lake.remove(lake.versions(NLI)[0], "retention")
    lake.write(NLI, rows, Derivation(code_version="50"), run_id="other")


def write_large(place: Place) -> None:
    """A file so large that it goes to a bucket in parts. No table of a test is, so it stands in the place of one."""
    place.lake._place(place.lake.path(NLI), os.urandom(110 << 20))


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


def eight_writers(place: Place, turns: int) -> None:
    """Eight processes that write to the same tables and to some of their own, one that reads and one that audits."""
    done = place.home / "done"
    writers = [_forked(partial(_write_on, place, number, turns)) for number in range(WRITERS)]
    others = [_forked(partial(_again_and_again, done, look, place)) for look in (_read, _audit)]
    codes = [os.waitpid(child, 0)[1] for child in writers]
    done.touch()
    assert codes + [os.waitpid(child, 0)[1] for child in others] == [0] * (WRITERS + 2)


def own_table(writer: int) -> LakeKey:
    return LakeKey("generations", f"m{writer}", "mednli")


def _write_on(place: Place, writer: int, turns: int) -> None:
    place = place.opened()
    for turn in range(turns):
        for key in (NLI, BOARD, own_table(writer)):
            place.log.write(place.lake, key, 10_000 * (writer + 1) + 10 * turn, f"writer {writer}")


def _read(place: Place) -> None:
    """Every table that was there is there, and is one that was written as a whole."""
    lake = place.lake
    for key, column in ((NLI, "example_id"), (BOARD, "model")):
        names = lake.read(key).column(column).to_pylist()
        number = int(names[0].removeprefix(f"{column} "))
        assert names == [f"{column} {number}", f"{column} {number + 1}"]
        assert lake.record(key) is not None
        assert lake.keys(key.asset) == [key]
        assert lake.read_models([key], [column]).num_rows == 2
        assert lake.versions(key)


def _audit(place: Place) -> None:
    place.log.killed = {f"writer {number}" for number in range(WRITERS)}
    for full in (False, True):
        report = audit(place.lake, known=place.log, remembered=place.notes, full=full)
        assert report.wrong == [], report.wrong


def _again_and_again(done: Path, look: Callable[[Place], None], place: Place) -> None:
    place = place.opened()
    while not done.exists():
        look(place)


def _forked(function: Callable[[], None]) -> int:
    """The id of a child that does it."""
    child = os.fork()
    if child:
        return child
    code = 0
    try:
        function()
    except BaseException:
        traceback.print_exc()
        code = 1
    os._exit(code)


def only_read(place: Place) -> None:
    """What can be done with a lake that cannot be written: everything but that."""
    lake = place.lake
    assert lake.record(SCORES) is not None
    assert lake.read_models([SCORES], ["example_id"]).num_rows == 2
    assert {key for asset in {key.asset for key in NEEDS} for key in lake.keys(asset)} <= NEEDS.keys()
    dataset = chain_of(lake, SCORES).of("datasets")
    assert dataset is not None
    assert len(rows_of(lake, dataset)) == 2
    told = Told()
    logging.getLogger("medeval_assets").addHandler(told)
    # What an earlier audit kept says the same as this one would keep.
    report = audit(lake, known=place.log, remembered=place.notes, full=True)
    assert (report.wrong, len(report.files), told.messages) == ([], len(lake.all_files()), [])
    elsewhere = place.notes.with_name("elsewhere.parquet")
    assert audit(lake, known=place.log, remembered=elsewhere).files == report.files
    (message,) = told.messages
    assert f"{elsewhere}: what this audit read could not be kept for the next one (" in message
    place.log.path = Path(os.devnull)
    for task in CHANGING:
        if task == "audit":
            continue
        try:
            TASKS[task](place)
        except BadInput as error:
            for problem in error.problems:
                assert any(f"({why})" in problem.what for why in READ_ONLY), problem
                assert problem.remedy.startswith("Check ")
        else:
            raise AssertionError(f"{task} was not refused")


def refuse_to_remove(place: Place) -> None:
    """Proofs can be written and nothing can be removed: each table that stays is told."""
    try:
        place.purge()
    except BadInput as error:
        told = [problem for problem in error.problems if problem.what == "it could not be removed (Permission denied)"]
        assert [problem.where for problem in told] == [str(key) for key in (NLI, ANSWERS, PROMPTS) for _ in range(2)]
    else:
        raise AssertionError("it was not refused")


def out_of_reach(place: Place) -> None:
    """A folder and a file of the lake may not be read: neither is taken for one that is not there."""
    lake = place.lake
    hidden = LakeKey("datasets", task="mednli")
    for use in (
        lambda: lake.keys("datasets"),
        lambda: lake.record(hidden),
        lambda: lake.fresh(hidden, Derivation(code_version="2")),
        lambda: lake.file_sha256(hidden),
        lambda: chain_of(lake, SCORES),
        lambda: purged(lake, hidden),
        lambda: lake.record(BOARD),
        place.audit,
        place.prune,
        place.purge,
        place.seal,
    ):
        try:
            use()
        except LakeOutOfReach as error:
            assert all("(Permission denied)" in problem.what for problem in error.problems), error
        else:
            raise AssertionError("it was not refused")


class Told(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


READ_ONLY = ("Read-only file system", "Permission denied")

TASKS: Mapping[str, Callable[..., None]] = {
    "write_new": write_new,
    "write_again": write_again,
    "remove_current": remove_current,
    "prune": Place.prune,
    "purge": Place.purge,
    "seal": Place.seal,
    "audit": Place.audit,
    "write_and_remove": write_and_remove,
    "write_large": write_large,
    "at_random": at_random,
    "eight_writers": eight_writers,
    "only_read": only_read,
    "refuse_to_remove": refuse_to_remove,
    "out_of_reach": out_of_reach,
}
CHANGING = ("write_new", "write_again", "remove_current", "prune", "purge", "seal", "audit")
"""The tasks that change files, each in another way."""

WRITERS = 8

_NOBODY = 65534
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
    if task["as_nobody"] and os.geteuid() == 0:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
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
        for task in CHANGING:
            TASKS[task](place)


def _serve() -> None:
    _warm_up()
    for line in sys.stdin:
        task = json.loads(line)
        child = _forked(partial(_run, task))
        if task["kill_after"] is not None:
            time.sleep(task["kill_after"])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), flush=True)


class Children:
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
        as_nobody: bool = False,
        **arguments: object,
    ) -> Ended:
        """Have a child do a task. kill_at: it is killed before that step. kill_after: after so many seconds.

        as_nobody: without root's rights, for which no permission holds.
        """
        task = {
            "name": name,
            "place": dict(place),
            "environment": dict(environment or {}),
            "kill_at": kill_at,
            "kill_after": kill_after,
            "as_nobody": as_nobody,
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
def forking_process() -> Iterator[Children]:
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
            yield Children(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


if __name__ == "__main__":
    import s3fs  # noqa: F401 - for the children, which would import it each

    _serve()
