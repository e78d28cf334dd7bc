"""Recipe: a table as it would be made now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medeval_assets.catalog.task_spec import Access
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation, LineageRecord

Rows = Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class Recipe:
    """What a table depends on today, and how its rows are computed. The table is stale when its record differs.

    rows: computes them; only called when the table is made.
    like: records of the inputs, whose access, licences and synthetic mark are handed on.
    access, licence, synthetic: what is known of the table besides.
    """

    key: LakeKey
    derivation: Derivation
    rows: Callable[[], Rows]
    like: Sequence[LineageRecord] = ()
    access: Access = Access.PUBLIC
    licence: str = ""
    synthetic: bool = False

    def fresh(self, lake: Lake) -> LineageRecord | None:
        """The current table's record where it was derived exactly like this, else None."""
        return lake.fresh(self.key, self.derivation)

    def make(self, lake: Lake, *, run_id: str, environment: Mapping[str, str] | None = None) -> LineageRecord:
        """Compute the rows and make them the current table; the strictest access among its inputs holds for it.

        environment: what the rows are computed with.
        """
        licences = sorted({self.licence, *(record.licence for record in self.like)} - {""})
        return lake.write(
            self.key,
            list(self.rows()),
            self.derivation,
            run_id=run_id,
            access=max((self.access, *(record.access for record in self.like)), key=list(Access).index),
            licence="; ".join(licences),
            synthetic=self.synthetic or any(record.synthetic for record in self.like),
            environment=environment,
        )
