"""`medeval export …`: results, for those who read them elsewhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.models_file import find_models
from medeval_assets.catalog.quoted import quoted
from medeval_assets.cli.app import app, wrong_use
from medeval_assets.console import err
from medeval_assets.settings import Settings
from medeval_assets.tasks import all_tasks, find_tasks

export_app = typer.Typer(
    help="Give results away in the formats that others read.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(export_app, name="export")

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="A model's key; `medeval models` lists them.")]
Synthetic = Annotated[
    bool, typer.Option("--synthetic", help="Also values on the project's synthetic samples, marked as such.")
]


@export_app.command("model-card")
def model_card(
    model: ModelName,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="A card, README.md, to put the values into. Without it they are printed."),
    ] = None,
    synthetic: Synthetic = False,
) -> None:
    """A model's values as the Hugging Face Hub shows them: the `model-index` of its card, each value with its interval.

    What the card says otherwise stays; values that were put there before and were measured again are replaced.
    """
    from medeval_assets.exports.evaluation_results import results_of
    from medeval_assets.exports.model_card import card_metadata, merge_into_card
    from medeval_assets.lake.lake import Lake

    spec, settings = _known(model)
    results = results_of(Lake.of(settings), all_tasks(), spec.key, synthetic=synthetic)
    if out is None:
        sys.stdout.write(card_metadata(spec.title, results))
    else:
        merge_into_card(out, spec.title, results)
        err.print(f"{sum(len(cell.metrics) for cell in results)} values on {len(results)} tasks.")


@export_app.command("results")
def results(
    model: ModelName,
    hub: Annotated[
        list[str] | None,
        typer.Option(
            "--hub",
            metavar="TASK=ORG/DATASET[:NAME]",
            help="Print YAML for `.eval_results/` of a repository on the Hugging Face Hub instead: the headline values "
            "of these tasks, for the datasets that you say they are. Give it again for more tasks.",
        ),
    ] = None,
    synthetic: Synthetic = False,
) -> None:
    """Print a model's values as JSON: interval, n, rules, and the hashes of every table that a value rests on."""
    from medeval_assets.exports.evaluation_results import hub_entries, results_document, results_of
    from medeval_assets.lake.lake import Lake

    spec, settings = _known(model)
    benchmarks = _benchmarks(hub or [])
    found = results_of(Lake.of(settings), all_tasks(), spec.key, synthetic=synthetic)
    if not benchmarks:
        sys.stdout.write(json.dumps(results_document(spec.key, found), ensure_ascii=False, allow_nan=False) + "\n")
        return
    for task in sorted(set(benchmarks) - {cell.task.name for cell in found}):
        err.print(f"{escape(task)}: no value that could be given away.")
    sys.stdout.write(hub_entries(found, benchmarks))


@export_app.command("duckdb")
def duckdb(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The database to write.")],
) -> None:
    """Write a DuckDB database of views over the lake, a view a table, and a catalogue of what their columns mean.

    No row is copied: the views read the lake's own files, where they are now.
    """
    from medeval_assets.exports.duckdb_catalog import write_catalog
    from medeval_assets.lake.lake import Lake

    views = write_catalog(Lake.of(Settings.from_environment()), file)
    err.print(f"Views: {', '.join(views) or 'none, the lake is empty'}.")


def _known(model: str) -> tuple[ModelSpec, Settings]:
    from medeval_assets.resources import all_models

    settings = Settings.from_environment()
    with wrong_use():
        return find_models([model], all_models(settings))[0], settings


def _benchmarks(options: list[str]) -> dict[str, str]:
    """Task → dataset on the Hub, as it was given with --hub."""
    found: dict[str, str] = {}
    for option in options:
        task, _, dataset = option.partition("=")
        name, _, _ = dataset.partition(":")
        organisation, _, repository = name.partition("/")
        if not (organisation and repository):
            raise typer.BadParameter(f"--hub {quoted(option)}: write TASK=ORG/DATASET or TASK=ORG/DATASET:NAME")
        with wrong_use():
            found[find_tasks([task])[0].name] = dataset
    return found
