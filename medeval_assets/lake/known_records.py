"""KnownRecords: a lake whose records are read once, and which knows purged tables by their proof."""

from __future__ import annotations

from collections.abc import Iterable

from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.lake.purged import purged


class KnownRecords(Lake):
    """The lake as it is at one moment, for asking many questions about it.

    known: records that were read already.
    A table that was purged has the record that stays as its proof: what was made from it has not changed by that.
    """

    def __init__(self, lake: Lake, known: Iterable[LineageRecord] = ()) -> None:
        self.fs, self.root = lake.fs, lake.root
        self._lake = lake
        self._known: dict[LakeKey, LineageRecord | None] = {record.key: record for record in known}
        self._keys: dict[str, list[LakeKey]] = {}

    def record(self, key: LakeKey) -> LineageRecord | None:
        if key not in self._known:
            found = self._lake.record(key)
            if found is None and (removal := purged(self._lake, key)) is not None:
                found = removal.record
            self._known[key] = found
        return self._known[key]

    def keys(self, asset: str) -> list[LakeKey]:
        if asset not in self._keys:
            self._keys[asset] = self._lake.keys(asset)
        return self._keys[asset]
