"""What a process of ours writes to standard error still arrives there, and its errors are known."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from medeval_assets.engines.overheard import Overheard

FAILING = "import sys; print('on the way', file=sys.stderr); raise ValueError('no room for 3 GiB')"
LOGGED = "import sys; print('(Core pid=1) ERROR 11-22 [core.py:1] torch.OutOfMemoryError: all gone', file=sys.stderr)"


def test_an_error_of_a_child_is_known_and_all_it_wrote_arrives(capfd: pytest.CaptureFixture[str]) -> None:
    with Overheard() as overheard:
        for program in (LOGGED, FAILING):
            subprocess.run([sys.executable, "-c", program], check=False)
    assert overheard.reasons() == ["ValueError: no room for 3 GiB", "OutOfMemoryError: all gone"]
    written = capfd.readouterr().err
    assert "on the way" in written
    assert "Traceback" in written


def test_afterwards_our_own_words_go_where_they_went_before(capfd: pytest.CaptureFixture[str]) -> None:
    with Overheard() as overheard:
        os.write(2, b"inside\n")
    os.write(2, b"ValueError: outside\n")
    assert overheard.reasons() == []
    assert sorted(capfd.readouterr().err.splitlines()) == ["ValueError: outside", "inside"]


def test_a_child_that_outlives_it_is_still_heard(capfd: pytest.CaptureFixture[str]) -> None:
    with Overheard() as overheard:
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read(); raise KeyError('late')"], stdin=subprocess.PIPE
        )
    child.communicate(b"")
    assert overheard.reasons() == ["KeyError: 'late'"]
    assert "late" in capfd.readouterr().err
