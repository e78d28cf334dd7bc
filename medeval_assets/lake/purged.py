"""What was purged: the proof that stays where a table's data had to go."""

from __future__ import annotations

from collections.abc import Sequence

from medeval_assets.errors import BadInput
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake, LakeOutOfReach
from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.lake.removal import Removal


def purged(lake: Lake, key: LakeKey) -> Removal | None:
    """The purge of the table, by the last version that it had; None where it has a current one, or was never purged."""
    try:
        if lake.record(key) is not None:
            return None
    except LakeOutOfReach:
        raise
    except BadInput:
        return None
    removals = [removal for removal in lake.removals(key) if removal.reason == "purge"]
    return max(removals, key=lambda removal: removal.record.created_at, default=None)


def records_or_proofs(lake: Lake, keys: Sequence[LakeKey]) -> list[LineageRecord]:
    """The records of tables, in the order of the keys; of a purged one, that of the last version it had.

    Numbers outlive the data that they were computed on, and still name it by its hash. BadInput where a table is
    unreadable, or is missing and was never purged.
    """
    proofs = {key: removal.record for key in keys if (removal := purged(lake, key)) is not None}
    rest = [key for key in keys if key not in proofs]
    there = dict(zip(rest, lake.records(rest), strict=True))
    return [proofs.get(key) or there[key] for key in keys]
