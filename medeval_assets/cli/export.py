"""`medeval export model-card`, `results` and `duckdb`: results, for those who read them elsewhere."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medeval_assets.catalog.model_spec import is_key
from medeval_assets.catalog.quoted import quoted
from medeval_assets.cli.app import app, refuse_unknown_model, wrong_use
from medeval_assets.console import err
from medeval_assets.settings import Settings
from medeval_assets.tasks import all_tasks, find_tasks

if TYPE_CHECKING:
    from medeval_assets.exports.evaluation_results import CellResults

export_app = typer.Typer(
    help="Give results away in the formats that others read.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(export_app, name="export")

ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help="Key of a model that was evaluated, also of one that left the catalog.")
]
Synthetic = Annotated[
    bool, typer.Option("--synthetic", help="Also values on the project's synthetic samples, marked as such.")
]

_HUB = re.compile(r"(?P<task>[^=]+)=(?P<dataset>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?::[\w./-]+)?)", re.ASCII)


@export_app.command("model-card")
def model_card(
    model: ModelName,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="A card, README.md, to put the values into. Without it they are printed."),
    ] = None,
    synthetic: Synthetic = False,
) -> None:
    """A model's values as the Hugging Face Hub shows them: the `model-index` of its card.

    Each value has its interval, n, rules and hashes among the arguments of its metric. With --out every other byte of
    the card stays; values that were put there before give way to those of the same model and task, those on real data
    never to some on synthetic samples.
    """
    from medeval_assets.exports.model_card import card_metadata, merge_into_card

    results = _results(model, synthetic=synthetic)
    if out is None:
        sys.stdout.write(card_metadata(model, results))
    else:
        merge_into_card(out.expanduser(), model, results)
        err.print(f"{sum(len(cell.metrics) for cell in results)} values on {len(results)} tasks.")


@export_app.command("results")
def results(
    model: ModelName,
    hub: Annotated[
        list[str] | None,
        typer.Option(
            "--hub",
            metavar="TASK=ORG/DATASET[:NAME]",
            help="Print YAML for `.eval_results/` of the model's repository on the Hugging Face Hub instead: the "
            "headline value of this task, as a fraction, for the leaderboard of the dataset that you say it is (NAME: "
            "its task there, else `default`). Give it again for more tasks.",
        ),
    ] = None,
    synthetic: Synthetic = False,
) -> None:
    """Print a model's values as JSON: interval, n, rules, and the hashes of all that they rest on.

    docs/evaluation_results.schema.json describes it. It holds no text and no id of an example.
    """
    from medeval_assets.exports.evaluation_results import hub_entries, hub_yaml, results_document

    if hub and synthetic:
        raise typer.BadParameter("--hub takes no --synthetic: a leaderboard does not show what a value rests on")
    benchmarks = _benchmarks(hub or [])
    found = _results(model, synthetic=synthetic)
    if benchmarks:
        sys.stdout.write(hub_yaml(hub_entries(found, benchmarks)))
    else:
        sys.stdout.write(json.dumps(results_document(model, found), ensure_ascii=False, allow_nan=False) + "\n")


@export_app.command("duckdb")
def duckdb(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The database to write; an earlier one of ours is replaced.")
    ],
) -> None:
    """Write a DuckDB database of views over the lake, and a catalogue of their columns.

    There is a view for each kind of table, one of their lineage records, and the table `catalogue`. No row is copied:
    the views read the lake's own files, in the folder where the lake is now. So they show what is written later, give
    nothing to who has only the database, and must be written again when the lake moves.
    """
    from medeval_assets.exports.duckdb_catalog import write_catalog
    from medeval_assets.lake.lake import Lake

    views = write_catalog(Lake.of(Settings.from_environment()), file.expanduser())
    err.print(f"Views: {', '.join(views) or 'none, the lake is empty'}.")


def _results(model: str, *, synthetic: bool) -> Sequence[CellResults]:
    """What was measured of the model; what of it is left out is said."""
    from medeval_assets.exports.evaluation_results import results_of
    from medeval_assets.lake.lake import Lake

    settings = Settings.from_environment()
    lake = Lake.of(settings)
    cells = [key for key in lake.keys("metric_tables") if is_key(key.model)]
    measured = {key.model for key in cells}
    if model not in measured:
        refuse_unknown_model(model, measured, settings)
    found = results_of(lake, all_tasks(), model, synthetic=synthetic)
    given = {cell.task for cell in found}
    left_out = [key.task for key in cells if key.model == model and key.task not in given]
    if left_out:
        why = "they rest on synthetic samples, or this release does not know them"
        err.print(f"Left out: {', '.join(map(quoted, left_out))}: {why}.", highlight=False, markup=False)
    return found


def _benchmarks(options: Sequence[str]) -> Mapping[str, str]:
    """Task → dataset on the Hub, as it was given with --hub."""
    found: dict[str, str] = {}
    for option in options:
        given = _HUB.fullmatch(option)
        if given is None:
            raise typer.BadParameter(f"--hub {quoted(option)}: write TASK=ORG/DATASET or TASK=ORG/DATASET:NAME")
        with wrong_use():
            task = find_tasks([given["task"]])[0].name
        if task in found:
            raise typer.BadParameter(f"--hub {quoted(option)}: give each task once")
        found[task] = given["dataset"]
    return found
