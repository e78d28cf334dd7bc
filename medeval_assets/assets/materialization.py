"""How every asset body works: each partition is kept in the lake on its own, and one failure does not take the others.

Belongs here: the loop over partitions and what Dagster is told of each. Does not belong here: what an asset computes.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import dagster as dg

from medeval_assets.catalog.task_spec import Access
from medeval_assets.errors import MedevalError
from medeval_assets.lake.column_lineage import sources_of
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.lake.recipe import Recipe

# Dagster gives all partitions of a run one data version (dagster#18649), and compares it with what a partition had
# before. One of a single partition's content, or Dagster's own, which changes with the range, would call cells out of
# date in which nothing moved. What is stale is said by the check `up_to_date`.
_BY_PARTITION = "content_sha256 of each partition"
_DATA_VERSION_TAG = "dagster/data_version"
_PREVIEW_ROWS = 3
_PREVIEW_CHARACTERS = 400


@dataclass(frozen=True)
class Table:
    """A table that is now current, and what the UI shows of it. reused: it was fresh and is the one from before."""

    record: LineageRecord
    reused: bool
    metadata: Mapping[str, Any] = field(default_factory=dict)


Made = tuple[str, Callable[[], Table]]
"""A partition, and what makes its table or raises."""


def keep(lake: Lake, recipe: Recipe, *, run_id: str) -> Table:
    """Make the table, unless the one that is there has the same derivation."""
    fresh = recipe.fresh(lake)
    return Table(fresh or recipe.make(lake, run_id=run_id), reused=fresh is not None)


def each(keys: Iterable[str], make: Callable[[str], Table]) -> Iterator[Made]:
    """The partitions one by one, for `materialize_each`."""
    return ((key, partial(make, key)) for key in keys)


def materialize_each(context: dg.AssetExecutionContext, lake: Lake, making: Iterable[Made]) -> None:
    """Make every partition; what is done stays recorded when another one fails, and the run then fails with a list.

    So it does when the run is interrupted.
    """
    done: dict[str, Mapping[str, Any]] = {}
    failed: dict[str, str] = {}
    try:
        for key, make in making:
            try:
                table = make()
            except MedevalError as error:
                failed[key] = str(error)
            except Exception as error:  # one broken cell must not take the finished ones with it
                # Where it happened, without the error's own words: those may quote a patient's text.
                frames = "".join(traceback.format_tb(error.__traceback__))
                context.log.error(f"{key}: unexpected {type(error).__name__}\n{frames}")
                failed[key] = f"unexpected {type(error).__name__}; the run's log has the traceback"
            else:
                done[key] = table_metadata(lake, table)
    except BaseException:
        _record(context, done)
        raise
    if failed:
        _record(context, done)
        listed = "\n".join(f"{key}: {message}" for key, message in failed.items())
        raise dg.Failure(
            f"{len(failed)} of {len(failed) + len(done)} partitions of {context.asset_key.to_user_string()} failed; "
            f"the others are kept.\n{listed}",
            allow_retries=False,
        )
    context.set_data_version(context.asset_key, dg.DataVersion(_BY_PARTITION))
    for key, metadata in done.items():
        context.add_asset_metadata(metadata, partition_key=key)


def tell_of_whole(context: dg.AssetExecutionContext, metadata: Mapping[str, Any]) -> None:
    """Tell Dagster of the table of an asset without partitions; its data version is the hash of its content."""
    context.set_data_version(context.asset_key, dg.DataVersion(metadata["content_sha256"].value))
    context.add_output_metadata(metadata)


def _record(context: dg.AssetExecutionContext, done: Mapping[str, Mapping[str, Any]]) -> None:
    """Tell Dagster of the partitions that are made, in a step that does not end well."""
    tags = {_DATA_VERSION_TAG: _BY_PARTITION}
    for key, metadata in done.items():
        context.log_event(dg.AssetMaterialization(context.asset_key, partition=key, metadata=metadata, tags=tags))


def table_metadata(lake: Lake, table: Table) -> dict[str, Any]:
    """What the UI shows of a table: rows, columns, origin, a preview where its rows are public, and its numbers."""
    from medeval_assets.lake.tables import column_descriptions

    record = table.record
    columns = [
        dg.TableColumn(name, type=kind, description=about) for name, kind, about in column_descriptions(record.asset)
    ]
    # Dagster's `row_count` is that of the whole asset.
    rows = "dagster/partition_row_count" if record.task else "dagster/row_count"
    metadata: dict[str, Any] = {
        rows: record.rows,
        "dagster/column_schema": dg.TableSchema(columns),
        "dagster/column_lineage": _column_lineage(record),
        "dagster/uri": dg.MetadataValue.text(lake.uri(record.key)),
        "content_sha256": dg.MetadataValue.text(record.content_sha256),
        "file_sha256": dg.MetadataValue.text(lake.file_sha256(record.key)),
        "made": dg.MetadataValue.text(record.created_at),
        "data": dg.MetadataValue.text("synthetic samples" if record.synthetic else "real"),
        "access": dg.MetadataValue.text(record.access.value),
        "reused": dg.MetadataValue.bool(table.reused),
        **table.metadata,
    }
    if record.synthetic or record.access is Access.PUBLIC:
        metadata["preview"] = _preview(lake, record)
    return metadata


def _column_lineage(record: LineageRecord) -> dg.TableColumnLineage:
    engine = str(record.derivation.parameters.get("engine", ""))
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(dg.AssetKey(source), name) for source, name in sources]
            for column, sources in sources_of(record.asset, engine).items()
        }
    )


def _preview(lake: Lake, record: LineageRecord) -> dg.MetadataValue[Any]:
    """The first rows as a table, which the UI shows as plain text: nothing in them becomes markup."""
    rows = lake.read(record.key).slice(0, _PREVIEW_ROWS).to_pylist()
    records = [dg.TableRecord({name: _shown(value) for name, value in row.items()}) for row in rows]
    if not records:
        return dg.MetadataValue.text("no rows")
    return dg.MetadataValue.table(records)


def _shown(value: Any) -> str | int | float | bool:
    if isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _PREVIEW_CHARACTERS else text[: _PREVIEW_CHARACTERS - 1] + "…"
