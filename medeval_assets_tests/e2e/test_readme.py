"""Every command that the README shows is run: here, or by what CI runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from medeval_assets_tests.e2e.conftest import environment

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).resolve().parents[2]

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PLACEHOLDER = re.compile(r"<[\w .…-]+>|path/to|…|\.\.\.|\b[A-Z_]{3,}\.jsonl?\b")
_MAKE = re.compile(r"(?:make|(?:\.venv/bin/)?medeval(?= (?:demo|ui)$)) ([a-z-]+)")
_RULE = re.compile(r"^([a-z-]+):(?!=)([^#\n]*)", re.MULTILINE)
_RUN_HERE = ("medeval", ".venv/bin/medeval", "export", "mkdir", "cp")
# `make help` is run below, and `make ui` is what test_browser.py starts.
_RUN_BY_TESTS = {"help", "ui"}


def _blocks() -> list[tuple[str, str]]:
    """Language and content of every fenced block, in order."""
    return _FENCED.findall((CHECKOUT / "README.md").read_text(encoding="utf-8"))


def _commands() -> list[str]:
    """Every command of the `sh` blocks, in order, continued lines joined."""
    text = "".join(content for language, content in _blocks() if language == "sh").replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _targets() -> list[str]:
    """Every make target that the README names in its blocks."""
    return [match[1] for command in _commands() if (match := _MAKE.fullmatch(command))]


def _rules() -> dict[str, list[str]]:
    """Prerequisites of every target of the Makefile."""
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    return {target: prerequisites.split() for target, prerequisites in _RULE.findall(makefile)}


def _run_by_ci() -> set[str]:
    """The targets that `.ci/run` calls, with all they depend on."""
    script = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8")
    waiting = re.findall(r"^\s*make ([a-z-]+)$", script, re.MULTILINE)
    rules, reached = _rules(), set[str]()
    while waiting:
        target = waiting.pop()
        if target not in reached:
            reached.add(target)
            waiting += rules.get(target, [])
    return reached


def test_commands_stand_in_blocks_that_are_run() -> None:
    assert {language for language, _ in _blocks()} <= {"sh", "yaml", "python", "json"}
    assert {"demo", "test", "ui"} <= set(_targets())


def test_no_command_has_a_placeholder() -> None:
    assert [command for command in _commands() if _PLACEHOLDER.search(command)] == []


@pytest.mark.parametrize("target", dict.fromkeys(_targets()))
def test_every_make_target_is_run_by_ci_or_by_a_test(target: str) -> None:
    assert target in _rules()
    assert target in _run_by_ci() | _RUN_BY_TESTS


def test_make_help_lists_the_targets() -> None:
    outcome = subprocess.run(["make", "help"], cwd=CHECKOUT, capture_output=True, encoding="utf-8", check=True)

    listed = {line.split()[0] for line in outcome.stdout.splitlines() if line and not line.startswith("make")}
    assert set(_targets()) <= listed


def test_the_other_commands_work_in_order(demo_home: Path, working_folder: Path) -> None:
    commands = [command for command in _commands() if not _MAKE.fullmatch(command)]
    assert commands
    assert [command for command in commands if command.split()[0] not in _RUN_HERE] == []
    # As after `make demo` in a checkout: the environment and the home stand in the working folder.
    (working_folder / ".venv").symlink_to(sys.prefix)
    demo_home.rename(working_folder / ".medeval")

    outcome = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(commands)],
        cwd=working_folder,
        env=environment(working_folder / ".medeval"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=500,
        check=False,
    )

    assert outcome.returncode == 0, outcome.stderr
    assert "Traceback" not in outcome.stdout + outcome.stderr


def test_the_python_examples_work(tmp_path: Path) -> None:
    examples = [content for language, content in _blocks() if language == "python"]
    assert examples
    for example in examples:
        outcome = subprocess.run(
            [sys.executable, "-c", example],
            cwd=CHECKOUT,
            env={**environment(tmp_path), "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )
        assert outcome.returncode == 0, outcome.stderr
        assert outcome.stdout.strip()
