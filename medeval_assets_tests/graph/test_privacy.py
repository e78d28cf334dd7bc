"""Credentialed text stays in the lake's tables, and everything that is written stays below MEDEVAL_HOME.

The evaluations run as the command line, in processes of their own, so that all they print and write can be looked at.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from medeval_assets.lake.key import LakeKey
from medeval_assets_tests.graph.small_platform import SmallPlatform

MARKER = "ZEBRA-7731"
TASKS = ("mednli", "problem_summary")
NLI_FILE = "mli_test_v1.jsonl"
NOTES_FILE = "BioNLP2023-1A-Test.csv"


def nli_rows() -> list[dict[str, Any]]:
    return [
        {
            "pairID": f"pair-{n}",
            "sentence1": f"{MARKER} Pt. {n} with CHF exacerbation.",
            "sentence2": f"{MARKER} The patient {n} has heart failure.",
            "gold_label": ("neutral", "entailment", "contradiction")[n % 3],
            "sentence1_parse": f"(ROOT {MARKER})",
        }
        for n in range(6)
    ]


def note_rows() -> list[dict[str, str]]:
    return [
        {
            "File ID": f"note-{n}.txt",
            "Subjectives": f"{MARKER} dyspnea overnight",
            "Assessment": f"{MARKER} {60 + n}F with pneumonia",
            "Summary": f"{MARKER} pneumonia; sepsis {n}",
        }
        for n in range(6)
    ]


def write_nli(platform: SmallPlatform, lines: list[str]) -> None:
    platform.write_source("mednli", NLI_FILE, "\n".join(lines) + "\n")


def write_notes(platform: SmallPlatform, rows: list[dict[str, str]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    platform.write_source("problem_summary", NOTES_FILE, text.getvalue())


class Surroundings:
    """A user's machine around MEDEVAL_HOME: a home folder, a working folder, a folder for temporary files."""

    def __init__(self, folder: Path, platform: SmallPlatform) -> None:
        self.folders = [folder / name for name in ("user", "work", "temporary")]
        for path in self.folders:
            path.mkdir(parents=True)
        self._platform = platform

    def medeval(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line with nothing of this process's environment but where programs are."""
        user, work, temporary = self.folders
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(user),
            "TMPDIR": str(temporary),
            "MEDEVAL_HOME": str(self._platform.settings.home),
            "MEDEVAL_SOURCES": str(self._platform.settings.sources),
        }
        program = "from medeval_assets.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )

    def left_behind(self) -> list[str]:
        return [str(path.relative_to(root.parent)) for root in self.folders for path in sorted(root.rglob("*"))]


def cells_of(database: Path) -> Iterator[bytes]:
    """Every value of a SQLite file as bytes; packed ones unpacked too."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        tables = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            for row in connection.execute(f'select * from "{table}"'):
                for value in row:
                    content = value if isinstance(value, bytes) else str(value).encode()
                    yield content
                    try:
                        yield zlib.decompress(content)
                    except zlib.error:
                        continue


def holding(folder: Path, text: str) -> tuple[set[str], int]:
    """(files below the folder that hold the text, values and files that were looked at)."""
    found, looked = set(), 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        is_database = path.read_bytes().startswith(b"SQLite format 3")
        for content in [path.read_bytes(), *(cells_of(path) if is_database else ())]:
            looked += 1
            if text.encode() in content:
                found.add(str(path.relative_to(folder)))
    return found, looked


def assert_private(platform: SmallPlatform, done: subprocess.CompletedProcess[str]) -> None:
    home = platform.settings.home
    assert MARKER not in done.stdout + done.stderr
    # The search finds what is there: the name of the job stands in the event logs.
    assert holding(platform.settings.dagster, "prepare_tasks")[0]
    found, looked = holding(platform.settings.dagster, MARKER)
    assert (found, looked > 100) == (set(), True)
    elsewhere = {path.name for path in home.iterdir()} - {"lake", "sources"}
    assert {name for name in elsewhere if (home / name).is_dir() and holding(home / name, MARKER)[0]} == set()
    assert not [name for name in elsewhere if (home / name).is_file() and MARKER.encode() in (home / name).read_bytes()]


def text_columns(platform: SmallPlatform, key: LakeKey) -> str:
    return json.dumps(platform.lake.rows(key))


@pytest.fixture
def surroundings(tmp_path: Path, platform: SmallPlatform) -> Surroundings:
    platform.add_model("m1")
    write_nli(platform, [json.dumps(row) for row in nli_rows()])
    write_notes(platform, note_rows())
    return Surroundings(tmp_path / "machine", platform)


def evaluate(surroundings: Surroundings) -> subprocess.CompletedProcess[str]:
    return surroundings.medeval("evaluate", "-m", "m1", "-t", TASKS[0], "-t", TASKS[1], "--limit", "2")


def test_an_evaluation_shows_credentialed_text_nowhere_and_writes_nothing_outside(
    platform: SmallPlatform, surroundings: Surroundings
) -> None:
    done = evaluate(surroundings)
    assert done.returncode == 0, done.stderr
    for task in TASKS:
        record = platform.lake.record(LakeKey("prompt_sets", task=task))
        assert record is not None
        assert (record.access.value, record.synthetic) == ("credentialed", False)
        for asset in ("datasets", "prompt_sets"):
            assert MARKER in text_columns(platform, LakeKey(asset, task=task))
        answers = platform.lake.rows(LakeKey("generations", "m1", task))
        assert [row["finish_reason"] for row in answers if row["finish_reason"] != "skipped"]
        assert LakeKey("metric_tables", "m1", task) in platform.lake.keys("metric_tables")
    assert_private(platform, done)
    assert surroundings.left_behind() == []


def a_label(platform: SmallPlatform) -> None:
    rows = nli_rows()
    rows[3]["gold_label"] = MARKER
    write_nli(platform, [json.dumps(row) for row in rows])


def a_field(platform: SmallPlatform) -> None:
    rows = nli_rows()
    rows[3][f"sentence2 {MARKER}"] = rows[3].pop("sentence2")
    write_nli(platform, [json.dumps(row) for row in rows])


def a_type(platform: SmallPlatform) -> None:
    rows = nli_rows()
    rows[3]["sentence1"] = {MARKER: [MARKER]}
    write_nli(platform, [json.dumps(row) for row in rows])


def a_torn_line(platform: SmallPlatform) -> None:
    write_nli(platform, [json.dumps(row)[:60] if n == 3 else json.dumps(row) for n, row in enumerate(nli_rows())])


def a_lone_surrogate(platform: SmallPlatform) -> None:
    rows = nli_rows()
    rows[3]["sentence1"] = f"{MARKER} \ud800"
    write_nli(platform, [json.dumps(row) for row in rows])


def a_header(platform: SmallPlatform) -> None:
    write_notes(
        platform, [{key if key != "Summary" else f"Summary {MARKER}": row[key] for key in row} for row in note_rows()]
    )


def a_quote(platform: SmallPlatform) -> None:
    path = platform.settings.sources / "problem_summary" / NOTES_FILE
    path.write_text(path.read_text() + f'note-9.txt,"{MARKER}" and more,"{MARKER}\n')


@pytest.mark.parametrize("spoil", [a_label, a_field, a_type, a_torn_line, a_lone_surrogate, a_header, a_quote])
def test_a_malformed_row_is_reported_without_its_text(
    platform: SmallPlatform,
    surroundings: Surroundings,
    capfd: pytest.CaptureFixture[str],
    spoil: Callable[[SmallPlatform], None],
) -> None:
    spoil(platform)
    outcome = platform.evaluate(["m1"], TASKS, limit=1)
    captured = capfd.readouterr()
    assert len(outcome.problems) == 1
    file, other = (NOTES_FILE, "mednli") if spoil in {a_header, a_quote} else (NLI_FILE, "problem_summary")
    assert file in outcome.problems[0]
    assert platform.lake.keys("metric_tables") == [LakeKey("metric_tables", "m1", other)]
    done = subprocess.CompletedProcess([], 1, captured.out, captured.err + "\n".join(outcome.problems))
    assert_private(platform, done)


def test_the_command_line_reports_a_malformed_row_without_its_text_and_leaves_nothing_behind(
    platform: SmallPlatform, surroundings: Surroundings
) -> None:
    a_label(platform)
    done = evaluate(surroundings)
    assert done.returncode == 1
    assert f"{NLI_FILE}:4 gold_label" in done.stderr
    assert LakeKey("metric_tables", "m1", "problem_summary") in platform.lake.keys("metric_tables")
    assert_private(platform, done)
    assert surroundings.left_behind() == []
