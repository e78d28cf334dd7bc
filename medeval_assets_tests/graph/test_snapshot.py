"""The asset graph as reviewers see it: a change of it shows up as a change of `asset_graph.json`.

To accept a change: `MEDEVAL_ACCEPT_SNAPSHOT=1 make unit`, then look at the difference.
"""

import json
import os
from pathlib import Path
from typing import Any

import dagster as dg

from medeval_assets.definitions import build_definitions

SNAPSHOT = Path(__file__).with_name("asset_graph.json")


def described(definitions: dg.Definitions) -> dict[str, Any]:
    """Everything about the graph that a person who relies on it would notice."""
    graph = definitions.resolve_asset_graph()
    repository = definitions.get_repository_def()
    assets = {}
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        assets[key.to_user_string()] = {
            "about": node.description,
            "automation": str(node.automation_condition) if node.automation_condition else None,
            "backfill": str(node.backfill_policy.policy_type.value) if node.backfill_policy else None,
            "checks": sorted(check.name for check in node.check_keys),
            "code_version": node.code_version,
            "deps": sorted(parent.to_user_string() for parent in node.parent_keys),
            "group": node.group_name,
            "kinds": sorted(node.kinds),
            "op_tags": dict(sorted(node.assets_def.op.tags.items())),
            "owners": sorted(node.owners),
            "partitions": node.partitions_def.__class__.__name__ if node.partitions_def else None,
            "pool": node.assets_def.op.pool,
        }
    return {
        "assets": assets,
        "jobs": sorted(name for name in repository.job_names if not name.startswith("__")),
        "schedules": sorted(schedule.name for schedule in repository.schedule_defs),
        "sensors": sorted(sensor.name for sensor in repository.sensor_defs),
    }


def test_the_graph_is_the_one_that_was_reviewed() -> None:
    # In an instance of its own: Dagster would look up the one that another test used last.
    with dg.DagsterInstance.ephemeral():
        now = json.dumps(described(build_definitions()), indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("MEDEVAL_ACCEPT_SNAPSHOT"):
        SNAPSHOT.write_text(now, encoding="utf-8")
    assert now == SNAPSHOT.read_text(encoding="utf-8")
