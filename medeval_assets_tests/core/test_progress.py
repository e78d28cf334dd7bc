"""What is said about the pace is what was measured: not the loading, not the pauses, not what the journal had."""

from __future__ import annotations

import logging

import pytest

from medeval_assets import progress
from medeval_assets.progress import LoggedProgress, Pace


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_nothing_is_said_before_anything_was_computed(clock: Clock) -> None:
    pace = Pace()
    assert str(pace) == ""
    pace.started(10)
    clock.now += 5
    pace.advanced(4, 0)
    assert str(pace) == ""


def test_tokens_a_second_and_the_time_that_is_left(clock: Clock) -> None:
    pace = Pace()
    pace.started(100)
    for _ in range(3):
        clock.now += 10
        pace.advanced(10, 5000)
    assert str(pace) == "500 tokens/s, 0:01:10 left"


def test_loading_the_model_counts_only_until_more_is_known(clock: Clock) -> None:
    pace = Pace()
    pace.started(40)
    clock.now += 100
    pace.advanced(10, 1000)
    assert str(pace) == "10 tokens/s, 0:05:00 left"
    clock.now += 1
    pace.advanced(10, 1000)
    assert str(pace) == "1,000 tokens/s, 0:00:02 left"


def test_what_the_journal_had_is_no_speed(clock: Clock) -> None:
    pace = Pace()
    pace.started(1000)
    pace.started(10)
    clock.now += 3
    pace.advanced(995, 0)
    for _ in range(2):
        clock.now += 2
        pace.advanced(2, 100)
    assert str(pace) == "50 tokens/s, 0:00:11 left"


def test_pauses_between_runs_do_not_count(clock: Clock) -> None:
    pace = Pace()
    for _ in range(3):
        pace.started(20)
        for _ in range(2):
            clock.now += 1
            pace.advanced(10, 300)
        assert str(pace) == "300 tokens/s"
        clock.now += 3600


def test_long_times_are_told_in_hours(clock: Clock) -> None:
    pace = Pace()
    pace.started(100_000)
    for _ in range(2):
        clock.now += 60
        pace.advanced(10, 120_000)
    assert str(pace) == "2,000 tokens/s, 166:38:00 left"


def test_lines_come_every_ten_seconds_and_at_the_end(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    logged = LoggedProgress()
    with caplog.at_level(logging.INFO):
        logged.started("m × t", 30)
        for _ in range(30):
            clock.now += 1
            logged.advanced("m × t", 1, 50)
        logged.finished("m × t")
        logged.finished("m × fresh")
        logged.noted("waiting")
    assert [record.getMessage() for record in caplog.records] == [
        "m × t: 30 prompts",
        "m × t: 1 of 30, 50 tokens/s, 0:00:29 left",
        "m × t: 12 of 30, 50 tokens/s, 0:00:18 left",
        "m × t: 23 of 30, 50 tokens/s, 0:00:07 left",
        "m × t: 30 of 30, 50 tokens/s",
        "m × t: kept",
        "m × fresh: kept",
        "waiting",
    ]
