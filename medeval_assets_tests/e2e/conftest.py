"""What the end-to-end tests share: the installed `medeval` command in a process of its own, and folders to work on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest

from medeval_assets.catalog.checkpoint_source import resolve
from medeval_assets.resources import all_models
from medeval_assets.settings import Settings

BIN = Path(sys.executable).parent
DEMO_MODEL = "smollm2-135m"

_OURS = ("MEDEVAL_", "DAGSTER_", "HF_")


class Medeval(Protocol):
    """Runs `medeval` with these arguments; `env` is added to the environment."""

    def __call__(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Outcome: ...


Outcome = subprocess.CompletedProcess[str]


def environment(home: Path) -> dict[str, str]:
    """The environment of a user who set MEDEVAL_HOME and nothing else of ours, with the hub out of reach."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {
        **kept,
        "MEDEVAL_HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty MEDEVAL_HOME."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def working_folder(tmp_path: Path) -> Path:
    """The folder that commands run in; nothing of ours is written there."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def medeval(home: Path, working_folder: Path) -> Medeval:
    """The installed command on `home`. Whatever a test does with it, no traceback is shown and no code but 0, 1, 2."""

    def run(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Outcome:
        outcome = subprocess.run(
            [BIN / "medeval", *arguments],
            env=environment(home) | dict(env or {}),
            cwd=working_folder,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )
        for trace in ("Traceback", "Stack Trace"):
            assert trace not in outcome.stdout + outcome.stderr, outcome.stderr
        assert outcome.returncode in {0, 1, 2}, outcome.stderr
        assert not list(working_folder.iterdir()), "something was written outside MEDEVAL_HOME"
        return outcome

    return run


@pytest.fixture(scope="session")
def demo_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home's `checkpoints` with the demo model, converted once for all tests: they link to it and never change it."""
    settings = Settings(home=tmp_path_factory.mktemp("demo"), sources=tmp_path_factory.mktemp("no-sources"))
    resolve(all_models(settings)[DEMO_MODEL], settings)
    return settings.checkpoints


@pytest.fixture
def demo_home(home: Path, demo_checkpoints: Path) -> Path:
    """`home` with the demo checkpoint in place."""
    shutil.copytree(demo_checkpoints, home / "checkpoints", copy_function=os.link)
    return home


@pytest.fixture
def tiny_model(home: Path, tmp_path: Path, tiny_checkpoint: Path) -> str:
    """Key of a model in `<home>/models.yaml`: the tiny checkpoint, with a context that the samples fit into."""
    checkpoint = tmp_path / "tiny"
    shutil.copytree(tiny_checkpoint, checkpoint)
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    (checkpoint / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 8192}), encoding="utf-8")
    (home / "models.yaml").write_text(
        f"models:\n  tiny:\n    checkpoint: folder:{checkpoint}\n    role: biomedical\n    engine: {{gpus: 0}}\n",
        encoding="utf-8",
    )
    return "tiny"
