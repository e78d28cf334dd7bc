"""The asset checks: no empty or stale table, no id twice, every table as its record says, every template that fits.

Belongs here: what must hold of a table that is there, and of the models it came from. Does not belong here: how a
table is made.
A check is not partitioned: Dagster reports a partitioned one per partition only in runs of one partition. It looks at
the tables that its run made (at all of them when it is started on its own) and lists the ones that fail.
Concept: https://docs.dagster.io/guides/test/asset-checks
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import dagster as dg

from medeval_assets.engines.checked_template import renders_here
from medeval_assets.engines.model_check import check_model
from medeval_assets.errors import BadInput
from medeval_assets.lake.content_hash import content_sha256
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.known_records import KnownRecords
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.staleness import in_words
from medeval_assets.partitions import lake_key
from medeval_assets.recipes.today import Today
from medeval_assets.resources import Home

Finding = Callable[[Lake, LakeKey], str]

_SHOWN = 100  # stale tables that a check lists; `medeval audit` lists all

_ROW_IDS: dict[str, Sequence[str]] = {
    "datasets": ["example_id"],
    "prompt_sets": ["example_id"],
    "generations": ["example_id"],
    "scores": ["example_id", "metric", "profile"],
    "metric_tables": ["metric", "profile"],
    "leaderboard": ["model", "task", "metric", "profile"],
    "comparisons": ["model", "base", "task", "metric", "profile"],
    "repeat_checks": ["variant", "metric", "profile"],
}


def empty(lake: Lake, key: LakeKey) -> str:
    """Why a table says nothing, or ""."""
    return "" if lake.read(key).num_rows else "it has no rows"


def repeated_ids(lake: Lake, key: LakeKey) -> str:
    """Which rows are not told apart by their ids, or ""."""
    table = lake.read(key)
    missing = [name for name in _ROW_IDS[key.asset] if name not in table.column_names]
    if missing:
        return f"the columns {', '.join(missing)} are missing"
    rows = table.select(list(_ROW_IDS[key.asset])).to_pylist()
    repeated = len(rows) - len({tuple(row.values()) for row in rows})
    return f"{repeated} rows repeat the ids of others" if repeated else ""


def altered(lake: Lake, key: LakeKey) -> str:
    """Where content, record and inputs disagree, or "". Inputs that changed since are stale, not altered."""
    record = lake.record(key)
    if record is None:
        return "the table is gone"
    if content_sha256(lake.read(key)) != record.content_sha256:
        return "its content is not what its lineage record says"
    return "" if record.key == key else f"its lineage record is the one of {record.key}"


def _check(asset: str, name: str, about: str, find: Finding) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=asset, name=name, description=about, blocking=False)
    def check(context: dg.AssetCheckExecutionContext, home: Home) -> dg.AssetCheckResult:
        lake = home.open_lake()
        findings: dict[str, str] = {}
        keys = _keys_of_run(context, asset) or lake.keys(asset)
        for key in keys:
            try:
                finding = find(lake, key)
            except BadInput as error:
                finding = str(error)
            if finding:
                findings[str(key)] = finding
        return dg.AssetCheckResult(
            passed=not findings, metadata={"tables": len(keys), "findings": dg.MetadataValue.json(findings)}
        )

    return check


@dg.asset_check(
    asset="generations",
    name="chat_template",
    description="Chat template, tokenizer and config of every model fit together.",
    blocking=False,
)
def chat_template(context: dg.AssetCheckExecutionContext, home: Home) -> dg.AssetCheckResult:
    """Lists what is found about the models that the run touched. A warning never kept one from being asked."""
    models = home.models()
    keys = _keys_of_run(context, "generations") or home.open_lake().keys("generations")
    touched = [models[key] for key in dict.fromkeys(key.model for key in keys) if key in models]
    found = {spec.key: check_model(spec, models, home.settings) for spec in touched if renders_here(spec)}
    findings = {key: listed for key, listed in found.items() if listed}
    blocking = any(one.severity == "blocking" for listed in findings.values() for one in listed)
    told = {
        key: [f"{one.severity} {one.name}: {one.what}. {one.remedy}" for one in listed]
        for key, listed in findings.items()
    }
    return dg.AssetCheckResult(
        passed=not findings,
        severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
        metadata={
            "models": len(found),
            "not_checked": dg.MetadataValue.json([key for key, listed in found.items() if listed is None]),
            "findings": dg.MetadataValue.json(told),
        },
    )


@dg.multi_asset_check(
    name="up_to_date",
    specs=[
        dg.AssetCheckSpec(
            "up_to_date", asset=asset, description="No table would be made from anything else today.", blocking=False
        )
        for asset in _ROW_IDS
    ],
    can_subset=True,
)
def up_to_date(context: dg.AssetCheckExecutionContext, home: Home) -> Iterator[dg.AssetCheckResult]:
    """Lists every table of the asset that is stale, by the rule of the audit and the plan, and why.

    Unlike the other checks it looks at all tables of an asset whenever it runs: what a run has just made is never
    stale. What Dagster itself calls out of date knows nothing of files and of single cells.
    """
    settings, models = home.settings, home.models()
    known = KnownRecords(home.open_lake())
    for key in sorted(context.selected_asset_check_keys):
        asset = key.asset_key.to_user_string()
        today = Today(known, settings, models)
        findings: dict[str, str] = {}
        tables = known.keys(asset)
        for table in tables:
            with contextlib.suppress(BadInput):  # what cannot be read is told by the other checks
                record = known.record(table)
                stale = today.changes(record) if record is not None else ()
                if stale:
                    findings[str(table)] = in_words(stale)
        yield dg.AssetCheckResult(
            asset_key=key.asset_key,
            check_name=key.name,
            passed=not findings,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "tables": len(tables),
                "stale": len(findings),
                "findings": dg.MetadataValue.json(dict(islice(findings.items(), _SHOWN))),
                # Whether their files are others than before is not known.
                "models_not_here": dg.MetadataValue.json(sorted(today.not_here)),
            },
        )


def _keys_of_run(context: dg.AssetCheckExecutionContext, asset: str) -> list[LakeKey]:
    if not (context.has_partition_key or context.has_partition_key_range):
        return []
    return [lake_key(asset, key) for key in context.partition_keys]


CHECKS = [
    _check(asset, name, about, find)
    for asset in _ROW_IDS
    for name, about, find in (
        ("not_empty", "Every table has rows.", empty),
        ("ids_unique", "No two rows of a table have the same ids.", repeated_ids),
        ("hash_consistent", "Every table's content is what its lineage record says.", altered),
    )
    # Where no model and its base were evaluated yet, there is nothing to compare, and nothing wrong.
    if (asset, name) != ("comparisons", "not_empty")
] + [chat_template, up_to_date]
