"""The lake as a DuckDB database: a view a table, over the lake's own files, so that no row is copied."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medeval_assets.catalog.quoted import quoted
from medeval_assets.catalog.task_spec import Access
from medeval_assets.errors import BadInput, Problem
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.migrations import table_version

if TYPE_CHECKING:
    import duckdb

PARTITIONS = {
    "model": "Model key, from the folder of the file",
    "task": "Task key, from the folder of the file",
}
"""Columns that stand in the names of the folders and not in the files."""


def write_catalog(lake: Lake, path: Path) -> list[str]:
    """Write the database and return the names of its views; a table of which the lake has no file gets none.

    Its views read the lake where it is now: who moves the lake writes the database again. Beside them stands the table
    `catalogue`: every column, its type, what it means, and who may see the rows. The file is whole or the one that was
    there before. BadInput where it cannot be written, the lake is not on this machine, or a table has older columns
    than those of today, which a view cannot bring up to date.
    """
    import duckdb

    from medeval_assets.lake.tables import TABLES

    if not lake.is_local:
        what = "its views would need the key to the bucket"
        raise BadInput([Problem("the lake", what, "Copy the lake to this machine and set MEDEVAL_LAKE to the copy.")])
    found = {asset: keys for asset in TABLES if (keys := lake.keys(asset))}
    _refuse_older_columns(lake, found)
    draft = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with duckdb.connect(draft) as database:
            database.execute(
                "CREATE TABLE catalogue "
                '("table" VARCHAR, "column" VARCHAR, "type" VARCHAR, description VARCHAR, access VARCHAR[])'
            )
            comment = "Every column of every view: its type, what it means, and the access classes of its rows"
            database.execute(f"COMMENT ON TABLE catalogue IS {_text(comment)}")
            for asset, keys in found.items():
                _add_view(database, lake, asset, keys)
        draft.replace(path)
    except (OSError, duckdb.Error) as error:
        what, remedy = (
            f"the database cannot be written ({type(error).__name__})",
            "Check the folder and its permissions.",
        )
        raise BadInput([Problem(quoted(path.name), what, remedy)]) from error
    finally:
        draft.unlink(missing_ok=True)
        draft.with_name(f"{draft.name}.wal").unlink(missing_ok=True)
    return list(found)


def _refuse_older_columns(lake: Lake, found: dict[str, list[LakeKey]]) -> None:
    older = [
        Problem(str(record.key), f"its columns are of version {record.table_version}", "Materialize it again.")
        for keys in found.values()
        for record in lake.records(keys)
        if record.table_version != table_version(record.asset)
    ]
    if older:
        raise BadInput(older)


def _add_view(database: duckdb.DuckDBPyConnection, lake: Lake, asset: str, keys: Sequence[LakeKey]) -> None:
    """The view of an asset's files, with what its columns mean; a row in the catalogue for each."""
    from medeval_assets.lake.tables import TABLES, column_descriptions

    columns = {name: (kind, about) for name, kind, about in column_descriptions(asset)}
    partitions = [name for name in PARTITIONS if any(getattr(key, name) for key in keys) and name not in columns]
    files = "/".join([f"{lake.root}/{asset}", *(f"{name}=*" for name in partitions), "data.parquet"])
    # The folders' names are texts, whatever they look like: a model may be called 2024 or 007.
    kinds = "{" + ", ".join(f"{_text(name)}: VARCHAR" for name in partitions) + "}"
    partitioned = f"hive_partitioning = true, hive_types = {kinds}" if partitions else "hive_partitioning = false"
    shown = ", ".join(_name(name) for name in [*partitions, *columns])
    database.execute(
        f"CREATE VIEW {_name(asset)} AS SELECT {shown} "  # noqa: S608 - names and texts are quoted
        f"FROM read_parquet({_text(files)}, {partitioned}, union_by_name = true)"
    )
    about = " ".join((TABLES[asset].__doc__ or "").split())
    database.execute(f"COMMENT ON VIEW {_name(asset)} IS {_text(about)}")
    classes = {record.access for record in lake.records(keys)}
    access = [one.value for one in Access if one in classes]
    meanings = {name: PARTITIONS[name] for name in partitions} | {name: about for name, (_, about) in columns.items()}
    kinds_shown = database.execute(f"DESCRIBE {_name(asset)}").fetchall()
    for name, kind, *_ in kinds_shown:
        database.execute(f"COMMENT ON COLUMN {_name(asset)}.{_name(name)} IS {_text(meanings[name])}")
        database.execute("INSERT INTO catalogue VALUES (?, ?, ?, ?, ?)", [asset, name, kind, meanings[name], access])


def _name(name: str) -> str:
    """An SQL name, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    """An SQL text, whatever is in it."""
    return "'" + text.replace("'", "''") + "'"
