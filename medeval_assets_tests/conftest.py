"""Fixtures that tests of several packages share."""

from __future__ import annotations

from pathlib import Path

import pytest

from medeval_assets_tests.checkpoints import make_tiny_checkpoint


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a real, tiny chat checkpoint. Shared by all tests: copy it before changing it."""
    return make_tiny_checkpoint(tmp_path_factory.mktemp("tiny-checkpoint"))
