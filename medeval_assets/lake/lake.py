"""Lake: the Parquet files, one a cell, each with its lineage record in the footer."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import fsspec
from fsspec.implementations.local import LocalFileSystem
from pydantic import ValidationError

from medeval_assets.catalog.task_spec import Access
from medeval_assets.errors import BadInput, MedevalError, Problem
from medeval_assets.lake.code_identity import code_identity
from medeval_assets.lake.content_hash import content_sha256
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lineage_record import Derivation, LineageRecord
from medeval_assets.lake.migrations import table_version, upgraded
from medeval_assets.lake.removal import Reason, Removal
from medeval_assets.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

FOOTER_KEY = b"medeval.lineage"
VERSIONS = "_versions"
REMOVED = "_removed"
_FILE = "data.parquet"


@dataclass(frozen=True)
class Version:
    """A table in the archive, found by the SHA-256 of its file."""

    key: LakeKey
    file_sha256: str
    path: str


@dataclass(frozen=True)
class FileInfo:
    """A file of the lake: its path below the root, its size in bytes, and what tells that it was changed."""

    path: str
    size: int
    modified: str


class Lake:
    """The folder or bucket that holds the tables, on any fsspec path.

    `<asset>/model=…/task=…/data.parquet` is the current table. Every table that was ever current is in the archive,
    `_versions/…/<sha256 of the file>.parquet`, where a new one is put first: so no version is lost, however many write
    at once, and what the current file must hash to is the name of its own version. `_removed/…` tells what was taken
    out on purpose. A write is whole or absent: readers see the old file or the new one, never a part.
    """

    def __init__(self, url: str | Path) -> None:
        self.fs, root = fsspec.core.url_to_fs(str(url))
        self.root = str(root).rstrip("/")

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The lake that the settings name."""
        return cls(settings.lake_url or settings.lake)

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine."""
        return isinstance(self.fs, LocalFileSystem)

    def path(self, key: LakeKey) -> str:
        return f"{self.root}/{key.folder}/{_FILE}"

    def uri(self, key: LakeKey) -> str:
        """Where the current table is, for other programs: `file:///…`, `s3://…`."""
        return str(self.fs.unstrip_protocol(self.path(key)))

    def write(
        self,
        key: LakeKey,
        rows: Iterable[Mapping[str, Any]],
        derivation: Derivation,
        *,
        run_id: str,
        access: Access = Access.PUBLIC,
        licence: str = "",
        synthetic: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> LineageRecord:
        """Check the rows against the asset's declared table and make them the current file; returns its record.

        Raises MedevalError when a row does not fit the table, BadInput when there is no space or no permission. In both
        cases the file that was there stays as it was.
        """
        import pyarrow as pa

        from medeval_assets.lake.tables import arrow_schema, table_problems

        try:
            table = pa.Table.from_pylist([dict(row) for row in rows], schema=arrow_schema(key.asset))
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
            raise MedevalError(f"{key}: a row does not fit the table's columns ({type(error).__name__})") from error
        problems = table_problems(key.asset, table)
        if problems:
            listed = "; ".join(f"column {column}: {check}" for column, check in problems)
            raise MedevalError(f"{key}: the table is not as declared: {listed}")
        code = code_identity()
        record = LineageRecord(
            asset=key.asset,
            model=key.model,
            task=key.task,
            derivation=derivation,
            content_sha256=content_sha256(table),
            table_version=table_version(key.asset),
            rows=table.num_rows,
            run_id=run_id,
            created_at=datetime.now(UTC).isoformat(timespec="microseconds"),
            access=access,
            licence=licence,
            synthetic=synthetic,
            environment=dict(environment or {}),
            **asdict(code),
        )
        self._put(key, _encode(table, record))
        return record

    def read(self, key: LakeKey, columns: Sequence[str] | None = None) -> pa.Table:
        """The current table with the columns of today, or some of them; BadInput where it is missing or unreadable."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with self._open(key) as file:
                version = _version_in(pq.read_schema(file))
                if version == table_version(key.asset):
                    return pq.read_table(file, columns=None if columns is None else list(columns))
                table = upgraded(key.asset, version, pq.read_table(file))
                return table if columns is None else table.select(list(columns))
        except FileNotFoundError as error:
            raise BadInput([Problem(str(key), "there is no such table", "Materialize it first.")]) from error
        except (pa.ArrowException, OSError) as error:
            raise BadInput([self._unreadable(key)]) from error

    def rows(self, key: LakeKey) -> list[dict[str, Any]]:
        """The current table's rows; maps come as dictionaries."""
        return plain_rows(self.read(key))

    def record(self, key: LakeKey) -> LineageRecord | None:
        """The current table's lineage record, read from the footer alone; None where there is no table."""
        import pyarrow as pa

        try:
            with self._open(key) as file:
                return record_in(file)
        except FileNotFoundError:
            return None
        except (pa.ArrowException, OSError, KeyError, ValidationError) as error:
            raise BadInput([self._unreadable(key)]) from error

    def read_models(self, keys: Sequence[LakeKey], columns: Sequence[str]) -> pa.Table:
        """Columns of many current tables of one asset one after the other, in the order of the keys, with `model`.

        Texts come as dictionary arrays, so that what repeats is held once. BadInput names every table that is missing
        or unreadable.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        from medeval_assets.lake.tables import arrow_schema

        texts = [field.name for field in arrow_schema(keys[0].asset) if pa.types.is_string(field.type)]

        def read(key: LakeKey) -> pa.Table | Problem:
            try:
                with self._open(key) as file:
                    written = pq.ParquetFile(file, read_dictionary=texts)
                    version = _version_in(written.schema_arrow)
                    if version == table_version(key.asset):
                        table = written.read(columns=list(columns), use_threads=False)
                    else:
                        older = pq.read_table(file, use_threads=False)
                        table = _with_dictionaries(upgraded(key.asset, version, older).select(list(columns)))
            except BadInput as error:
                return error.problems[0]
            except (pa.ArrowException, OSError):
                return self._unreadable(key)
            model = pa.DictionaryArray.from_arrays(pa.array(bytes(table.num_rows), pa.int32()), [key.model])
            return table.replace_schema_metadata().append_column("model", model)

        # A thread a file: Arrow's own threads gain nothing on files as small as these.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(read, keys))
        problems = [table for table in found if isinstance(table, Problem)]
        if problems:
            raise BadInput(problems)
        return pa.concat_tables(found)

    def records(self, keys: Sequence[LakeKey]) -> list[LineageRecord]:
        """The records of many current tables, in the order of the keys. BadInput where one is missing or unreadable."""
        found = [self.record(key) for key in keys]
        missing = [key for key, record in zip(keys, found, strict=True) if record is None]
        if missing:
            what = "there is no such table yet"
            raise BadInput([Problem(str(key), what, f"Materialize {key.asset} first.") for key in missing])
        return [record for record in found if record is not None]

    def fresh(self, key: LakeKey, derivation: Derivation) -> LineageRecord | None:
        """The current table's record if it was derived exactly like this, else None: the one rule of staleness."""
        try:
            record = self.record(key)
        except BadInput:
            return None
        return record if record is not None and record.derivation == derivation else None

    def keys(self, asset: str) -> list[LakeKey]:
        """Every current table of an asset, in order."""
        walk = os.walk if self.is_local else self.fs.walk
        found = [folder for folder, _, files in walk(f"{self.root}/{asset}") if _FILE in files]
        prefix = len(self.root) + 1
        return sorted({LakeKey.from_folder(str(folder)[prefix:]) for folder in found})

    def _open(self, key: LakeKey) -> Any:
        """The current table's file."""
        return self._open_path(self.path(key))

    def _open_path(self, path: str) -> Any:
        """A file of the lake; a local one is read by Arrow itself, which is faster."""
        import pyarrow as pa

        return pa.OSFile(path) if self.is_local else self.fs.open(path, "rb")

    def _unreadable(self, key: LakeKey) -> Problem:
        return Problem(f"{key} ({key.folder}/{_FILE})", "the table cannot be read", "Materialize it again.")

    def versions(self, key: LakeKey) -> list[Version]:
        """Every version of the table that is in the archive, the current one included, by the hash of its file."""
        folder = f"{self.root}/{VERSIONS}/{key.folder}"
        try:
            names = [str(path).rsplit("/", 1)[-1] for path in self.fs.ls(folder, detail=False)]
        except FileNotFoundError:
            return []
        hashes = sorted(name.removesuffix(".parquet") for name in names if name.endswith(".parquet"))
        return [Version(key, sha256, self._version_path(key, sha256)) for sha256 in hashes]

    def version_record(self, version: Version) -> LineageRecord:
        """The version's lineage record. BadInput where it cannot be read."""
        import pyarrow as pa

        try:
            with self._open_path(version.path) as file:
                return record_in(file)
        except (pa.ArrowException, OSError, KeyError, ValidationError) as error:
            raise BadInput([self._unreadable_version(version)]) from error

    def version_table(self, version: Version) -> pa.Table:
        """The version's table. BadInput where it cannot be read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with self._open_path(version.path) as file:
                return pq.read_table(file)
        except (pa.ArrowException, OSError) as error:
            raise BadInput([self._unreadable_version(version)]) from error

    def record_with(self, key: LakeKey, content_sha256: str) -> tuple[Version | None, LineageRecord] | None:
        """The record of the table with this content: the current one's (version None), else the newest version's."""
        with contextlib.suppress(BadInput):
            current = self.record(key)
            if current is not None and current.content_sha256 == content_sha256:
                return None, current
        found: list[tuple[Version, LineageRecord]] = []
        for version in self.versions(key):
            with contextlib.suppress(BadInput):
                record = self.version_record(version)
                if record.content_sha256 == content_sha256:
                    found.append((version, record))
        return max(found, key=lambda one: one[1].created_at, default=None)

    def file_sha256(self, key: LakeKey) -> str:
        """Hash of the current file's bytes; "" where there is none."""
        try:
            with self.fs.open(self.path(key), "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return ""

    def all_files(self) -> Iterator[FileInfo]:
        """Every file below the root but unfinished ones, in the order of their paths."""
        found = self.fs.find(self.root, detail=True) if self.fs.exists(self.root) else {}
        prefix = len(self.root) + 1
        for path in sorted(found):
            about = found[path]
            if not path.endswith(".tmp"):
                modified = about.get("mtime") or about.get("LastModified") or about.get("ETag") or ""
                yield FileInfo(path[prefix:], int(about["size"]), str(modified))

    def remove(self, version: Version, reason: Reason) -> Removal:
        """Take a version out of the lake, also where it is the current one; its record and its hash stay."""
        removal = Removal(
            record=self.version_record(version),
            file_sha256=version.file_sha256,
            removed_at=datetime.now(UTC).isoformat(timespec="microseconds"),
            reason=reason,
        )
        with self._told_in_words(version.key):
            proof = f"{self.root}/{REMOVED}/{version.key.folder}/{version.file_sha256}.json"
            self._place(proof, removal.as_file())
            if self.file_sha256(version.key) == version.file_sha256:
                self.fs.rm_file(self.path(version.key))
            self.fs.rm_file(version.path)
        return removal

    def removals(self, key: LakeKey | None = None) -> list[Removal]:
        """What was removed on purpose, of one table or of all, the oldest first."""
        root = f"{self.root}/{REMOVED}"
        paths = self.fs.find(f"{root}/{key.folder}" if key else root)
        found = [self._removal(path) for path in paths if path.endswith(".json")]
        return sorted(
            (one for one in found if key is None or one.record.key == key),
            key=lambda one: (one.removed_at, str(one.record.key), one.file_sha256),
        )

    def _removal(self, path: str) -> Removal:
        try:
            return Removal.from_file(self.fs.cat_file(path))
        except (ValueError, OSError) as error:
            where, what = path.removeprefix(f"{self.root}/"), "the proof of a removal cannot be read"
            raise BadInput([Problem(where, what, "Restore it from a backup, or ask `medeval audit`.")]) from error

    def _version_path(self, key: LakeKey, sha256: str) -> str:
        return f"{self.root}/{VERSIONS}/{key.folder}/{sha256}.parquet"

    def _unreadable_version(self, version: Version) -> Problem:
        where = f"{version.key} ({VERSIONS}/{version.key.folder}/{version.file_sha256[:12]}….parquet)"
        return Problem(where, "the version cannot be read", "Restore it from a backup, or ask `medeval audit`.")

    def _put(self, key: LakeKey, content: bytes) -> None:
        """Into the archive first, then current."""
        path, version = self.path(key), self._version_path(key, hashlib.sha256(content).hexdigest())
        with self._told_in_words(key):
            self._place(version, content)
            if not (self.is_local and _linked(Path(version), Path(path))):
                self._place(path, content)

    def _place(self, path: str, content: bytes) -> None:
        """A file as a whole or not at all."""
        if self.is_local:
            _write_local(Path(path), content)
        else:
            self.fs.pipe_file(path, content)

    @contextlib.contextmanager
    def _told_in_words(self, key: LakeKey) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
            remedy = "Free some space and run again." if full else "Check the lake's folder and its permissions."
            reason = error.strerror or type(error).__name__
            what = f"it could not be written ({reason}); what was there before is intact"
            raise BadInput([Problem(str(key), what, remedy)]) from error


def plain_rows(table: pa.Table) -> list[dict[str, Any]]:
    """A table's rows; maps come as dictionaries."""
    import pyarrow as pa

    maps = [field.name for field in table.schema if pa.types.is_map(field.type)]
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows:
        for name in maps:
            row[name] = dict(row[name])
    return rows


def record_in(file: Any) -> LineageRecord:
    """The lineage record in a Parquet file's footer.

    Raises pyarrow's errors, OSError, KeyError or pydantic's ValidationError where there is none that can be read.
    """
    import pyarrow.parquet as pq

    return LineageRecord.model_validate_json((pq.read_schema(file).metadata or {})[FOOTER_KEY])


def _version_in(schema: pa.Schema) -> int:
    """The version of the columns that a file was written with; 1 where its footer does not say."""
    import pyarrow as pa

    try:
        return int(json.loads((schema.metadata or {}).get(FOOTER_KEY, b"{}")).get("table_version", 1))
    except (ValueError, TypeError, AttributeError) as error:
        raise pa.ArrowInvalid("the lineage record in the footer cannot be read") from error


def _with_dictionaries(table: pa.Table) -> pa.Table:
    """Texts as dictionary arrays, as they are read from a file of today's columns."""
    import pyarrow as pa

    for number, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            table = table.set_column(number, field.name, table.column(number).dictionary_encode())
    return table


def _write_local(path: Path, content: bytes) -> None:
    with _finished(path) as temporary, _new_file(temporary) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        temporary.replace(path)


def _linked(version: Path, path: Path) -> bool:
    """Make the version the current file by a link, which takes no more space; False where there can be none."""
    with _finished(path) as temporary, version.open("rb") as file:
        # Another process would take the draft for one left behind.
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            temporary.hardlink_to(version)
        except OSError as error:
            if error.errno in {errno.EPERM, errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP}:
                return False
            raise
        temporary.replace(path)
    return True


@contextlib.contextmanager
def _finished(path: Path) -> Iterator[Path]:
    """A name for a draft of the file, which does not stay; drafts that killed processes left are removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left_behind in path.parent.glob(".*.tmp"):
        _remove_unless_being_written(left_behind)
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _new_file(path: Path) -> BinaryIO:
    """An empty file that is locked as long as it is open."""
    while True:
        file = path.open("xb")
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        # Another process took it for one left behind, before it was locked.
        file.close()


def _remove_unless_being_written(path: Path) -> None:
    """Remove what a process that was killed left half written; one that lives holds a lock on its file."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file, contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)


def _encode(table: pa.Table, record: LineageRecord) -> bytes:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    footer = {FOOTER_KEY: record.model_dump_json().encode()}
    pq.write_table(table.replace_schema_metadata(footer), buffer, compression="zstd")
    return buffer.getvalue()
