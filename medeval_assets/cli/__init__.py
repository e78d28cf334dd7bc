"""`medeval`: the command line.

Progress and messages go to stderr, results to stdout. Exit codes: 0 done, 1 found problems, 2 wrong use, and 128 + its
number where a signal ended it (130 for Ctrl-C).
"""

from __future__ import annotations

import sys
from typing import NoReturn

from medeval_assets.cli import audit, commands, export_lineage, purge, trace  # noqa: F401 - importing a file of commands adds them to the application
from medeval_assets.cli.app import app, complain
from medeval_assets.errors import MedevalError


def main() -> NoReturn:
    """Entry point: turns our errors into one message and an exit code."""
    try:
        app(standalone_mode=True)
    except MedevalError as error:
        complain(error)
        sys.exit(1)
    sys.exit(0)
