"""`medeval export …`: results, for those who read them elsewhere."""

from __future__ import annotations

import typer

from medeval_assets.cli.app import app

export_app = typer.Typer(
    help="Give results away in the formats that others read.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(export_app, name="export")
