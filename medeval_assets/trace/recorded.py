"""The rows of a chain's tables, as they were when whoever read them recorded their hash."""

from __future__ import annotations

from typing import Any

from medeval_assets.errors import BadInput, Problem
from medeval_assets.lake.lake import Lake, plain_rows
from medeval_assets.trace.chain import Link


def rows_of(lake: Lake, link: Link) -> list[dict[str, Any]]:
    """The rows of the table that the link stands for. BadInput where it was removed or is missing."""
    if link.state == "current":
        return lake.rows(link.key)
    if link.version is not None:
        return plain_rows(lake.version_table(link.version))
    what = f"the table with content {link.content_sha256[:12]}… was removed" if link.record else "the table is missing"
    raise BadInput([Problem(str(link.key), what, "`medeval audit` tells more.")])
