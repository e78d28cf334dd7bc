"""Seals: a manifest of everything the lake holds, so that later tampering is found whoever did it.

Whoever can write to the lake can also rewrite footers and the names of archive files, and then every file agrees with
itself. A manifest that was kept elsewhere, or signed, still knows the hashes of before.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from medeval_assets.audit.merkle import merkle_root
from medeval_assets.audit.signature import ENDINGS, is_valid, sign, signature_beside
from medeval_assets.errors import BadInput, Problem
from medeval_assets.lake.code_identity import code_identity
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.lake.removal import Removal
from medeval_assets.lake.whole_file import write_whole

FORMAT: Literal["medeval-seal/1"] = "medeval-seal/1"
SEALS = "_seals"
"""The lake's folder of manifests."""

_VERSIONS = "_versions/"
_REMOVED = "_removed/"
_CURRENT = "/data.parquet"
_SHA256 = r"^[0-9a-f]{64}$"
_FINISH = "Finish it by `medeval purge` or `medeval prune`, and seal then."
_LARGEST_MANIFEST = 1 << 30


class SealedFile(BaseModel):
    """A file of the lake as it was. path: below the lake's root."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str
    size: int = Field(ge=0)
    sha256: str = Field(pattern=_SHA256)

    @field_validator("path")
    @classmethod
    def _fit_to_print(cls, path: str) -> str:
        """A manifest comes from anywhere, and its paths are told on a terminal."""
        if not path.isprintable():
            raise ValueError("not printable")
        return path


class Manifest(BaseModel):
    """What the lake held.

    created_at: when the sealing began; ISO 8601, UTC.
    root_sha256: Merkle root (RFC 6962) over the head, see `head_leaf`, and every entry, see `entry_leaf`.
    entries: every archive file, current file and removal record, in the order of their paths.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["medeval-seal/1"]
    created_at: str
    package_version: str
    root_sha256: str = Field(pattern=_SHA256)
    entries: list[SealedFile]


@dataclass(frozen=True)
class Sealed:
    """A seal that was made.

    path: of the manifest in the lake. copies: the other files that were written, signatures among them.
    signed_with: `ssh` or `minisign`; "" where it was not signed.
    """

    root_sha256: str
    path: str
    files: int
    copies: tuple[Path, ...] = ()
    signed_with: str = ""


@dataclass(frozen=True)
class Verification:
    """What became of a sealed lake. It is as it was sealed where there are no problems.

    sealed_at: when it was sealed. sealed: files in the manifest.
    new_files: files that came later, which the seal says nothing about.
    moved_on: sealed current tables that have been made again since.
    removed: sealed files that were purged or outlived their retention since, each with its proof.
    signature: `none` where the manifest has none, `unchecked` where no key was given to check it with.
    """

    root_sha256: str
    sealed_at: str
    sealed: int
    problems: tuple[Problem, ...]
    new_files: int = 0
    moved_on: int = 0
    removed: int = 0
    signature: Literal["none", "unchecked", "valid", "invalid"] = "none"


def head_leaf(created_at: str, package_version: str) -> bytes:
    """The tree's first leaf: what the manifest says besides its entries."""
    return _leaf([FORMAT, created_at, package_version])


def entry_leaf(entry: SealedFile) -> bytes:
    """The leaf of an entry."""
    return _leaf([entry.path, entry.size, entry.sha256])


def root_of(created_at: str, package_version: str, entries: Iterable[SealedFile]) -> str:
    """The Merkle root of a manifest."""
    return merkle_root([head_leaf(created_at, package_version), *map(entry_leaf, entries)]).hex()


def seal(lake: Lake, destination: Path | None = None, key: Path | None = None) -> Sealed:
    """Write down the hash of everything the lake holds: into the lake, and to `destination` where one is given.

    key: what to sign the manifest with; the signature is put beside each copy.
    BadInput where a file of the archive is not what its name says or has been removed by half, or a current table is
    not in the archive: such a lake is not sealed. Tables may be written meanwhile; what comes too late for the seal is
    new to it.
    """
    created_at = _now()
    entries = sorted(_entries(lake), key=lambda entry: entry.path)
    problems = list(_not_as_named(entries))
    if problems:
        raise BadInput(problems)
    version = code_identity().package_version
    root = root_of(created_at, version, entries)
    manifest = Manifest(
        format=FORMAT, created_at=created_at, package_version=version, root_sha256=root, entries=entries
    )
    content = _encoded(manifest)
    signature = None if key is None else sign(content, key)
    path = f"{lake.root}/{SEALS}/{root}.json"
    files = {"": content} if signature is None else {ENDINGS[signature.kind]: signature.content, "": content}
    copies = [] if destination is None else [destination.with_name(destination.name + ending) for ending in files]
    for ending, part in files.items():
        if destination is not None:
            _write(destination.with_name(destination.name + ending), part)
        _write_to(lake, path + ending, part)
    return Sealed(root, path, len(entries), tuple(copies), "" if signature is None else signature.kind)


def verify(
    lake: Lake, manifest: Path, *, public_key: Path | None = None, allowed_signers: Path | None = None
) -> Verification:
    """Compare the lake with what was sealed; every sealed file is hashed again.

    public_key, allowed_signers: who may have signed it. Where one is given, a manifest without a signature of theirs is
    a problem. BadInput where the manifest cannot be read at all.
    """
    content = _read(manifest)
    signature = signature_beside(manifest)
    problems: list[Problem] = []
    signed: Literal["none", "unchecked", "valid", "invalid"] = "none" if signature is None else "unchecked"
    if public_key is not None or allowed_signers is not None:
        if signature is None:
            what = f"there is no signature beside it ({' or '.join(manifest.name + end for end in ENDINGS.values())})"
            problems.append(Problem(str(manifest), what, "Put it there, or seal with a key."))
        elif is_valid(content, signature, public_key=public_key, allowed_signers=allowed_signers):
            signed = "valid"
        else:
            signed, what = "invalid", "the signature is none of the given key over this manifest"
            problems.append(
                Problem(str(manifest), what, "Use a copy that was kept elsewhere, or the signer's own key.")
            )
    sealed = _decoded(content, manifest)
    if root_of(sealed.created_at, sealed.package_version, sealed.entries) != sealed.root_sha256:
        what = "its entries do not have the root that it names: it was changed after it was made"
        problems.append(Problem(str(manifest), what, "Use a copy that was kept elsewhere."))
    paths = [entry.path for entry in sealed.entries]
    if len(set(paths)) != len(paths):
        problems.append(Problem(str(manifest), "it names a file twice", "Use a copy that was kept elsewhere."))
    comparison = _Comparison(lake, sealed)
    problems += comparison.problems()
    return Verification(
        root_sha256=sealed.root_sha256,
        sealed_at=sealed.created_at,
        sealed=len(sealed.entries),
        problems=tuple(problems),
        new_files=comparison.new_files,
        moved_on=comparison.moved_on,
        removed=comparison.removed,
        signature=signed,
    )


class _Comparison:
    """Each sealed file against what is there now."""

    def __init__(self, lake: Lake, sealed: Manifest) -> None:
        self._lake = lake
        self._sealed = sealed
        self._sealed_at = datetime.fromisoformat(sealed.created_at)
        self._there = dict(_files(lake))
        self._removals: dict[tuple[str, str], Removal] = {}
        self._purged: set[str] = set()
        self.new_files = len(self._there.keys() - {entry.path for entry in sealed.entries})
        self.moved_on = 0
        self.removed = 0

    def problems(self) -> list[Problem]:
        found = list(self._read_removals())
        same_size = [entry.path for entry in self._sealed.entries if self._there.get(entry.path) == entry.size]
        hashes = _hashes(self._lake, same_size)
        for entry in self._sealed.entries:
            if hashes.get(entry.path) == entry.sha256:
                continue
            problem = self._otherwise(entry)
            if problem is not None:
                found.append(problem)
        return found

    def _otherwise(self, entry: SealedFile) -> Problem | None:
        """What is wrong with a file that is not what it was; None where it may be so."""
        there = entry.path in self._there
        if entry.path.startswith(_VERSIONS):
            folder = entry.path.removeprefix(_VERSIONS).rpartition("/")[0]
            if not there and (folder, entry.sha256) in self._removals:
                self.removed += 1
                return None
            return self._changed(entry) if there else self._missing(entry)
        if entry.path.startswith(_REMOVED):
            # Nothing ever takes the proof of a removal away.
            return self._changed(entry) if there else self._missing(entry)
        folder = entry.path.removesuffix(_CURRENT)
        if not there:
            # Retention leaves current tables alone, so that only a purge explains it.
            if folder in self._purged:
                self.removed += 1
                return None
            return self._missing(entry)
        return self._moved_on(entry, folder)

    def _moved_on(self, entry: SealedFile, folder: str) -> Problem | None:
        before = self._sealed_record(entry, folder)
        try:
            now = self._lake.record(LakeKey.from_folder(folder))
        except Exception:  # a damaged footer breaks its reader in more ways than one
            now = None
        if before is None or now is None:
            return self._changed(entry)
        if _time(now) <= _time(before):
            what = f"it was rolled back: it was sealed as made {before.created_at}, and is now one of {now.created_at}"
            return Problem(entry.path, what, "Restore it from a backup, or materialize it again.")
        self.moved_on += 1
        return None

    def _sealed_record(self, entry: SealedFile, folder: str) -> LineageRecord | None:
        """The record of a sealed current table, from its file in the archive or from the proof of its removal."""
        removal = self._removals.get((folder, entry.sha256))
        if removal is not None:
            return removal.record
        key = LakeKey.from_folder(folder)
        for version in self._lake.versions(key):
            if version.file_sha256 == entry.sha256:
                with contextlib.suppress(Exception):  # it may be damaged, which is told where it stands itself
                    return self._lake.version_record(version)
        return None

    def _read_removals(self) -> Iterable[Problem]:
        """Those made after the seal. A record that cannot be read explains nothing."""
        for path in self._there:
            if not path.startswith(_REMOVED):
                continue
            folder, _, name = path.removeprefix(_REMOVED).rpartition("/")
            try:
                removal = Removal.from_file(self._lake.fs.cat_file(f"{self._lake.root}/{path}"))
                removed_at = datetime.fromisoformat(removal.removed_at)
                later = removed_at > self._sealed_at
            except (ValidationError, ValueError, TypeError, OSError):
                yield Problem(path, "the record of a removal cannot be read", "Restore it from a backup.")
                continue
            if removal.record.key.folder != folder or name != f"{removal.file_sha256}.json":
                yield Problem(path, "the record of a removal is of another table", "Restore it from a backup.")
            elif later:
                self._removals[folder, removal.file_sha256] = removal
                if removal.reason == "purge":
                    self._purged.add(folder)

    def _missing(self, entry: SealedFile) -> Problem:
        what = f"it is gone, and no record tells of its removal after {self._sealed.created_at}"
        return Problem(entry.path, what, "Restore it from a backup.")

    def _changed(self, entry: SealedFile) -> Problem:
        what = f"it is not what was sealed {self._sealed.created_at} (sha256 {entry.sha256[:12]}…)"
        return Problem(entry.path, what, "Restore it from a backup.")


def _entries(lake: Lake) -> list[SealedFile]:
    """Every file of the lake by its hash. Files that are removed meanwhile are left out."""
    files = dict(_files(lake))
    odd = [path for path in files if not path.isprintable()]
    if odd:
        remedy = "It is no file of the lake: take it away."
        raise BadInput([Problem(ascii(path), "its name is not printable", remedy) for path in odd])
    entries = {path: (size, sha256) for path, (size, sha256) in _sized_hashes(lake, list(files)).items()}
    # A table that was written after the files were listed: its archive file was there before it.
    late = {_archived(path, sha256) for path, (_, sha256) in entries.items() if path.endswith(_CURRENT)}
    entries |= _sized_hashes(lake, sorted(late - entries.keys()))
    return [SealedFile(path=path, size=size, sha256=sha256) for path, (size, sha256) in entries.items()]


def _archived(path: str, sha256: str) -> str:
    return f"{_VERSIONS}{path.removesuffix(_CURRENT)}/{sha256}.parquet"


def _not_as_named(entries: Sequence[SealedFile]) -> Iterable[Problem]:
    """What must not be sealed, for a seal would make it look right for ever."""
    known = {entry.path for entry in entries}
    remedy = "Run `medeval audit --full`, and seal when it is clean."
    for entry in entries:
        if entry.path.startswith(_VERSIONS):
            if entry.path.rpartition("/")[2] != f"{entry.sha256}.parquet":
                yield Problem(entry.path, "the file is not what its name says", remedy)
            elif f"{_REMOVED}{entry.path.removeprefix(_VERSIONS).removesuffix('.parquet')}.json" in known:
                # When it goes at last, its proof would be from before the seal.
                yield Problem(entry.path, "its removal was cut short", _FINISH)
        elif entry.path.endswith(_CURRENT) and _archived(entry.path, entry.sha256) not in known:
            yield Problem(entry.path, "the current table is not in the archive", remedy)


def _files(lake: Lake) -> Iterable[tuple[str, int]]:
    """(path, size) of every file that a seal is about."""
    for file in lake.all_files():
        path = file.path
        if (
            (path.startswith(_VERSIONS) and path.endswith(".parquet"))
            or (path.startswith(_REMOVED) and path.endswith(".json"))
            or (path.endswith(_CURRENT) and not path.startswith("_"))
        ):
            yield path, file.size


def _hashes(lake: Lake, paths: Sequence[str]) -> dict[str, str]:
    return {path: sha256 for path, (_, sha256) in _sized_hashes(lake, paths).items()}


def _sized_hashes(lake: Lake, paths: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Path → (size, hash of its bytes), without the files that are gone.

    A local current table is a link to its file in the archive: what is one file on the disk is read once.
    """
    first: dict[object, str] = {}
    same: dict[str, str] = {}
    for path in paths:
        identity: object = path
        if lake.is_local:
            with contextlib.suppress(OSError):
                about = Path(f"{lake.root}/{path}").stat()
                identity = (about.st_dev, about.st_ino)
        same[path] = first.setdefault(identity, path)

    def read(path: str) -> tuple[int, str] | None:
        whole = f"{lake.root}/{path}"
        try:
            with Path(whole).open("rb") if lake.is_local else lake.fs.open(whole, "rb") as file:
                digest, size = hashlib.sha256(), 0
                while part := file.read(1 << 20):
                    digest.update(part)
                    size += len(part)
                return size, digest.hexdigest()
        except FileNotFoundError:
            return None
        except OSError as error:
            what = f"it cannot be read ({error.strerror or type(error).__name__})"
            raise BadInput([Problem(path, what, "Check the lake's folder and its permissions.")]) from error

    wanted = list(first.values())
    with ThreadPoolExecutor(min(32, (os.cpu_count() or 1) * (1 if lake.is_local else 8))) as pool:
        found = dict(zip(wanted, pool.map(read, wanted, chunksize=1), strict=True))
    known = {path: found[of] for path, of in same.items()}
    return {path: one for path, one in known.items() if one is not None}


def _encoded(manifest: Manifest) -> bytes:
    return json.dumps(manifest.model_dump(), indent=1, ensure_ascii=True).encode() + b"\n"


def _decoded(content: bytes, manifest: Path) -> Manifest:
    remedy = "Give a manifest that `medeval audit --seal` wrote."
    try:
        sealed = Manifest.model_validate_json(content)
        with_zone = datetime.fromisoformat(sealed.created_at).tzinfo is not None
    except (ValidationError, ValueError) as error:
        raise BadInput([Problem(str(manifest), "it is no manifest of a lake", remedy)]) from error
    if not with_zone:
        raise BadInput([Problem(str(manifest), "its time has no time zone", remedy)])
    return sealed


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_MANIFEST + 1)
    except OSError as error:
        raise BadInput([Problem(str(path), f"it cannot be read ({error.strerror})", "Check the path.")]) from error
    if len(content) > _LARGEST_MANIFEST:
        raise BadInput([Problem(str(path), "it is too large for a manifest", "Check the path.")])
    return content


def _write_to(lake: Lake, path: str, content: bytes) -> None:
    if lake.is_local:
        _write(Path(path), content)
        return
    try:
        lake.fs.pipe_file(path, content)
    except OSError as error:
        raise _unwritable(path, error) from error


def _write(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise _unwritable(str(path), error) from error


def _unwritable(path: str, error: OSError) -> BadInput:
    full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    remedy = "Free some space and run again." if full else "Check the folder and its permissions."
    return BadInput([Problem(path, f"it cannot be written ({error.strerror or type(error).__name__})", remedy)])


def _leaf(values: Sequence[object]) -> bytes:
    return json.dumps(values, ensure_ascii=True, separators=(",", ":")).encode()


def _time(record: LineageRecord) -> datetime:
    made = datetime.fromisoformat(record.created_at)
    return made if made.tzinfo is not None else made.replace(tzinfo=UTC)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
