"""Fixtures of the tests that run the platform."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medeval_assets_tests.graph.small_platform import SmallPlatform, make_roomy_checkpoint, new_platform


@pytest.fixture(scope="session")
def roomy_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_roomy_checkpoint(tmp_path_factory.mktemp("roomy-checkpoint"), seed=0)


@pytest.fixture
def platform(roomy_checkpoint: Path, tmp_path: Path) -> Iterator[SmallPlatform]:
    """An empty platform, for one test."""
    with new_platform(tmp_path / "home", roomy_checkpoint) as made:
        yield made
