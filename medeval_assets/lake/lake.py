"""Lake: the Parquet files, one a cell, each with its lineage record in the footer."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem
from pydantic import ValidationError

from medeval_assets.catalog.task_spec import Access
from medeval_assets.errors import BadInput, MedevalError, Problem
from medeval_assets.lake.code_identity import code_identity
from medeval_assets.lake.content_hash import content_sha256
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lineage_record import Derivation, LineageRecord

if TYPE_CHECKING:
    import pyarrow as pa

FOOTER_KEY = b"medeval.lineage"
_FILE = "data.parquet"
_VERSIONS = "_versions"


class Lake:
    """The folder or bucket that holds the tables, on any fsspec path.

    `<asset>/model=…/task=…/data.parquet` is the current table, `_versions/…/<sha256 of the file>.parquet` an earlier
    one. A write is whole or absent: readers see the old file or the new one, never a part.
    """

    def __init__(self, url: str | Path) -> None:
        self._fs, root = fsspec.core.url_to_fs(str(url))
        self.root = str(root).rstrip("/")

    def path(self, key: LakeKey) -> str:
        return f"{self.root}/{key.folder}/{_FILE}"

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
            rows=table.num_rows,
            run_id=run_id,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            access=access,
            licence=licence,
            synthetic=synthetic,
            environment=dict(environment or {}),
            **asdict(code),
        )
        self._put(key, _encode(table, record))
        return record

    def read(self, key: LakeKey, columns: Sequence[str] | None = None) -> pa.Table:
        """The current table, or some of its columns; BadInput where it is missing or unreadable."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with self._open(key) as file:
                return pq.read_table(file, columns=None if columns is None else list(columns))
        except FileNotFoundError as error:
            raise BadInput([Problem(str(key), "there is no such table", "Materialize it first.")]) from error
        except (pa.ArrowException, OSError) as error:
            raise BadInput([self._unreadable(key)]) from error

    def rows(self, key: LakeKey) -> list[dict[str, Any]]:
        """The current table's rows; maps come as dictionaries."""
        import pyarrow as pa

        table = self.read(key)
        maps = [field.name for field in table.schema if pa.types.is_map(field.type)]
        rows: list[dict[str, Any]] = table.to_pylist()
        for row in rows:
            for name in maps:
                row[name] = dict(row[name])
        return rows

    def record(self, key: LakeKey) -> LineageRecord | None:
        """The current table's lineage record, read from the footer alone; None where there is no table."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with self._open(key) as file:
                metadata = pq.read_schema(file).metadata or {}
            return LineageRecord.model_validate_json(metadata[FOOTER_KEY])
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
                    table = pq.ParquetFile(file, read_dictionary=texts).read(columns=list(columns), use_threads=False)
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
        walk = os.walk if isinstance(self._fs, LocalFileSystem) else self._fs.walk
        found = [folder for folder, _, files in walk(f"{self.root}/{asset}") if _FILE in files]
        prefix = len(self.root) + 1
        return sorted({LakeKey.from_folder(str(folder)[prefix:]) for folder in found})

    def _open(self, key: LakeKey) -> Any:
        """The current table's file; a local one is read by Arrow itself, which is faster."""
        import pyarrow as pa

        path = self.path(key)
        return pa.OSFile(path) if isinstance(self._fs, LocalFileSystem) else self._fs.open(path, "rb")

    def _unreadable(self, key: LakeKey) -> Problem:
        return Problem(f"{key} ({key.folder}/{_FILE})", "the table cannot be read", "Materialize it again.")

    def _put(self, key: LakeKey, content: bytes) -> None:
        path = self.path(key)
        try:
            if isinstance(self._fs, LocalFileSystem):
                self._put_local(key, Path(path), content)
            else:
                if self._fs.exists(path):
                    previous = self._fs.cat_file(path)
                    self._fs.pipe_file(self._version_path(key, previous), previous)
                self._fs.pipe_file(path, content)
        except OSError as error:
            full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
            remedy = "Free some space and run again." if full else "Check the lake's folder and its permissions."
            reason = error.strerror or type(error).__name__
            raise BadInput(
                [
                    Problem(
                        str(key),
                        f"it could not be written ({reason}); what was there before is intact",
                        remedy,
                    )
                ]
            ) from error

    def _version_path(self, key: LakeKey, content: bytes) -> str:
        return f"{self.root}/{_VERSIONS}/{key.folder}/{hashlib.sha256(content).hexdigest()}.parquet"

    def _put_local(self, key: LakeKey, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A hard link keeps the previous version without copying it, and before it stops being the current one.
        with contextlib.suppress(FileNotFoundError):
            version = Path(self._version_path(key, path.read_bytes()))
            version.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                version.hardlink_to(path)
        for left_behind in path.parent.glob(".*.tmp"):
            _remove_unless_being_written(left_behind)
        temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            with _new_file(temporary) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


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
