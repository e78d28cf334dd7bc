"""Lake: the Parquet files, one a cell, each with its lineage record in the footer."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fsspec.implementations.local import LocalFileSystem

from medeval_assets.catalog.task_spec import Access
from medeval_assets.errors import BadInput, MedevalError, Problem
from medeval_assets.lake.code_identity import code_identity
from medeval_assets.lake.content_hash import content_sha256
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake_file import LakeFile, files_in_folder, files_in_store
from medeval_assets.lake.lineage_record import Derivation, LineageRecord
from medeval_assets.lake.migrations import table_version, upgraded
from medeval_assets.lake.object_store import open_storage
from medeval_assets.lake.removal import Reason, Removal
from medeval_assets.lake.whole_file import is_draft, link_whole, remove_whole, write_whole
from medeval_assets.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

FOOTER_KEY = b"medeval.lineage"
VERSIONS = "_versions"
REMOVED = "_removed"
_FILE = "data.parquet"
_VERSION = re.compile(r"[0-9a-f]{64}\.parquet")
_UNREAD = "it cannot be read ({})"
_UNWRITTEN = "it could not be written ({}); what was there before is intact"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Version:
    """A table in the archive, found by the SHA-256 of its file."""

    key: LakeKey
    file_sha256: str
    path: str


class LakeOutOfReach(BadInput):
    """The lake's folder or bucket cannot be read or written, which says nothing about the tables in it."""


class Lake:
    """The folder or bucket that holds the tables, on any fsspec path.

    `<asset>/model=…/task=…/data.parquet` is the current table. Every table that was ever current is in the archive,
    `_versions/…/<sha256 of the file>.parquet`, where a new one is put first: so no version is lost, however many write
    at once, and what the current file must hash to is the name of its own version. `_removed/…` tells what was taken
    out on purpose. A write is whole or absent: readers see the old file or the new one, never a part.
    """

    def __init__(self, url: str | Path) -> None:
        try:
            self.fs, root = open_storage(str(url))
        except OSError as error:
            raise LakeOutOfReach([Problem("MEDEVAL_LAKE", str(error.strerror), "Check its URL.")]) from error
        self.root = root.rstrip("/")

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

        Raises MedevalError when a row does not fit the table, LakeOutOfReach when there is no space or no permission.
        In both cases the file that was there stays as it was.
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
                    return _table_in(file, None if columns is None else list(columns))
                table = upgraded(key.asset, version, _table_in(file))
                return table if columns is None else table.select(list(columns))
        except FileNotFoundError as error:
            raise BadInput([Problem(str(key), "there is no such table", "Materialize it first.")]) from error
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
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
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
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
                    written = pq.ParquetFile(file, read_dictionary=texts, page_checksum_verification=True)
                    version = _version_in(written.schema_arrow)
                    if version == table_version(key.asset):
                        table = written.read(columns=list(columns), use_threads=False)
                    else:
                        older = _table_in(file, use_threads=False)
                        table = _with_dictionaries(upgraded(key.asset, version, older).select(list(columns)))
            except LakeOutOfReach:
                raise
            except BadInput as error:
                return error.problems[0]
            except (pa.ArrowException, OSError, KeyError, ValueError):
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
        except LakeOutOfReach:
            raise  # whatever cannot be looked at now need not be made again
        except BadInput:
            return None
        return record if record is not None and record.derivation == derivation else None

    def keys(self, asset: str) -> list[LakeKey]:
        """Every current table of an asset, in order."""
        paths = [file.path.rpartition("/") for file in self.all_files(asset)]
        found = [LakeKey.named(folder) for folder, _, name in paths if name == _FILE]
        return sorted(key for key in found if key is not None)

    def _open(self, key: LakeKey) -> Any:
        """The current table's file, as it is at one moment. FileNotFoundError where there is none."""
        return self._open_path(self.path(key), str(key))

    def _open_path(self, path: str, where: str) -> Any:
        """A file of the lake; a local one is read by Arrow itself, which is faster, another one in a single request."""
        import pyarrow as pa

        try:
            return pa.OSFile(path) if self.is_local else pa.BufferReader(self.fs.cat_file(path))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self.out_of_reach(where, error) from error

    def _unreadable(self, key: LakeKey) -> Problem:
        return Problem(f"{key} ({key.folder}/{_FILE})", "the table cannot be read", "Materialize it again.")

    def versions(self, key: LakeKey) -> list[Version]:
        """Every version of the table that is in the archive, the current one included, by the hash of its file."""
        folder = f"{VERSIONS}/{key.folder}"
        paths = [file.path.rpartition("/") for file in self.all_files(folder)]
        names = sorted(name for below, _, name in paths if below == folder and _VERSION.fullmatch(name))
        return [self._version(key, name.removesuffix(".parquet")) for name in names]

    def version_record(self, version: Version) -> LineageRecord:
        """The version's lineage record. BadInput where it cannot be read."""
        import pyarrow as pa

        try:
            with self._open_path(version.path, str(version.key)) as file:
                return record_in(file)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise BadInput([self._unreadable_version(version)]) from error

    def version_table(self, version: Version) -> pa.Table:
        """The version's table. BadInput where it cannot be read."""
        import pyarrow as pa

        try:
            with self._open_path(version.path, str(version.key)) as file:
                return _table_in(file)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise BadInput([self._unreadable_version(version)]) from error

    def version_content(self, version: Version) -> bytes:
        """The version's file as it is. BadInput where there is none."""
        content = self._content(version.path, str(version.key))
        if content is None:
            raise BadInput([self._unreadable_version(version)])
        return content

    def record_with(self, key: LakeKey, content_sha256: str) -> tuple[Version | None, LineageRecord] | None:
        """The record of the table with this content: the current one's (version None), else the newest version's."""
        current = self._record_if_readable(lambda: self.record(key))
        if current is not None and current.content_sha256 == content_sha256:
            return None, current
        found: list[tuple[Version, LineageRecord]] = []
        for version in self.versions(key):
            record = self._record_if_readable(partial(self.version_record, version))
            if record is not None and record.content_sha256 == content_sha256:
                found.append((version, record))
        return max(found, key=lambda one: one[1].created_at, default=None)

    def file_sha256(self, key: LakeKey) -> str:
        """Hash of the current file's bytes; "" where there is none."""
        content = self._content(self.path(key), str(key))
        return "" if content is None else hashlib.sha256(content).hexdigest()

    def all_files(self, below: str = "", *, drafts: bool = False) -> list[LakeFile]:
        """Every file below the root, or below a folder of it, in the order of their paths.

        drafts: with those that are being written, or were when their process was killed.
        """
        with self._in_reach(f"{self.root}/{below}".rstrip("/"), "it cannot be listed ({})"):
            found = files_in_folder(self.root, below) if self.is_local else files_in_store(self.fs, self.root, below)
            files = [file for file in found if drafts or not is_draft(file.path.rpartition("/")[2])]
        return sorted(files, key=lambda file: file.path)

    def archived(self, key: LakeKey) -> Version | None:
        """Put the current table into the archive, where it should be; None where there is none."""
        content = self._content(self.path(key), str(key))
        if content is None:
            return None
        version = self._version(key, hashlib.sha256(content).hexdigest())
        with self._in_reach(str(key), _UNWRITTEN):
            self._place(version.path, content)
        return version

    def remove(self, version: Version, reason: Reason) -> Removal:
        """Take a version out of the lake, also where it is the current one; its record and its hash stay.

        Where that was cut short before, the proof from then stays as it is. BadInput where there is none and the
        version cannot be read.
        """
        proof = f"{self.root}/{REMOVED}/{version.key.folder}/{version.file_sha256}.json"
        removal = self._removal(self._content(proof, str(version.key)))
        if removal is None:
            removal = Removal(
                record=self.version_record(version),
                file_sha256=version.file_sha256,
                removed_at=datetime.now(UTC).isoformat(timespec="microseconds"),
                reason=reason,
            )
            with self._in_reach(str(version.key), _UNWRITTEN):
                self._place(proof, removal.as_file())
        self.discard(version)
        return removal

    def discard(self, version: Version) -> None:
        """Take a version out of the lake, also where it is the current one, without any proof of what it was."""
        with self._in_reach(str(version.key), "it could not be removed ({})"):
            if self.file_sha256(version.key) == version.file_sha256:
                self.remove_file(self.path(version.key))
            self.remove_file(version.path)

    def remove_file(self, path: str) -> None:
        """Remove a file, where it is there. OSError where that cannot be."""
        if self.is_local:
            remove_whole(Path(path))
        else:
            with contextlib.suppress(FileNotFoundError):
                self.fs.rm_file(path)

    def removals(self, key: LakeKey | None = None) -> list[Removal]:
        """What was removed on purpose, of one table or of all, the oldest first."""
        files = self.all_files(f"{REMOVED}/{key.folder}" if key else REMOVED)
        paths = [file.path for file in files if file.path.endswith(".json")]
        found = {path: self._removal(self._content(f"{self.root}/{path}", path)) for path in paths}
        if unreadable := [path for path, removal in found.items() if removal is None]:
            what, remedy = "the proof of a removal cannot be read", "Restore it from a backup, or ask `medeval audit`."
            raise BadInput([Problem(path, what, remedy) for path in unreadable])
        return sorted(
            (one for one in found.values() if one is not None and (key is None or one.record.key == key)),
            key=lambda one: (one.removed_at, str(one.record.key), one.file_sha256),
        )

    def _removal(self, content: bytes | None) -> Removal | None:
        """The removal that a file tells of; None where there is none that can be read."""
        try:
            return None if content is None else Removal.from_file(content)
        except ValueError:
            return None

    def _content(self, path: str, where: str) -> bytes | None:
        """A file's bytes, all of one moment; None where there is no such file."""
        with self._in_reach(where, _UNREAD):
            try:
                return bytes(self.fs.cat_file(path))
            except FileNotFoundError:
                return None

    def _record_if_readable(self, read: Callable[[], LineageRecord | None]) -> LineageRecord | None:
        try:
            return read()
        except LakeOutOfReach:
            raise
        except BadInput:
            return None

    def _version(self, key: LakeKey, sha256: str) -> Version:
        return Version(key, sha256, self._version_path(key, sha256))

    def _version_path(self, key: LakeKey, sha256: str) -> str:
        return f"{self.root}/{VERSIONS}/{key.folder}/{sha256}.parquet"

    def _unreadable_version(self, version: Version) -> Problem:
        where = f"{version.key} ({VERSIONS}/{version.key.folder}/{version.file_sha256[:12]}….parquet)"
        return Problem(where, "the version cannot be read", "Restore it from a backup, or ask `medeval audit`.")

    def _put(self, key: LakeKey, content: bytes) -> None:
        """Into the archive first, then current."""
        path, version = self.path(key), self._version_path(key, hashlib.sha256(content).hexdigest())
        with self._in_reach(str(key), _UNWRITTEN):
            self._place(version, content)
            if not (self.is_local and link_whole(Path(version), Path(path))):
                self._place(path, content)

    def _place(self, path: str, content: bytes) -> None:
        """A file as a whole or not at all."""
        if self.is_local:
            write_whole(Path(path), content)
        else:
            self.fs.pipe_file(path, content)

    @contextlib.contextmanager
    def _in_reach(self, where: str, what: str) -> Iterator[None]:
        """Errors of the file system in words."""
        try:
            yield
        except OSError as error:
            raise self.out_of_reach(where, error, what) from error

    def out_of_reach(self, where: str, error: OSError, what: str = _UNREAD) -> LakeOutOfReach:
        """An error of the file system in words."""
        if error.errno in _FULL:
            remedy = f"Free some space for {self.root} and run again."
        elif self.is_local:
            remedy = f"Check {self.root} and its permissions."
        else:
            remedy = f"Check the bucket {self.root}, its endpoint, your credentials and what they permit."
        # Arrow says more than the reason.
        reason = os.strerror(error.errno) if self.is_local and error.errno else error.strerror or type(error).__name__
        return LakeOutOfReach([Problem(where, what.format(reason), remedy)])


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

    Raises pyarrow's errors, OSError, KeyError or ValueError where there is none that can be read.
    """
    import pyarrow.parquet as pq

    return LineageRecord.model_validate_json((pq.read_schema(file).metadata or {})[FOOTER_KEY])


def _table_in(file: Any, columns: Sequence[str] | None = None, *, use_threads: bool = True) -> pa.Table:
    """The table in a Parquet file. Errors as of `record_in`, also where a page is not as it was written."""
    import pyarrow.parquet as pq

    # Not `read_table`, which imports pandas.
    table = pq.ParquetFile(file, page_checksum_verification=True).read(columns, use_threads=use_threads)
    return table if columns is None else table.select(columns)


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


def _encode(table: pa.Table, record: LineageRecord) -> bytes:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    footer = {FOOTER_KEY: record.model_dump_json().encode()}
    pq.write_table(table.replace_schema_metadata(footer), buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()
