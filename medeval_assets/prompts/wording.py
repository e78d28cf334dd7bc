"""Wording: the texts around an example, and whose they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

from medeval_assets.catalog.task_spec import Example, TaskSpec
from medeval_assets.prompts.clue_wording import ClueScriptWording
from medeval_assets.prompts.project_wording import ProjectWording
from medeval_assets.settings import Settings


class Wording(Protocol):
    """The four texts of an example. Only `answer` sees what the right answer is.

    identity: names and hashes of what the texts are made from, examples apart, for the lineage record.
    """

    @property
    def identity(self) -> Mapping[str, str]: ...

    def system(self, example: Example) -> str:
        """The system text; "" where there is none."""
        ...

    def user(self, example: Example) -> str:
        """The question, with `DOCUMENTS` where the example's documents go."""
        ...

    def answer(self, example: Example, option: str | None = None) -> str:
        """The right answer, or the answer that names the option with this label."""
        ...

    def cue(self, example: Example) -> str:
        """The words that open an answer."""
        ...


def wording_for(
    task: TaskSpec, prompts: Literal["project", "clue"], settings: Settings, clone: Path | None = None
) -> Wording:
    """The project's wording of a task, or the benchmark's out of a user's clone of it.

    The clone is `clone`, else what MEDEVAL_CLUE names, else `<home>/clue`. BadInput where the templates or
    the clone cannot be used.
    """
    if prompts == "project":
        return ProjectWording(task)
    named = os.environ.get("MEDEVAL_CLUE")
    return ClueScriptWording(task, clone or (Path(named).expanduser() if named else settings.home / "clue"))
