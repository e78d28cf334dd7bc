"""The hash of a table's content, the same however the file that holds it is encoded."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def content_sha256(table: pa.Table) -> str:
    """SHA-256 over the column names and types, then every row as one line of canonical JSON (keys sorted, ASCII)."""
    digest = hashlib.sha256()
    header = [[field.name, _type_name(field.type)] for field in table.schema]
    digest.update(json.dumps(header).encode())
    for batch in table.to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            digest.update(b"\n")
            digest.update(json.dumps(row, sort_keys=True, separators=(",", ":")).encode())
    return digest.hexdigest()


def _type_name(kind: pa.DataType) -> str:
    """A type without the names that a file format gives to the items of lists and maps: they are no content."""
    import pyarrow as pa

    if pa.types.is_list(kind):
        return f"list<{_type_name(kind.value_type)}>"
    if pa.types.is_map(kind):
        return f"map<{_type_name(kind.key_type)}, {_type_name(kind.item_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{', '.join(f'{field.name}: {_type_name(field.type)}' for field in kind)}>"
    return str(kind)
