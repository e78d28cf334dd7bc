"""The lake as a DuckDB database: a view a table, over the lake's own files, so that no row is copied.

Views name the folder of the lake where it is now, and find its files when they are read: tables that are written later
show, and what was purged is gone. Who moves the lake writes the database again.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medeval_assets.catalog.quoted import quoted
from medeval_assets.catalog.task_spec import Access
from medeval_assets.errors import BadInput, Problem
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import FOOTER_KEY, Lake
from medeval_assets.lake.migrations import TABLE_VERSIONS

if TYPE_CHECKING:
    import duckdb

CATALOGUE, LINEAGE = "catalogue", "lineage"

FOLDERS: Mapping[str, tuple[str, ...]] = {
    "datasets": ("task",),
    "prompt_sets": ("task",),
    "generations": ("model", "task"),
    "scores": ("model", "task"),
    "metric_tables": ("model", "task"),
    "repeat_checks": ("model", "task"),
    "leaderboard": (),
    "comparisons": (),
    "lineage_audit": (),
}
"""Asset → what the folders of its tables are named after, from the outside in."""

_KEYS = {"model": "Model key, from the folder of the file", "task": "Task key, from the folder of the file"}

_LINEAGE_COLUMNS = {
    "asset": ("split_part(place, '/', 1)", "Asset whose table it is"),
    "model": ("regexp_extract(place, '/model=([^/]*)/', 1)", "Model key, or empty"),
    "task": ("regexp_extract(place, '/task=([^/]*)/', 1)", "Task key, or empty"),
    "access": ("record->>'$.access'", "Who may see the rows"),
    "licence": ("record->>'$.licence'", "Licences of the data behind the rows"),
    "synthetic": ("try_cast(record->>'$.synthetic' AS BOOLEAN)", "Whether it rests on the project's synthetic samples"),
    "rows": ("try_cast(record->>'$.rows' AS BIGINT)", "How many rows it has"),
    "created_at": ("try_cast(record->>'$.created_at' AS TIMESTAMP)", "When it was written, UTC"),
    "content_sha256": ("record->>'$.content_sha256'", "Hash of its rows"),
    "table_version": ("coalesce(try_cast(record->>'$.table_version' AS BIGINT), 1)", "Version of its columns"),
    "record": ("record", "The whole record, as docs/lineage_record.schema.json says"),
}
"""Column of the view of lineage records → how it is read, and what it means."""

_ABOUT = {
    CATALOGUE: "Every column of every view, with its type and meaning; when this was written, its rows had these "
    "access classes, and all, some or none of them rested on synthetic samples",
    LINEAGE: "One row a table of the lake: what its lineage record tells of it",
}


@dataclass(frozen=True)
class _Table:
    """A current table, as its record tells of it."""

    key: LakeKey
    version: int
    access: str | None
    synthetic: bool | None


def write_catalog(lake: Lake, path: Path) -> list[str]:
    """Write the database and return the names of its views; a table of which the lake has no file gets none.

    Beside the views of tables stand `lineage`, a view of their records, and the table `catalogue`. The file is whole or
    the one that was there before. BadInput where it cannot be written or would take the place of something else, where
    the lake cannot be read from a database, and where a table has older columns than those of today, which a view
    cannot bring up to date.
    """
    import duckdb

    _refuse_unreachable(lake)
    _refuse_others(path)
    draft = path.absolute().with_name(f".{uuid.uuid4().hex}.tmp")
    where, unwritten = quoted(path.name), "the database cannot be written"
    try:
        with _told(where, unwritten, "Check the folder and its permissions."):
            database = duckdb.connect(draft)
        with database:
            # Nothing is written before the end, so that it is clear whose fault an error is.
            database.begin()
            with _told("the lake", "its tables cannot be read", "Ask `medeval audit` which."):
                views = _add_views(database, lake)
            with _told(where, unwritten, "Free some space and try again."):
                database.commit()
                database.execute("CHECKPOINT")
        with _told(where, unwritten, "Check the folder and its permissions."):
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
        draft.with_name(f"{draft.name}.wal").unlink(missing_ok=True)
    return views


def _refuse_unreachable(lake: Lake) -> None:
    """BadInput where DuckDB cannot find the lake's files by itself."""
    if not lake.is_local:
        what, remedy = "its views would need the key to the bucket", "Copy the lake to this machine, and name the copy"
    elif "\\" in lake.root or not lake.root.isprintable():
        what, remedy = "DuckDB finds no files in a folder with such a name", "Move the lake, and name the new folder"
    else:
        return
    raise BadInput([Problem("the lake", what, f"{remedy} in MEDEVAL_LAKE.")])


def _refuse_others(path: Path) -> None:
    """BadInput where the file is there and not a database of ours, with nothing of others in it."""
    import duckdb

    if not path.exists():
        return
    known = {CATALOGUE, LINEAGE, *FOLDERS}
    found: set[str] = set()
    if path.is_file():
        try:
            with duckdb.connect(path.absolute(), read_only=True) as database:
                found = {name for (name,) in database.execute("SELECT name FROM (SHOW ALL TABLES)").fetchall()}
        except duckdb.Error:
            pass  # another file, or one that somebody is writing to
    if CATALOGUE not in found or not found <= known:
        what = "it is there already, and not a database that this command wrote"
        raise BadInput([Problem(quoted(path.name), what, "Name another file, or remove it first.")])


def _add_views(database: duckdb.DuckDBPyConnection, lake: Lake) -> list[str]:
    """Add all that the database holds; returns the names of the views of tables."""
    from medeval_assets.lake.tables import TABLES, column_descriptions

    columns = (
        '"table" VARCHAR, "column" VARCHAR, type VARCHAR, description VARCHAR, access VARCHAR[], synthetic VARCHAR'
    )
    database.execute(f"CREATE TABLE {CATALOGUE} ({columns})")
    database.execute(f"COMMENT ON TABLE {CATALOGUE} IS {_text(_ABOUT[CATALOGUE])}")
    assets = [
        asset
        for asset in TABLES
        if database.execute("SELECT file FROM glob(?) LIMIT 1", [_files(lake, asset)]).fetchone()
    ]
    if not assets:
        return []
    _add_lineage(database, lake)
    tables = [table for table in _tables(database) if table.key.asset in assets]
    _refuse_older_columns(tables)
    for asset in assets:
        meanings = {name: _KEYS[name] for name in FOLDERS[asset]}
        meanings |= {name: about for name, _, about in column_descriptions(asset)}
        _add_view(database, lake, asset, list(meanings))
        about = " ".join((TABLES[asset].__doc__ or "").split())
        _describe(database, asset, about, meanings, [table for table in tables if table.key.asset == asset])
    meanings = {name: about for name, (_, about) in _LINEAGE_COLUMNS.items()}
    _describe(database, LINEAGE, _ABOUT[LINEAGE], meanings, [])
    return assets


def _add_lineage(database: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    """The view of the records in the footers of current tables."""
    shown = ", ".join(f"{expression} AS {_name(name)}" for name, (expression, _) in _LINEAGE_COLUMNS.items())
    files = f"{_as_pattern(lake.root)}/[!_]*/**/data.parquet"
    place = f"substr(file_name, {len(lake.root) + 2})"
    record = "try_cast(try(decode(value)) AS JSON)"
    database.execute(
        f"CREATE VIEW {LINEAGE} AS SELECT {shown} FROM (SELECT {place} AS place, {record} AS record "  # noqa: S608 - our words
        f"FROM parquet_kv_metadata({_text(files)}) WHERE key = {_text(FOOTER_KEY.decode())})"
    )


def _tables(database: duckdb.DuckDBPyConnection) -> list[_Table]:
    columns = "asset, model, task, table_version, access, synthetic"
    found = database.execute(f"SELECT {columns} FROM {LINEAGE} ORDER BY ALL").fetchall()  # noqa: S608 - our words
    return [_Table(LakeKey(asset, model, task), *told) for asset, model, task, *told in found]


def _refuse_older_columns(tables: Sequence[_Table]) -> None:
    older = [
        Problem(
            quoted(table.key),
            f"its columns are of version {table.version}, and a view shows those of version {today}",
            "Materialize it again.",
        )
        for table in tables
        if table.version != (today := TABLE_VERSIONS[table.key.asset])
    ]
    if older:
        raise BadInput(older)


def _add_view(database: duckdb.DuckDBPyConnection, lake: Lake, asset: str, columns: list[str]) -> None:
    folders = FOLDERS[asset]
    # DuckDB's own reading of such folders looks at all of the path, also above the lake, and guesses types.
    keys = {
        name: f"substr(parse_path(filename, 'forward_slash')[{place - len(folders) - 1}], {len(name) + 2})"
        for place, name in enumerate(folders)
    }
    shown = ", ".join(f"{keys[name]} AS {_name(name)}" if name in keys else _name(name) for name in columns)
    database.execute(
        f"CREATE VIEW {_name(asset)} AS SELECT {shown} "  # noqa: S608 - names and texts are quoted
        f"FROM read_parquet({_text(_files(lake, asset))}, hive_partitioning = false)"
    )


def _describe(
    database: duckdb.DuckDBPyConnection, view: str, about: str, meanings: Mapping[str, str], tables: Sequence[_Table]
) -> None:
    """Say what a view of these tables and its columns mean, as comments and in the catalogue."""
    database.execute(f"COMMENT ON VIEW {_name(view)} IS {_text(about)}")
    access = [one.value for one in Access if any(table.access == one.value for table in tables)]
    made_up = {table.synthetic for table in tables}
    synthetic = "some" if len(made_up) > 1 else "all" if True in made_up else "none"
    for name, kind, *_ in database.execute(f"DESCRIBE {_name(view)}").fetchall():
        database.execute(f"COMMENT ON COLUMN {_name(view)}.{_name(name)} IS {_text(meanings[name])}")
        row = [view, name, kind, meanings[name], access, synthetic]
        database.execute(f"INSERT INTO {CATALOGUE} VALUES (?, ?, ?, ?, ?, ?)", row)  # noqa: S608 - our words


def _files(lake: Lake, asset: str) -> str:
    """The pattern of an asset's current tables."""
    return "/".join([_as_pattern(lake.root), asset, *(f"{name}=*" for name in FOLDERS[asset]), "data.parquet"])


def _as_pattern(path: str) -> str:
    """The pattern that matches this path alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in path)


def _name(name: str) -> str:
    """An SQL name, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    """An SQL text, whatever is in it."""
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def _told(where: str, what: str, remedy: str) -> Iterator[None]:
    """DuckDB's errors in our words: its own may quote a file."""
    import duckdb

    try:
        yield
    except (OSError, duckdb.Error) as error:
        raise BadInput([Problem(where, f"{what} ({type(error).__name__})", remedy)]) from error
