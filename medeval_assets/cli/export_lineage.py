"""`medeval export openlineage` and `medeval export prov`: lineage, for the tools of others."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from medeval_assets.cli.export import export_app
from medeval_assets.console import err
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.settings import Settings


@export_app.command("openlineage")
def openlineage(
    to: Annotated[str, typer.Argument(metavar="TO", help="A file, or the http(s) address of a receiver.")],
    earlier: Annotated[bool, typer.Option("--all", help="Earlier versions of tables, too.")] = False,
) -> None:
    """OpenLineage events of all that made the lake's tables. A receiver's key is read from OPENLINEAGE_API_KEY."""
    from medeval_assets.exports.openlineage_events import events_of, send_events, write_events

    lake = Lake.of(Settings.from_environment())
    events = events_of(lake, _tables(lake), earlier=earlier)
    if to.startswith(("http://", "https://")):
        sent = send_events(events, to)
    else:
        sent = write_events(events, Path(to).expanduser())
    err.print(f"{sent} events: {to}", highlight=False, markup=False, soft_wrap=True)


@export_app.command("prov")
def prov(
    model: Annotated[str | None, typer.Argument(help="A model's key. Default: the whole lake.")] = None,
    task: Annotated[str | None, typer.Argument(help="A task's key.")] = None,
) -> None:
    """PROV-JSON of the chain behind a cell's numbers, or of the whole lake."""
    from medeval_assets.exports.prov import prov_document
    from medeval_assets.lake.lake import Lake
    from medeval_assets.trace.chain import chain_of

    lake = Lake.of(Settings.from_environment())
    if model is None:
        records = lake.records(_tables(lake))
    elif task is None:
        raise typer.BadParameter("a cell is a model and a task")
    else:
        chain = chain_of(lake, LakeKey("metric_tables", model, task))
        records = [link.record for link in chain.tables() if link.record is not None]
    sys.stdout.write(json.dumps(prov_document(records), indent=1, ensure_ascii=False) + "\n")


def _tables(lake: Lake) -> list[LakeKey]:
    """Every current table, in the order the data flow."""
    from medeval_assets.lake.tables import TABLES

    return [key for asset in TABLES for key in lake.keys(asset)]
