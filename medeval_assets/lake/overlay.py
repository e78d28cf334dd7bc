"""Overlay: a lake that reads what is there and writes into memory."""

from __future__ import annotations

from typing import Any

from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake, Version


class Overlay(Lake):
    """The lake at `url` as it would be if the tables that were written here stood in it. Nothing of it is touched."""

    def __init__(self, url: Any) -> None:
        super().__init__(url)
        self._written: dict[LakeKey, bytes] = {}

    def keys(self, asset: str) -> list[LakeKey]:
        return sorted({*super().keys(asset), *(key for key in self._written if key.asset == asset)})

    def stand_in(self, version: Version) -> None:
        """Let a version of the archive stand where the current table does."""
        self._written[version.key] = self.version_content(version)

    def _open(self, key: LakeKey) -> Any:
        import pyarrow as pa

        return pa.BufferReader(self._written[key]) if key in self._written else super()._open(key)

    def _put(self, key: LakeKey, content: bytes) -> None:
        self._written[key] = content
