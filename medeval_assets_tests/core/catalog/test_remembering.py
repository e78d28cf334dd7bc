"""Where nothing may be remembered, what is known is used and no file is written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from medeval_assets.catalog.file_hashes import FileHashes
from medeval_assets.catalog.remembering import may_remember, nothing_remembered


def test_hashes_are_computed_and_not_written_down(tmp_path: Path) -> None:
    file, memory = tmp_path / "weights", tmp_path / "cache"
    file.write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    with nothing_remembered():
        assert FileHashes(memory).of(file) == sha256
    assert not memory.exists()
    assert FileHashes(memory).of(file) == sha256
    assert memory.exists()


def test_it_ends_with_the_block_however_that_ends() -> None:
    with pytest.raises(KeyError), nothing_remembered():
        assert not may_remember()
        raise KeyError
    assert may_remember()
