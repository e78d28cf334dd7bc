"""What the journal took is there afterwards, whatever happens to the process, the file or the disk."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medeval_assets.engines.journal import Entry, Journal, collect, merged
from medeval_assets.engines.protocol import Answer
from medeval_assets.errors import BadInput

WORK = {"identity": "i" * 64, "engine": "transformers", "dtype": "float32"}
ENVIRONMENT = {"engine": "transformers", "torch": "2.13.0"}

NOBODY = 65534

ANSWERS = [
    Answer("yes", "stop", 2, (-0.1, -2.5, float("-inf")), "", (5, 1)),
    Answer("a\nb\r\n\u2028\x00\x1a\ud800 \udfff ü 🩺", "length", 3, (), "", (7, 8, 9)),
    Answer("", "refused", 0, (), "the server will not answer"),
    Answer("{}\\\"'", "stop", 1, (0.1 + 0.2, 5e-324), "", (2**31,)),
]


def entry(*names: str, text: str = "") -> Entry:
    """A batch with an answer for each name."""
    return Entry({name: Answer(text or f"answer of {name}", "stop", 1) for name in names}, ENVIRONMENT, 10, 0.5)


def read(folder: Path, task: str = "task") -> list[Entry]:
    return list(Journal(folder, WORK).entries(task))


def names(entries: Sequence[Entry]) -> list[str]:
    return [name for one in entries for name in one.answers]


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.jsonl"))


def test_what_was_written_is_read_to_the_last_bit(tmp_path: Path) -> None:
    journal = Journal(tmp_path, WORK)
    written = [Entry({f"{number:064x}": answer}, ENVIRONMENT, 17, 1.5) for number, answer in enumerate(ANSWERS)]
    for one in written:
        journal.write("task", one)
        # Not only after `close`: it is on disk when `write` returns.
        assert read(tmp_path)[-1] == one
    assert read(tmp_path) == written
    assert read(tmp_path, "other") == []
    assert [one.generated_tokens for one in read(tmp_path)] == [2, 3, 0, 1]


@given(
    text=st.text(st.characters(exclude_categories=())),
    logprobs=st.lists(st.floats(allow_nan=False)),
    reason=st.text(max_size=20),
)
@settings(max_examples=200)
def test_any_text_and_any_number_come_back(text: str, logprobs: list[float], reason: str) -> None:
    answer = Answer(text, "stop", 4, tuple(logprobs), reason, (1, 2))
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), WORK)
        journal.write("task", Entry({"k": answer}))
        journal.close()
        [found] = read(Path(folder))
    assert found.answers == {"k": answer}
    assert [math.copysign(1, value) for value in found.answers["k"].option_logprobs] == [
        math.copysign(1, value) for value in logprobs
    ]


def test_other_work_has_a_journal_of_its_own(tmp_path: Path) -> None:
    journal = Journal(tmp_path, WORK)
    journal.write("task", entry("a"))
    for name in WORK:
        assert list(Journal(tmp_path, {**WORK, name: "other"}).entries("task")) == []
    [about] = tmp_path.glob("*/work.json")
    assert json.loads(about.read_text()) == WORK
    journal.close()
    second = Journal(tmp_path, dict(reversed(WORK.items())))
    second.write("task", entry("b"))
    assert names(read(tmp_path)) == ["a", "b"]
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()} - {path.name for path in files(tmp_path)}
    assert left == {"work.json"}


@pytest.fixture
def three_lines(tmp_path: Path) -> tuple[Path, list[bytes]]:
    """A real file of three batches, and its lines."""
    journal = Journal(tmp_path, WORK)
    for one in (entry("a"), Entry({"b": ANSWERS[1]}, ENVIRONMENT), entry("c", "d")):
        journal.write("task", one)
    journal.close()
    [path] = files(tmp_path)
    return path, path.read_bytes().splitlines(keepends=True)


def test_a_file_torn_at_any_byte_has_its_whole_lines(tmp_path: Path, three_lines: tuple[Path, list[bytes]]) -> None:
    path, lines = three_lines
    whole = b"".join(lines)
    ends = [len(b"".join(lines[: number + 1])) for number in range(len(lines))]
    expected = read(tmp_path)
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        assert read(tmp_path) == expected[: sum(end <= size for end in ends)], size


def test_what_follows_a_torn_file_is_kept(tmp_path: Path, three_lines: tuple[Path, list[bytes]]) -> None:
    path, lines = three_lines
    path.write_bytes(b"".join(lines)[:-5])
    journal = Journal(tmp_path, WORK)
    journal.write("task", entry("e"))
    assert names(read(tmp_path)) == ["a", "b", "e"]


@pytest.mark.parametrize("damage", [b"\x00", b"\n", b"\xff", b"0"])
def test_a_damaged_byte_costs_its_own_line_and_no_wrong_answer(
    tmp_path: Path, three_lines: tuple[Path, list[bytes]], damage: bytes
) -> None:
    path, lines = three_lines
    expected = read(tmp_path)
    starts = [len(b"".join(lines[:number])) for number in range(len(lines))]
    whole = b"".join(lines)
    for place in range(len(whole)):
        damaged = whole[:place] + damage + whole[place + 1 :]
        if damaged == whole:
            continue
        path.write_bytes(damaged)
        hit = sum(start <= place for start in starts) - 1
        # A line break that is gone joins its line with the next one.
        lost = {hit, hit + 1} if whole[place : place + 1] == b"\n" else {hit}
        assert read(tmp_path) == [one for number, one in enumerate(expected) if number not in lost], place


def test_a_line_of_another_kind_is_no_answer(tmp_path: Path, three_lines: tuple[Path, list[bytes]]) -> None:
    path, lines = three_lines
    for content in (b"", b"{}", b"[]", b"null", b'{"answers": {"a": ["text"]}}', b"\xff\xfe"):
        path.write_bytes(b"".join([lines[0], b"%08x %s\n" % (zlib.crc32(content), content), lines[2]]))
        assert names(read(tmp_path)) == ["a", "c", "d"], content


def test_failed_answers_are_not_kept(tmp_path: Path) -> None:
    failed = Answer("", "failed", 0, (), "no answer within 60 s")
    journal = Journal(tmp_path, WORK)
    journal.write("task", Entry({"a": failed}))
    assert files(tmp_path) == []
    journal.write("task", Entry({"a": failed, "b": ANSWERS[0]}))
    assert names(read(tmp_path)) == ["b"]


def test_the_first_answer_wins_over_all_files(tmp_path: Path) -> None:
    for number in range(20):
        journal = Journal(tmp_path, WORK)
        journal.write("task", entry("a", text=f"answer {number}"))
        journal.write("task", entry("a", f"b{number}", text=f"later {number}"))
        journal.close()
    wanted = ["a", *(f"b{number}" for number in range(20)), "never asked"]
    answers, environments = collect(Journal(tmp_path, WORK).entries("task"), dict.fromkeys(wanted))
    assert answers["a"].text == "answer 0"
    assert [answers[f"b{number}"].text for number in range(20)] == [f"later {number}" for number in range(20)]
    assert environments == [ENVIRONMENT]
    assert set(collect(Journal(tmp_path, WORK).entries("task"), {"b3": None})[0]) == {"b3"}


def test_environments_that_differ_are_all_told() -> None:
    other = {"engine": "transformers", "torch": "2.14.0", "cuda": "13"}
    assert merged([ENVIRONMENT, other]) == {"engine": "transformers", "torch": "2.13.0, 2.14.0", "cuda": "13"}
    assert merged([ENVIRONMENT]) == ENVIRONMENT
    assert merged([]) == {}


def write_many(folder: str, writer: int) -> None:
    """Write fifty batches of two answers."""
    journal = Journal(Path(folder), WORK)
    for number in range(50):
        journal.write("task", entry(f"{writer}-{number}", f"both-{number}", text=f"from {writer}"))


def test_two_processes_and_a_reader_do_not_disturb_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(str(tmp_path), number)) for number in range(2)]
    for writer in writers:
        writer.start()
    seen = [0]
    while any(writer.is_alive() for writer in writers):
        seen.append(len(read(tmp_path)))
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert seen == sorted(seen), "what was there once is there for ever"
    assert len(files(tmp_path)) == 2
    found = read(tmp_path)
    assert len(found) == 100
    wanted = {f"both-{number}": None for number in range(50)}
    answers, _ = collect(iter(found), wanted)
    assert len(answers) == 50
    assert len({answer.text for answer in answers.values()}) == 1, "of two answers, always the same writer's"


def test_two_threads_with_a_journal_each(tmp_path: Path) -> None:
    threads = [threading.Thread(target=write_many, args=(str(tmp_path), number)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read(tmp_path)) == 100


_FILL = """
import resource, signal, sys
from pathlib import Path
from medeval_assets.engines.journal import Journal
from medeval_assets_tests.core.engines.test_journal import WORK, entry
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
journal = Journal(Path(sys.argv[1]), WORK)
for number in range(60):
    try:
        journal.write("task", entry(f"{number:03}"))
        print("kept", f"{number:03}")
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_a_full_disk_costs_the_batch_that_did_not_fit(tmp_path: Path) -> None:
    """A limit on file sizes is the one way to make a write fail anywhere; it is set in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _FILL, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    lines = done.stdout.splitlines()
    kept = [line.removeprefix("kept ") for line in lines if line.startswith("kept ")]
    failed = [line for line in lines if not line.startswith("kept ")]
    assert len(kept) + len(failed) == 60
    assert failed
    for line in failed:
        assert line.startswith("BadInput journal of task: cannot be written (File too large)")
        assert "Free some space and run again" in line
    assert kept[-1] > "050", "after a failed write another file is begun"
    assert names(read(tmp_path)) == kept
    assert all(path.stat().st_size <= 4000 for path in files(tmp_path))
    assert any(not path.read_bytes().endswith(b"\n") for path in files(tmp_path)), "no write was cut"


@pytest.fixture
def foreign_folder() -> Iterator[Path]:
    """A folder that `nobody` may read and not write, with a journal of one batch."""
    # Below pytest's own folders others may not even look.
    folder = Path(tempfile.mkdtemp())
    journal = Journal(folder, WORK)
    journal.write("task", entry("a"))
    journal.close()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield folder
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(folder)


_WRITE = f"""
import os, sys
from pathlib import Path
from medeval_assets.engines.journal import Journal
from medeval_assets_tests.core.engines.test_journal import WORK, entry
if os.getuid() == 0:  # whom no permission stops
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
journal = Journal(Path(sys.argv[1]), WORK)
for task in ("task", "task", "new"):
    try:
        journal.write(task, entry("b"))
    except Exception as error:
        print(type(error).__name__, error)
try:
    print([name for one in journal.entries("task") for name in one.answers])
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("readable", [True, False])
def test_a_folder_that_cannot_be_written_or_read_is_told(foreign_folder: Path, readable: bool) -> None:
    if not readable:
        for path in files(foreign_folder):
            path.chmod(0o000)
    done = subprocess.run(
        [sys.executable, "-c", _WRITE, str(foreign_folder)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    *failed, found = done.stdout.splitlines()
    assert len(failed) == 3
    for line in failed:
        assert "cannot be written (Permission denied)" in line
        assert line.startswith("BadInput journal of ")
        assert line.endswith("Check its permissions.")
    assert found == (
        "['a']" if readable else "BadInput journal of task: cannot be read (Permission denied). Check its permissions."
    )
    assert names(read(foreign_folder)) == (["a"] if readable or os.getuid() == 0 else [])


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("")
    journal = Journal(tmp_path / "journal", WORK)
    with pytest.raises(BadInput, match="journal of task: cannot be written"):
        journal.write("task", entry("a"))
    assert list(journal.entries("task")) == []
