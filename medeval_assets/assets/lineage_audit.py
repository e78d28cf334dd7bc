"""`lineage_audit`: every file of the lake, what an audit says of it, and why."""

import dagster as dg

from medeval_assets.assets.materialization import Table, table_metadata, tell_of_whole
from medeval_assets.audit.audit import AUDIT_TABLE
from medeval_assets.audit.verdict import AuditReport
from medeval_assets.errors import MedevalError
from medeval_assets.event_log import audit_with_event_log
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets.reports.markdown import escaped, table
from medeval_assets.resources import Home

CODE_VERSION = "1"
_KEY = LakeKey(AUDIT_TABLE)
_SHOWN = 100  # rows of the page; the table has them all


@dg.asset(
    group_name="audit",
    kinds={"python", "parquet"},
    owners=["team:clinical-nlp"],
    code_version=CODE_VERSION,
)
def lineage_audit(context: dg.AssetExecutionContext, home: Home) -> None:
    """Every file's verdict: intact, stale, tampered, missing, orphan or unreadable. Made again on every run."""
    lake = home.open_lake()
    try:
        report = audit_with_event_log(lake, home.settings, context.instance)
        rows = [file.row for file in report.files]
        record = lake.write(_KEY, rows, Derivation(code_version=CODE_VERSION), run_id=context.run_id)
    except MedevalError as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    told = {**report.counts, "read": report.read, "not_fine": dg.MetadataValue.md(_page(report))}
    tell_of_whole(context, table_metadata(lake, Table(record, reused=False, metadata=told)))


@dg.asset_check(
    asset=lineage_audit, name="clean", description="Every file of the lake is intact or stale.", blocking=False
)
def clean(home: Home) -> dg.AssetCheckResult:
    """Looks at the audit's table; what stale tables need is a run, not an alarm."""
    rows = home.open_lake().rows(_KEY)
    wrong = [row for row in rows if row["verdict"] not in {"intact", "stale"}]
    findings = {row["path"]: f"{row['verdict']}: {row['reason']}" for row in wrong[:_SHOWN]}
    return dg.AssetCheckResult(
        passed=not wrong,
        metadata={"files": len(rows), "wrong": len(wrong), "findings": dg.MetadataValue.json(findings)},
    )


def _page(report: AuditReport) -> str:
    """What is neither intact nor stale as a table. Names of files are anybody's text."""
    if not report.wrong:
        return "Every file is intact or stale."
    body = [[escaped(text) for text in (file.verdict, file.path, file.reason)] for file in report.wrong[:_SHOWN]]
    left_out = len(report.wrong) - len(body)
    return table(["verdict", "file", "why"], body) + (f"\n{left_out} more are in the table.\n" if left_out else "")
