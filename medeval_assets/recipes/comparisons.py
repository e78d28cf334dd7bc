"""How the comparisons are made."""

from __future__ import annotations

from collections.abc import Mapping

from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.comparisons.lake_comparisons import comparison_rows, declared_pairs, scored_by_pairs
from medeval_assets.comparisons.noise import repeat_checks_of
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets.lake.recipe import Recipe
from medeval_assets.tasks import all_tasks

CODE_VERSION = "2"


def comparisons_recipe(lake: Lake, models: Mapping[str, ModelSpec], margin: float) -> Recipe:
    """The comparisons of all pairs among the models whose scores the lake has.

    margin: a difference below it does not matter, as a fraction. BadInput where a table cannot be read.
    """
    pairs = declared_pairs(models)
    inputs = scored_by_pairs(lake, all_tasks(), pairs)
    scores = [record for records in inputs.values() for record in records]
    repeat_checks = repeat_checks_of(lake, scores)
    return Recipe(
        LakeKey("comparisons"),
        Derivation(
            code_version=CODE_VERSION,
            parameters={"margin": margin, "pairs": pairs},
            inputs=tuple(record.as_input() for record in (*scores, *repeat_checks)),
        ),
        lambda: comparison_rows(lake, all_tasks(), inputs, pairs, margin=margin, repeat_checks=repeat_checks),
        like=scores,
    )
