"""Fixtures of the tests that run the platform."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from medeval_assets.engines.loaded_engines import LOADED_ENGINES
from medeval_assets.settings import Settings
from medeval_assets_tests.graph.small_platform import SmallPlatform, make_roomy_checkpoint


@pytest.fixture(scope="session")
def roomy_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_roomy_checkpoint(tmp_path_factory.mktemp("roomy-checkpoint"), seed=0)


@pytest.fixture
def platform(roomy_checkpoint: Path, tmp_path: Path) -> Iterator[SmallPlatform]:
    """An empty platform; the environment and the engine of this process are as before when the test ends."""
    before = dict(os.environ)
    home = tmp_path / "home"
    home.mkdir()
    yield SmallPlatform(Settings(home=home, sources=tmp_path / "sources"), roomy_checkpoint)
    LOADED_ENGINES.close()
    os.environ.clear()
    os.environ.update(before)
