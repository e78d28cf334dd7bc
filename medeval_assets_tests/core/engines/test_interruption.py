"""Real signals in real processes: a batch ends before it is heard, and none is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from medeval_assets.engines.interruption import STOPPING, BatchesAreWhole, StopRequests

_PROGRAM = """
import signal, sys, threading, time
from medeval_assets.engines.interruption import BatchesAreWhole, Stopped, StopRequests

def say(what):
    print(what, flush=True)

def batch(seconds=1.0):
    say("begun")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
    say("kept")

"""


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


class Program:
    """A process that runs `body`, and what it says."""

    def __init__(self, body: str, started: list[subprocess.Popen[str]]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM + body],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        started.append(self._process)

    def hears(self, word: str) -> str:
        """Wait until it says so."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == word:
                return word
        raise AssertionError(f"it never said {word}")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> tuple[str, int]:
        """What else it says, and its exit code."""
        said, _ = self._process.communicate(timeout=60)
        return said, self._process.returncode


@pytest.mark.parametrize("number", STOPPING)
def test_the_batch_ends_before_the_signal_is_heard(
    number: signal.Signals, processes: list[subprocess.Popen[str]]
) -> None:
    body = """
for _ in range(5):
    with BatchesAreWhole():
        batch()
"""
    program = Program(body, processes)
    program.hears("begun")
    program.send(number)
    said, code = program.end()
    assert said.splitlines()[0] == "kept"
    assert said.count("begun") == 0, "another batch was begun"
    # As it would have been without us: SIGTERM ends a process, SIGINT raises KeyboardInterrupt.
    assert code == -number
    assert ("KeyboardInterrupt" in said) == (number is signal.SIGINT)


@pytest.mark.parametrize("number", STOPPING)
def test_a_second_signal_does_not_wait(number: signal.Signals, processes: list[subprocess.Popen[str]]) -> None:
    body = """
with BatchesAreWhole():
    batch(600)
"""
    program = Program(body, processes)
    program.hears("begun")
    program.send(number)
    with pytest.raises(subprocess.TimeoutExpired):
        processes[0].wait(timeout=1)
    program.send(number)
    said, code = program.end()
    assert "kept" not in said
    assert code == -number


def test_the_handler_from_before_gets_it_once_and_is_there_again(processes: list[subprocess.Popen[str]]) -> None:
    body = """
def handler(number, frame):
    say(f"handled {number} {frame is not None}")

signal.signal(signal.SIGTERM, handler)
with BatchesAreWhole():
    batch()
assert signal.getsignal(signal.SIGTERM) is handler
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
say("between")
batch()
"""
    program = Program(body, processes)
    program.hears("begun")
    program.send(signal.SIGTERM)
    program.hears("kept")
    program.hears("handled 15 True")
    program.hears("begun")
    program.send(signal.SIGTERM)
    said, code = program.end()
    assert said.split("\n")[:2] == ["handled 15 True", "kept"]
    assert code == 0


def test_what_the_handler_raises_ends_the_loop_after_the_batch(processes: list[subprocess.Popen[str]]) -> None:
    body = """
def handler(number, frame):
    raise SystemExit(7)

signal.signal(signal.SIGTERM, handler)
try:
    for _ in range(5):
        with BatchesAreWhole():
            batch()
finally:
    say("closed")
"""
    program = Program(body, processes)
    program.hears("begun")
    program.send(signal.SIGTERM)
    said, code = program.end()
    assert said.split() == ["kept", "closed"]
    assert code == 7


def test_an_ignored_signal_stays_ignored(processes: list[subprocess.Popen[str]]) -> None:
    body = """
signal.signal(signal.SIGINT, signal.SIG_IGN)
for _ in range(2):
    with BatchesAreWhole():
        batch(0.5)
"""
    program = Program(body, processes)
    program.hears("begun")
    program.send(signal.SIGINT)
    said, code = program.end()
    assert said.split() == ["kept", "begun", "kept"]
    assert code == 0


def test_batches_in_other_threads_leave_the_signals_alone() -> None:
    before = [signal.getsignal(number) for number in STOPPING]
    inside: list[list[object]] = []

    def work() -> None:
        with BatchesAreWhole():
            inside.append([signal.getsignal(number) for number in STOPPING])
        with StopRequests() as stop:
            inside.append([signal.getsignal(number) for number in STOPPING])
            stop.check()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [before, before]


@pytest.mark.parametrize("number", STOPPING)
def test_a_request_to_stop_is_raised_and_told_at_once(
    number: signal.Signals, processes: list[subprocess.Popen[str]]
) -> None:
    body = """
try:
    with StopRequests(lambda: say("told")):
        try:
            for _ in range(5):
                with BatchesAreWhole():
                    batch(2)
        finally:
            say("closed")
except Stopped as stopped:
    say(f"stopped by {stopped.number}")
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert signal.set_wakeup_fd(-1) == -1
assert threading.active_count() == 1
"""
    program = Program(body, processes)
    program.hears("begun")
    program.send(number)
    said, code = program.end()
    assert said.splitlines() == ["told", "kept", "closed", f"stopped by {int(number)}"]
    assert code == 0


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_that_a_library_took_for_itself_is_not_lost(
    number: signal.Signals, processes: list[subprocess.Popen[str]]
) -> None:
    """Dagster does so: what comes between the last step and the end of a run is dropped."""
    body = """
from dagster._utils.interrupts import capture_interrupts

try:
    with StopRequests() as stop:
        with capture_interrupts():
            batch()
        say("run ended")
        stop.check()
        say("another run was begun")
except Stopped as stopped:
    say(f"stopped by {stopped.number}")
"""
    program = Program(body, processes)
    program.hears("begun")
    program.send(number)
    said, code = program.end()
    assert said.splitlines() == ["kept", "run ended", f"stopped by {int(number)}"]
    assert code == 0
