"""CodeIdentity: which code made a table."""

from __future__ import annotations

import importlib.metadata
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class CodeIdentity:
    """Which code ran. git_commit: "" where the package does not run from a checkout."""

    package_version: str
    git_commit: str
    git_dirty: bool


@cache
def code_identity() -> CodeIdentity:
    """The package's version and, in a checkout, its commit and whether tracked files differ from it."""
    checkout = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        try:
            done = subprocess.run(  # noqa: S603 - fixed arguments
                ["git", "-C", str(checkout), *arguments],  # noqa: S607 - the user's own git
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    in_checkout = (checkout / ".git").exists()
    return CodeIdentity(
        package_version=importlib.metadata.version("medeval-assets"),
        git_commit=git("rev-parse", "HEAD") if in_checkout else "",
        git_dirty=bool(git("status", "--porcelain", "--untracked-files=no")) if in_checkout else False,
    )
