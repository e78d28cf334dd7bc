"""What Dagster is told of each table is true: where it is, its rows, its columns and where they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import dagster as dg
import pyarrow.parquet as pq
import pytest

from medeval_assets.definitions import build_definitions
from medeval_assets.instance import open_instance
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.tables import TABLES, arrow_schema
from medeval_assets.partitions import lake_key
from medeval_assets_tests.graph.small_platform import SmallPlatform, new_platform

MODEL = "baseline-majority"
TASKS = ["medqa", "mednli"]
BY_CELL = ["generations", "scores", "metric_tables"]


@pytest.fixture(scope="module")
def platform(roomy_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallPlatform:
    """A small evaluation, which no test changes."""
    with new_platform(tmp_path_factory.mktemp("evaluated") / "home", roomy_checkpoint) as made:
        assert made.evaluate([MODEL], TASKS).problems == []
        return made


@pytest.fixture(scope="module")
def told(platform: SmallPlatform) -> dict[LakeKey, dict[str, Any]]:
    """The metadata of the latest materialization of every table."""
    found: dict[LakeKey, dict[str, Any]] = {}
    with open_instance(platform.settings) as instance:
        for asset in TABLES:
            for record in reversed(instance.fetch_materializations(dg.AssetKey(asset), limit=100).records):
                event = record.asset_materialization
                assert event is not None
                key = lake_key(asset, event.partition) if event.partition else LakeKey(asset)
                found[key] = {name: value.value for name, value in event.metadata.items()}
    return found


def test_every_table_says_where_it_is_and_what_is_in_it(
    platform: SmallPlatform, told: dict[LakeKey, dict[str, Any]]
) -> None:
    cells = {LakeKey(asset, MODEL, task) for asset in BY_CELL for task in TASKS}
    by_task = {LakeKey(asset, task=task) for asset in ("datasets", "prompt_sets") for task in TASKS}
    assert set(told) == cells | by_task | {LakeKey("leaderboard"), LakeKey("comparisons")}
    for key, metadata in told.items():
        uri = urlsplit(metadata["dagster/uri"])
        assert uri.scheme == "file"
        path = Path(unquote(uri.path))
        assert path == Path(platform.lake.path(key))
        rows = pq.read_metadata(path).num_rows
        # The count of the whole asset is only known of a table that is the whole asset.
        counts = {name: value for name, value in metadata.items() if name.endswith("row_count")}
        assert counts == {"dagster/partition_row_count" if key.task else "dagster/row_count": rows}
        columns = metadata["dagster/column_schema"].columns
        assert [(column.name, column.type) for column in columns] == [
            (field.name, str(field.type)) for field in arrow_schema(key.asset)
        ]
        assert all(column.description for column in columns)


def test_the_column_lineage_leads_to_columns_of_assets_that_are_upstream(told: dict[LakeKey, dict[str, Any]]) -> None:
    graph = build_definitions().resolve_asset_graph()
    for key, metadata in told.items():
        by_column = metadata["dagster/column_lineage"].deps_by_column
        assert set(by_column) <= set(arrow_schema(key.asset).names)
        named = {dep.asset_key for deps in by_column.values() for dep in deps}
        assert named <= graph.get(dg.AssetKey(key.asset)).parent_keys
        assert bool(named) == (key.asset != "datasets")
        for deps in by_column.values():
            assert {dep.column_name for dep in deps if dep.column_name not in _columns(dep.asset_key)} == set()


def _columns(key: dg.AssetKey) -> list[str]:
    names: list[str] = arrow_schema(key.to_user_string()).names
    return names
