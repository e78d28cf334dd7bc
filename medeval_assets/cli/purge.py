"""`medeval purge TASK` and `medeval prune`: what leaves the platform on purpose."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Annotated, Any

import typer

from medeval_assets.cli.app import AsJson, TaskName, app, named_task
from medeval_assets.console import err, show
from medeval_assets.errors import BadInput, Problem
from medeval_assets.lake.lake import Lake
from medeval_assets.retention.prune import prune as prune_versions
from medeval_assets.retention.purge import Quoting, find_quoting, remove_quoting
from medeval_assets.settings import Settings
from medeval_assets.tasks import all_tasks


@app.command()
def purge(
    task: TaskName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    sources: Annotated[bool, typer.Option("--sources", help="Its raw files below MEDEVAL_HOME as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove a task's data and all that quotes them: dataset, prompts, answers, in every version and in the journal.

    The numbers stay, and so does the proof of what was removed: lineage records and hashes.
    """
    from medeval_assets.resources import all_models

    spec = named_task(task)
    settings = Settings.from_environment()
    lake = Lake.of(settings)
    _refuse_while_running(settings)
    models = all_models(settings)

    def found_now() -> Quoting:
        return find_quoting(lake, settings, spec, tasks=all_tasks(), models=models, sources=sources)

    found = found_now()
    if not found.nothing and not yes:
        for row in _listed(found):
            _say(f"{row['count']} × {row['what']}")
        typer.confirm(f"Remove all of this for good? It holds texts of {spec.name}", abort=True, err=True)
        # The answer may have taken a while.
        _refuse_while_running(settings)
        found = found_now()
    done = remove_quoting(lake, found)
    show(_listed(done.removed), ["what", "count"], as_json)
    if found.nothing:
        _say(f"Nothing of {spec.name} was left to remove.")
    for table in done.damaged:
        _say(f"{table}: it was damaged, so that no record of it stays")
    for place in found.elsewhere:
        _say(f"Not removed: {place}")
    if not found_now().nothing:
        what = "something of it was written while it was being removed"
        raise BadInput([Problem(spec.name, what, "Stop what writes, and purge again.")])


@app.command()
def prune(
    older_than: Annotated[int, typer.Option("--older-than", min=0, help="In days.", metavar="DAYS")],
    as_json: AsJson = False,
) -> None:
    """Remove old versions of tables, but for those that a current table was made from."""
    settings = Settings.from_environment()
    _refuse_while_running(settings)
    done = prune_versions(Lake.of(settings), timedelta(days=older_than))
    counted = Counter(str(version.key) for version in done.removed)
    show([{"what": key, "count": count} for key, count in counted.items()], ["what", "count"], as_json)
    kept = f"{done.current} current, {done.needed} that current ones were made from, {done.recent} younger"
    _say(f"Kept: {kept}." + (f" {done.unreadable} unreadable: see `medeval audit`." if done.unreadable else ""))


def _listed(found: Quoting) -> list[dict[str, Any]]:
    tables = Counter(f"{version.key}" for version in found.versions)
    rows = [{"what": key, "count": count} for key, count in tables.items()]
    rest = [
        ("other files of the lake", found.strays),
        ("folders of the journal", found.journal),
        ("files of answers given from elsewhere", found.external),
        ("folders of raw files", found.sources),
    ]
    return [*rows, *({"what": what, "count": len(paths)} for what, paths in rest if paths)]


def _refuse_while_running(settings: Settings) -> None:
    """BadInput while a run is in progress: it could write what is being removed. Runs of dead processes are ended."""
    if not (settings.dagster / "dagster.yaml").is_file():
        return

    import dagster as dg

    from medeval_assets.instance import open_instance
    from medeval_assets.turns import end_dead_runs

    status = dg.DagsterRunStatus
    unfinished = [status.QUEUED, status.STARTING, status.STARTED, status.CANCELING]
    with open_instance(settings) as instance:
        end_dead_runs(instance, settings.dagster / "processes")
        running = instance.get_runs(filters=dg.RunsFilter(statuses=unfinished))
    if running:
        ids = ", ".join(run.run_id[:8] for run in running[:5])
        remedy = "Wait until it is done, or end it in the UI."
        raise BadInput([Problem("runs", f"{len(running)} in progress ({ids})", remedy)])


def _say(text: str) -> None:
    err.print(text, highlight=False, markup=False, soft_wrap=True)
