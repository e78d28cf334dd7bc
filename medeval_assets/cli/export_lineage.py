"""`medeval export openlineage` and `medeval export prov`: lineage, for the tools of others."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from medeval_assets.catalog.quoted import quoted
from medeval_assets.cli.export import export_app
from medeval_assets.console import err
from medeval_assets.errors import BadInput, Problem
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.settings import Settings


@export_app.command("openlineage")
def openlineage(
    to: Annotated[str, typer.Argument(metavar="TO", help="A file, or the http(s) address of a receiver.")],
    earlier: Annotated[
        bool, typer.Option("--all", help="What made earlier versions of tables, too, those that were removed included.")
    ] = False,
    namespace: Annotated[
        str, typer.Option(help="Namespace of the lake's jobs and datasets. Lakes of one receiver each need their own.")
    ] = "medeval-assets",
) -> None:
    """OpenLineage events of all that made the lake's tables. A receiver's key is read from OPENLINEAGE_API_KEY.

    The same lake gives the same events each time; a receiver knows those that it has already.
    """
    from medeval_assets.exports.openlineage_delivery import send_events, write_events
    from medeval_assets.exports.openlineage_events import events_of

    if not namespace.strip() or not namespace.isprintable():
        raise typer.BadParameter("write a name", param_hint="--namespace")
    scheme, is_address, _ = to.partition("://")
    if is_address and scheme.lower() not in {"http", "https"}:
        raise typer.BadParameter(f"{quoted(to)}: write the name of a file, or an address that begins with http")
    events = events_of(Lake.of(Settings.from_environment()), namespace=namespace, earlier=earlier)
    count = send_events(events, to) if is_address else write_events(events, Path(to).expanduser())
    err.print(f"{count} events {'taken' if is_address else 'written'}.", highlight=False, markup=False)


@export_app.command("prov")
def prov(
    model: Annotated[str | None, typer.Argument(help="A model's key. Default: the whole lake.")] = None,
    task: Annotated[str | None, typer.Argument(help="A task's key.")] = None,
) -> None:
    """Print PROV-JSON of the chain behind a cell's numbers, or of the whole lake."""
    from medeval_assets.exports.prov import prov_document

    if model is not None and task is None:
        raise typer.BadParameter("a cell is a model and a task", param_hint="TASK")
    lake = Lake.of(Settings.from_environment())
    removals = lake.removals()
    if model is None or task is None:
        records = lake.records(_tables(lake)) + [removal.record for removal in removals]
    else:
        records = _behind(lake, model, task)
        removals = [removal for removal in removals if removal.record in records]
    sys.stdout.write(json.dumps(prov_document(records, removals), indent=1, ensure_ascii=False) + "\n")


def _tables(lake: Lake) -> list[LakeKey]:
    """Every current table, in the order the data flow."""
    from medeval_assets.lake.tables import TABLES

    return [key for asset in TABLES for key in lake.keys(asset)]


def _behind(lake: Lake, model: str, task: str) -> list[LineageRecord]:
    """The records of the chain behind the cell's metric table; what is missing of it has none."""
    from medeval_assets.trace.chain import chain_of

    key = LakeKey("metric_tables", model, task)
    if key not in lake.keys(key.asset):
        cell = f"{quoted(model)} × {quoted(task)}"
        raise BadInput([Problem(cell, "the lake has no metrics of such a cell", "Evaluate it first.")])
    return [link.record for link in chain_of(lake, key).tables() if link.record is not None]
