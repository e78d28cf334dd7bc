"""Fixtures that tests of several packages share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from medeval_assets_tests.checkpoints import make_tiny_checkpoint

if TYPE_CHECKING:
    from medeval_assets_tests.core.lake.forking_process import Children
    from medeval_assets_tests.core.lake.storages import S3Server


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a real, tiny chat checkpoint. Shared by all tests: copy it before changing it."""
    return make_tiny_checkpoint(tmp_path_factory.mktemp("tiny-checkpoint"))


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3-compatible server on this machine."""
    from medeval_assets_tests.core.lake.storages import s3_server

    with s3_server() as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty bucket of the test's own; the environment says how to get there."""
    from medeval_assets_tests.core.lake.storages import forget_connections, make_bucket

    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    forget_connections()
    name = f"lakes-{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]}"
    make_bucket(s3, name)
    yield f"s3://{name}"
    forget_connections()


@pytest.fixture(params=["folder", "bucket"])
def lake_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where no lake is yet: in a folder, and in a bucket. The same must hold for both."""
    return str(tmp_path / "lake") if request.param == "folder" else f"{request.getfixturevalue('bucket')}/lake"


@pytest.fixture(scope="session")
def children() -> Iterator[Children]:
    """What has children that work on a lake, and may be killed."""
    from medeval_assets_tests.core.lake.forking_process import forking_process

    with forking_process() as process:
        yield process
