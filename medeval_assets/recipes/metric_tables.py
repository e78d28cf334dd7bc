"""How a cell's metric table is made."""

from __future__ import annotations

from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets.lake.recipe import Recipe
from medeval_assets.statistics.metric_table import metric_table

CODE_VERSION = "2"


def metric_table_recipe(lake: Lake, model: str, task: str) -> Recipe:
    """The metrics of the cell's current scores. BadInput where there are none."""
    source = lake.records([LakeKey("scores", model, task)])[0]
    return Recipe(
        LakeKey("metric_tables", model, task),
        Derivation(code_version=CODE_VERSION, inputs=(source.as_input(),)),
        lambda: metric_table(lake.rows(source.key)),
        like=[source],
    )
