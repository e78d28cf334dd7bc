"""Raw files for the tests of the task families: a folder of them, the project's own samples, what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from medeval_assets.catalog.task_spec import Example, TaskSpec
from medeval_assets.errors import BadInput
from medeval_assets.settings import Settings
from medeval_assets.sources.source_folder import SourceFolder

SECRET = "zebrafinch"
"""Stands for a patient's text in bad files: no error may repeat it."""


def folder_of(path: Path, files: Mapping[str, str | bytes]) -> SourceFolder:
    for name, content in files.items():
        (path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return SourceFolder(path, synthetic=False)


def sample_of(task: TaskSpec, tmp_path: Path) -> list[Example]:
    """The examples of the project's own sample, and of nothing else."""
    samples = Settings.from_environment({"MEDEVAL_HOME": str(tmp_path)}).samples
    return task.read(SourceFolder(samples / task.folder, synthetic=True))


def refusals(task: TaskSpec, path: Path, files: Mapping[str, str | bytes]) -> list[str]:
    """Where each problem is and what it is, `where: what`."""
    with pytest.raises(BadInput) as refused:
        task.read(folder_of(path, files))
    assert SECRET not in str(refused.value)
    assert all(problem.remedy for problem in refused.value.problems)
    return [f"{problem.where}: {problem.what}" for problem in refused.value.problems]
