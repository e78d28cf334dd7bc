"""Checking one file: its bytes against its name, its record against its place, its rows against its record."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from medeval_assets.audit.verdict import Kind, Place, Verdict
from medeval_assets.errors import BadInput
from medeval_assets.lake.content_hash import content_sha256
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import FOOTER_KEY, REMOVED, VERSIONS
from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.lake.migrations import TABLE_VERSIONS, table_version, upgraded
from medeval_assets.lake.removal import Removal

if TYPE_CHECKING:
    import pyarrow as pa

CHECK_VERSION = 1
"""Raise it when `facts_of` finds other things than before: what older audits remember is then read again."""

_FOLDER = r"(?P<asset>[a-z_]+)(?:/model=(?P<model>[^/=]+))?(?:/task=(?P<task>[^/=]+))?"
_CURRENT = re.compile(rf"{_FOLDER}/data\.parquet")
_VERSION = re.compile(rf"{VERSIONS}/{_FOLDER}/(?P<sha256>[0-9a-f]{{64}})\.parquet")
_REMOVAL = re.compile(rf"{REMOVED}/{_FOLDER}/(?P<sha256>[0-9a-f]{{64}})\.json")
_NO_TEXT = re.compile("[\ud800-\udfff]")
_SEAL = re.compile(r"_seals/[0-9a-f]{64}\.json(\.sig|\.minisig)?")


class FileFacts(NamedTuple):
    """What the bytes of a table's file say, wherever it lies.

    record: the lineage record as JSON; "" where none can be read. content_sha256: of its rows, hashed again.
    wrong: what does not fit together, or "". decoded: whether its rows were looked at.
    """

    file_sha256: str
    record: str = ""
    content_sha256: str = ""
    wrong: str = ""
    decoded: bool = False


def place_of(path: str) -> Place:
    """What a path below the lake's root stands for."""
    if _NO_TEXT.search(path):
        return Place("other")  # bytes that are no text; no key is written like that
    if match := _CURRENT.fullmatch(path):
        return _place("current", match)
    if match := _VERSION.fullmatch(path):
        return _place("version", match, match["sha256"])
    if match := _REMOVAL.fullmatch(path):
        return _place("removal", match, match["sha256"])
    return Place("other")


def is_seal(path: str) -> bool:
    """Whether it is a manifest of an earlier seal, or its signature; `medeval audit --verify` checks what is in it."""
    return _SEAL.fullmatch(path) is not None


def facts_of(content: bytes, expected: Collection[str]) -> FileFacts:
    """Read a table's file. expected: hashes that its bytes may have; the rows of one with another are not decoded."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file_sha256 = hashlib.sha256(content).hexdigest()
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
    except Exception:  # a damaged footer breaks its reader in more ways than one
        return FileFacts(file_sha256, wrong="it cannot be read as Parquet")
    try:
        text = (file.schema_arrow.metadata or {})[FOOTER_KEY].decode()
        record = LineageRecord.model_validate_json(text)
    except (KeyError, UnicodeDecodeError, ValidationError):
        return FileFacts(file_sha256, wrong="no lineage record can be read from its footer")
    if file_sha256 not in expected:
        return FileFacts(file_sha256, text)
    try:
        table = file.read(use_threads=False)
        wrong = _columns_wrong(record, table)
        found = "" if wrong else content_sha256(table)
    except Exception:  # so does a damaged page
        return FileFacts(file_sha256, wrong="its rows cannot be read", decoded=True)
    if not wrong and table.num_rows != record.rows:
        wrong = f"it has {table.num_rows} rows, and its record says {record.rows}"
    if not wrong and found != record.content_sha256:
        wrong = "its content is not what its record says"
    return FileFacts(file_sha256, text, found, wrong, decoded=True)


def verdict_of(
    place: Place, facts: FileFacts, record: LineageRecord | None, archived: Collection[str]
) -> tuple[Verdict, str]:
    """What a table's file is, by itself. archived: hashes in the names of the archive files of its table."""
    if record is None:
        return Verdict.UNREADABLE, facts.wrong
    if place.kind == "version" and facts.file_sha256 != place.sha256:
        return Verdict.TAMPERED, "its bytes are not what its name says"
    if place.kind == "current" and facts.file_sha256 not in archived:
        return Verdict.TAMPERED, "it is none of the versions in the archive"
    if record.key != place.key:
        return Verdict.TAMPERED, "its record is the one of another table"
    if facts.wrong:
        return Verdict.TAMPERED, facts.wrong
    return Verdict.INTACT, ""


def removal_verdict(place: Place, content: bytes) -> tuple[Verdict, str, Removal | None]:
    """What the proof of a removal is, by itself."""
    try:
        removal = Removal.from_file(content)
    except ValueError:
        return Verdict.UNREADABLE, "the proof of the removal cannot be read", None
    if removal.record.key != place.key or removal.file_sha256 != place.sha256:
        return Verdict.TAMPERED, "it is the proof of another removal", None
    if content != removal.as_file():
        return Verdict.TAMPERED, "it is not as it was written", None
    return Verdict.INTACT, "", removal


def _place(kind: Kind, match: re.Match[str], sha256: str = "") -> Place:
    if match["asset"] not in TABLE_VERSIONS:
        return Place("other")
    return Place(kind, LakeKey(match["asset"], match["model"] or "", match["task"] or ""), sha256)


def _columns_wrong(record: LineageRecord, table: pa.Table) -> str:
    """What is wrong with the columns, or ""."""
    if record.asset not in TABLE_VERSIONS:
        return f"this release knows no table {record.asset!r}"
    if record.table_version != table_version(record.asset):
        try:
            table = upgraded(record.asset, record.table_version, table)
        except BadInput as error:
            return error.problems[0].what
    if not table.schema.equals(_declared(record.asset)):
        return "its columns are not those declared for its table"
    return ""


@cache
def _declared(asset: str) -> pa.Schema:
    from medeval_assets.lake.tables import arrow_schema

    return arrow_schema(asset)
