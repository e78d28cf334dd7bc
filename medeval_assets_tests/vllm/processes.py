"""The processes below this one, as Linux tells of them."""

from __future__ import annotations

import os
from pathlib import Path


def below(pid: int | None = None) -> dict[int, str]:
    """The children of a process (this one), their children and so on: name by process id."""
    found: dict[int, str] = {}
    parent = os.getpid() if pid is None else pid
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found |= {child: _name(child)} | below(child)
    return found


def engine_core(pid: int | None = None) -> int:
    """The process in which vLLM schedules; the one that holds the model is below it."""
    (core,) = [child for child, name in below(pid).items() if "EngineCore" in name]
    return core


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
