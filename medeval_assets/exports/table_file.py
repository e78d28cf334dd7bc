"""TableFile: a table as the footer of its file tells of it. Of its rows nothing is decoded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from medeval_assets.errors import BadInput, Problem
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake, Version, record_in
from medeval_assets.lake.lineage_record import LineageRecord

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


@dataclass(frozen=True)
class ColumnFacts:
    """A column of a file. kind: its Arrow type.

    nulls, least, most: None where the footer does not say: the nulls of lists and maps, the ends of what is no number.
    """

    name: str
    kind: str
    nulls: int | None
    least: float | None
    most: float | None


@dataclass(frozen=True)
class TableFile:
    """A table's record, the size of its file in bytes, and its columns as they were written."""

    record: LineageRecord
    size: int
    columns: Sequence[ColumnFacts]


def current_file(lake: Lake, key: LakeKey) -> TableFile:
    """The current table, read at one moment. BadInput where it is missing, unreadable or another table's."""
    try:
        content = lake.fs.cat_file(lake.path(key))
    except FileNotFoundError as error:
        raise BadInput([Problem(str(key), "there is no such table any more", "Export again.")]) from error
    except OSError as error:
        raise lake.out_of_reach(str(key), error) from error
    return _file_of(content, key, str(key))


def version_file(lake: Lake, version: Version) -> TableFile:
    """A version in the archive. BadInput where it is missing, unreadable or another table's."""
    return _file_of(lake.version_content(version), version.key, f"{version.key}, version {version.file_sha256[:12]}…")


def _file_of(content: bytes, key: LakeKey, where: str) -> TableFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pa.BufferReader(content)
        record, footer = record_in(file), pq.read_metadata(file)
        columns = [_facts(footer, field) for field in footer.schema.to_arrow_schema()]
    except (pa.ArrowException, OSError, KeyError, ValidationError) as error:
        raise BadInput([Problem(where, "the table cannot be read", "Ask `medeval audit`.")]) from error
    if record.key != key:
        raise BadInput([Problem(where, "its record is that of another table", "Ask `medeval audit`.")])
    return TableFile(record, len(content), columns)


def _facts(footer: pq.FileMetaData, field: pa.Field) -> ColumnFacts:
    import pyarrow as pa

    statistics = [
        column.statistics
        for group in map(footer.row_group, range(footer.num_row_groups))
        for column in map(group.column, range(group.num_columns))
        if column.path_in_schema == field.name
    ]
    told = not footer.num_rows or all(one is not None and one.has_null_count for one in statistics)
    number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    # The ends of texts stand in the footer, too: these are words of examples.
    ends = [one for one in statistics if number and one is not None and one.has_min_max]
    return ColumnFacts(
        name=field.name,
        kind=str(field.type),
        nulls=sum(one.null_count for one in statistics if one) if told and not pa.types.is_nested(field.type) else None,
        least=_finite(min((one.min for one in ends), default=None)),
        most=_finite(max((one.max for one in ends), default=None)),
    )


def _finite(value: float | None) -> float | None:
    """The number, where JSON has one for it; Parquet's -0.0 as 0."""
    return value + 0 if value is not None and math.isfinite(value) else None
