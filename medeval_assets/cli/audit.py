"""`medeval audit`: is every file of the lake what it was, and where it is from?"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from medeval_assets.audit.verdict import AuditReport
from medeval_assets.cli.app import AsJson, app
from medeval_assets.console import err, show
from medeval_assets.lake.lake import Lake
from medeval_assets.settings import Settings

_COLUMNS = ("verdict", "path", "reason")

File = Path | None


@app.command(name="audit")
def audit_lake(
    full: Annotated[bool, typer.Option("--full", help="Read every file again, not only what changed.")] = False,
    seal: Annotated[bool, typer.Option("--seal", help="Then keep a manifest of all hashes, if all is well.")] = False,
    to: Annotated[File, typer.Option("--to", help="With --seal: keep the manifest in this file as well.")] = None,
    key: Annotated[File, typer.Option("--key", help="With --seal: sign it with this SSH or minisign key.")] = None,
    verify: Annotated[File, typer.Option("--verify", help="Compare the lake with this manifest instead.")] = None,
    public_key: Annotated[File, typer.Option("--public-key", help="With --verify: the signer's public key.")] = None,
    allowed_signers: Annotated[
        File, typer.Option("--allowed-signers", help="With --verify: file of SSH keys that may have signed it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every file of the lake: its bytes, its record, what it was made from and what Dagster recorded.

    Ends with 1 where a file is neither intact nor stale, or not what was sealed.
    """
    if seal and verify is not None:
        raise typer.BadParameter("--seal and --verify are two things; do one after the other")
    if (to or key) and not seal:
        raise typer.BadParameter("--to and --key go with --seal")
    if (public_key or allowed_signers) and verify is None:
        raise typer.BadParameter("--public-key and --allowed-signers go with --verify")
    settings = Settings.from_environment()
    if verify is not None:
        _verify(settings, verify, public_key, allowed_signers, as_json=as_json)
        return
    # A seal makes what it finds right for ever: it must not rest on what an earlier audit read.
    report = _audited(settings, full=full or seal)
    sealed = _sealed(settings, to, key) if seal and not report.wrong else None
    if as_json:
        document = {
            "counts": dict(report.counts),
            "event_log": report.event_log,
            "read": report.read,
            "files": [file.row for file in report.files],
            **({"seal": sealed} if seal else {}),
        }
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    else:
        _tell(report)
        if sealed is not None:
            err.print(
                f"Sealed: {sealed['path']}, root {sealed['root_sha256']}.",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
        elif seal:
            err.print("Not sealed: a seal would make what is wrong look right.", highlight=False)
    if report.wrong:
        raise typer.Exit(1)


def _audited(settings: Settings, *, full: bool) -> AuditReport:
    """The audit; with the event log where there is a Dagster instance, for none is made to look into it."""
    from medeval_assets.event_log import audit_with_event_log
    from medeval_assets.instance import open_instance_to_read

    lake, has_instance = Lake.of(settings), (settings.dagster / "dagster.yaml").is_file()
    columns = (TextColumn("files read"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Bars(*columns, console=err, transient=True, disable=not err.is_terminal) as bars,
        open_instance_to_read(settings) if has_instance else contextlib.nullcontext() as instance,
    ):
        bar = bars.add_task("files", total=None)

        def on_read(done: int, of: int) -> None:
            bars.update(bar, completed=done, total=of)

        return audit_with_event_log(lake, settings, instance, full=full, on_read=on_read)


def _tell(report: AuditReport) -> None:
    told = [file.row for file in report.files if file.reason]
    if told:
        show(told, _COLUMNS, as_json=False)
    counts = [f"{count} {verdict}" for verdict, count in report.counts.items() if count]
    err.print(f"{len(report.files)} files: {', '.join(counts) or 'none yet'}; {report.read} read.", highlight=False)
    if not report.event_log:
        err.print("There is no Dagster instance here, so the lake was compared with no event log.", highlight=False)


def _sealed(settings: Settings, to: Path | None, key: Path | None) -> dict[str, Any]:
    from medeval_assets.audit.seal import seal

    made = seal(Lake.of(settings), to, key)
    return {
        "path": made.path,
        "root_sha256": made.root_sha256,
        "files": made.files,
        "copies": [str(copy) for copy in made.copies],
        "signed_with": made.signed_with,
    }


def _verify(
    settings: Settings, manifest: Path, public_key: Path | None, allowed_signers: Path | None, *, as_json: bool
) -> None:
    """Compare the lake with what was sealed, and end with 1 where it is otherwise."""
    from medeval_assets.audit.seal import verify

    found = verify(Lake.of(settings), manifest, public_key=public_key, allowed_signers=allowed_signers)
    if as_json:
        document = {
            "root_sha256": found.root_sha256,
            "sealed_at": found.sealed_at,
            "sealed": found.sealed,
            "new_files": found.new_files,
            "moved_on": found.moved_on,
            "removed": found.removed,
            "signature": found.signature,
            "problems": [str(problem) for problem in found.problems],
        }
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    else:
        for problem in found.problems:
            err.print(str(problem), style="red", highlight=False, markup=False, soft_wrap=True)
        err.print(
            f"{found.sealed} files sealed {found.sealed_at}: {len(found.problems)} problems, {found.moved_on} made "
            f"again since, {found.removed} removed since, {found.new_files} new; signature: {found.signature}.",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if found.problems:
        raise typer.Exit(1)
