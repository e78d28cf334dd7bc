"""`medeval audit`: is every file of the lake what it was, and where it is from?"""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from medeval_assets.audit.verdict import AuditReport
from medeval_assets.cli.app import AsJson, app
from medeval_assets.console import err, show
from medeval_assets.lake.lake import Lake
from medeval_assets.settings import Settings

_COLUMNS = ("verdict", "path", "reason")


@app.command(name="audit")
def audit_lake(
    full: Annotated[bool, typer.Option("--full", help="Read every file again, not only what changed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check every file of the lake: its bytes, its record, what it was made from and what Dagster recorded.

    Ends with 1 where a file is neither intact nor stale.
    """
    report = _audited(Settings.from_environment(), full=full)
    counts = {verdict: count for verdict, count in report.counts.items() if count}
    if as_json:
        document = {
            "counts": dict(report.counts),
            "event_log": report.event_log,
            "read": report.read,
            "files": [file.row for file in report.files],
        }
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    else:
        told = [file.row for file in report.files if file.reason]
        if told:
            show(told, _COLUMNS, as_json=False)
        listed = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        err.print(f"{len(report.files)} files: {listed or 'none yet'}; {report.read} read.", highlight=False)
        if not report.event_log:
            err.print("Dagster has no instance here, so the lake was compared with no event log.", highlight=False)
    if report.wrong:
        raise typer.Exit(1)


def _audited(settings: Settings, *, full: bool) -> AuditReport:
    """The audit; with the event log where there is a Dagster instance, for none is made to look into it."""
    from medeval_assets.event_log import audit_with_event_log
    from medeval_assets.instance import open_instance

    lake = Lake.of(settings)
    if not (settings.dagster / "dagster.yaml").is_file():
        return audit_with_event_log(lake, settings, None, full=full)
    with open_instance(settings) as instance:
        return audit_with_event_log(lake, settings, instance, full=full)
