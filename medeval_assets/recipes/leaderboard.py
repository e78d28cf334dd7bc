"""How the leaderboard is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation, RawFileRecord
from medeval_assets.lake.purged import records_or_proofs
from medeval_assets.lake.recipe import Recipe
from medeval_assets.reports.lake_leaderboard import evaluated_cells, leaderboard_rows
from medeval_assets.reports.published import read_published
from medeval_assets.settings import Settings
from medeval_assets.sources.source_folder import SourceFile
from medeval_assets.tasks import all_tasks

CODE_VERSION = "2"


def leaderboard_recipe(lake: Lake, models: Sequence[str], settings: Settings) -> Recipe:
    """The leaderboard of every cell that the lake has. models: all there are, in the order shown.

    BadInput where a table or the published values cannot be read.
    """
    cells = evaluated_cells(lake, all_tasks(), models)
    metrics = [record for records in cells.values() for record in records]
    datasets = records_or_proofs(lake, [LakeKey("datasets", task=task) for task in cells])
    published = SourceFile(settings.bundled / "reference" / "published.csv")
    return Recipe(
        LakeKey("leaderboard"),
        Derivation(
            code_version=CODE_VERSION,
            inputs=tuple(record.as_input() for record in [*metrics, *datasets]),
            raw_files=(RawFileRecord(**asdict(published.record)),),
        ),
        lambda: leaderboard_rows(lake, all_tasks(), cells, read_published(published)),
        like=metrics,
    )
