"""What the column lineage names is there, and it names what a table is really made from."""

from __future__ import annotations

import pytest

from medeval_assets.lake.column_lineage import sources_of
from medeval_assets.lake.tables import TABLES, arrow_schema

READ = {
    "prompt_sets": {"datasets"},
    "generations": {"prompt_sets"},
    "scores": {"datasets", "generations"},
    "metric_tables": {"scores"},
    "repeat_checks": {"datasets", "generations"},
    "leaderboard": {"metric_tables", "datasets"},
    "comparisons": {"scores", "repeat_checks"},
}


@pytest.mark.parametrize("asset", TABLES)
def test_every_column_that_is_named_exists(asset: str) -> None:
    declared = sources_of(asset)
    assert set(declared) <= set(arrow_schema(asset).names)
    for sources in declared.values():
        for source, name in sources:
            assert name in arrow_schema(source).names, f"{source}.{name}"
    assert {source for sources in declared.values() for source, _ in sources} == READ.get(asset, set())
