"""Prune: remove old versions that nothing rests on any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import REMOVED, VERSIONS, Lake, LakeOutOfReach, Version
from medeval_assets.lake.lineage_record import LineageRecord


@dataclass(frozen=True)
class Pruned:
    """What was removed, and why the rest stayed.

    current: the tables in use. needed: versions from which a current table was made, by whatever steps.
    recent: versions younger than that. unreadable: damaged ones, which `medeval audit` tells about.
    """

    removed: tuple[Version, ...]
    current: int
    needed: int
    recent: int
    unreadable: int


def prune(lake: Lake, older_than: timedelta, now: datetime | None = None) -> Pruned:
    """Remove the versions made longer ago than this that are neither current nor what a current table was made from.

    So the chain of every current number stays whole, down to the version of the dataset it was computed on. The proof
    of each removal stays, and removals that were cut short are finished. BadInput where a current table cannot be read:
    what it rests on is not known then.
    """
    before = (datetime.now(UTC) if now is None else now) - older_than
    removed = _finished(lake)
    current = {key: record for key in _keys(lake, archived=False) if (record := lake.record(key)) is not None}
    hashes = {key: lake.file_sha256(key) for key in current}
    versions: list[tuple[Version, LineageRecord]] = []
    unreadable = in_use = 0
    for key in _keys(lake, archived=True):
        for version in lake.versions(key):
            if version.file_sha256 == hashes.get(key):
                in_use += 1
                continue
            try:
                versions.append((version, lake.version_record(version)))
            except LakeOutOfReach:
                raise
            except Exception:  # a damaged footer breaks its reader in more ways than one
                unreadable += 1
    needed = _needed(current, versions)
    kept_needed = recent = 0
    for version, record in versions:
        if (version.key, record.content_sha256) in needed:
            kept_needed += 1
        elif _time(record) >= before:
            recent += 1
        else:
            lake.remove(version, "retention")
            removed.append(version)
    return Pruned(tuple(removed), in_use, kept_needed, recent, unreadable)


def _finished(lake: Lake) -> list[Version]:
    """Remove the versions that have the proof of their removal and are still there."""
    proofs = {file.path.removeprefix(f"{REMOVED}/").removesuffix(".json") for file in lake.all_files(REMOVED)}
    removed = [
        version
        for key in _keys(lake, archived=True)
        for version in lake.versions(key)
        if f"{key.folder}/{version.file_sha256}" in proofs
        and any(removal.file_sha256 == version.file_sha256 for removal in lake.removals(key))
    ]
    for version in removed:
        lake.discard(version)
    return removed


def _needed(
    current: Mapping[LakeKey, LineageRecord], versions: list[tuple[Version, LineageRecord]]
) -> set[tuple[LakeKey, str]]:
    """(table, content) of all that current tables were made from, and of what that was made from."""
    by_content: dict[tuple[LakeKey, str], list[LineageRecord]] = {}
    for version, record in versions:
        by_content.setdefault((version.key, record.content_sha256), []).append(record)
    for key, record in current.items():
        by_content.setdefault((key, record.content_sha256), []).append(record)
    needed: set[tuple[LakeKey, str]] = set()
    waiting = list(current.values())
    while waiting:
        for table in waiting.pop().derivation.inputs:
            name = (table.key, table.content_sha256)
            if name not in needed:
                needed.add(name)
                waiting += by_content.get(name, [])
    return needed


def _keys(lake: Lake, *, archived: bool) -> list[LakeKey]:
    """The tables that have a file in the archive, or a current one."""
    prefix = f"{VERSIONS}/" if archived else ""
    paths = [file.path for file in lake.all_files() if file.path.endswith(".parquet" if archived else "/data.parquet")]
    folders = {
        path.removeprefix(prefix).rpartition("/")[0]
        for path in paths
        if (path.startswith(prefix) if archived else not path.startswith("_"))
    }
    return sorted(key for folder in folders if (key := LakeKey.named(folder)) is not None)


def _time(record: LineageRecord) -> datetime:
    made = datetime.fromisoformat(record.created_at)
    return made if made.tzinfo is not None else made.replace(tzinfo=UTC)
