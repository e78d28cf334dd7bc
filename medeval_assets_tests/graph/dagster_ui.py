"""What the Dagster UI asks its server, asked in this process."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import dagster as dg
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster_graphql.schema import create_schema

# The first two are the UI's own (AssetStaleStatusDataQuery, AssetPartitionStaleQuery).
_STALE = """
  query ($assetKeys: [AssetKeyInput!]!) {
    assetNodes(assetKeys: $assetKeys) { assetKey { path } staleStatus staleCauses { reason } }
  }
"""
_STALE_PARTITION = """
  query ($assetKey: AssetKeyInput!, $partitionKey: String!) {
    assetNodeOrError(assetKey: $assetKey) {
      ... on AssetNode {
        staleStatus(partition: $partitionKey)
        staleCauses(partition: $partitionKey) { reason }
        dataVersion(partition: $partitionKey)
      }
    }
  }
"""
_VERSIONS = (
    "query ($assetKeys: [AssetKeyInput!]!) { assetNodes(assetKeys: $assetKeys) { assetKey { path } dataVersion } }"
)
_CHECKS = """
  query ($assetKeys: [AssetKeyInput!]!) {
    assetNodes(assetKeys: $assetKeys) {
      assetKey { path }
      assetChecksOrError {
        ... on AssetChecks {
          checks {
            name
            executionForLatestMaterialization {
              status
              runId
              evaluation {
                success
                severity
                metadataEntries {
                  label
                  ... on JsonMetadataEntry { jsonString }
                  ... on IntMetadataEntry { intValue }
                }
              }
            }
          }
        }
      }
    }
  }
"""


class _HereInProcess(WorkspaceLoadTarget):
    def create_origins(self) -> Sequence[InProcessCodeLocationOrigin]:
        target = LoadableTargetOrigin(
            executable_path=sys.executable, module_name="medeval_assets.definitions", attribute="defs"
        )
        return [InProcessCodeLocationOrigin(target, location_name="medeval")]


@dataclass(frozen=True)
class Check:
    """A check's last result since the asset's last materialization."""

    passed: bool
    severity: str
    run_id: str
    metadata: dict[str, Any]


@dataclass
class DagsterUi:
    """The server behind the UI. Each question is a request of its own, as of the moment."""

    _context: WorkspaceProcessContext

    def out_of_date(self, assets: Sequence[str]) -> dict[str, list[str]]:
        """Asset → why Dagster calls it out of date; those only that it does."""
        nodes = self._ask(_STALE, assetKeys=[{"path": [asset]} for asset in assets])["assetNodes"]
        return {
            node["assetKey"]["path"][0]: [cause["reason"] for cause in node["staleCauses"]]
            for node in nodes
            if node["staleStatus"] == "STALE"
        }

    def partition(self, asset: str, partition: str) -> tuple[str, tuple[str, ...], str]:
        """What the page of a partition says: status, reasons, data version."""
        node = self._ask(_STALE_PARTITION, assetKey={"path": [asset]}, partitionKey=partition)["assetNodeOrError"]
        return node["staleStatus"], tuple(cause["reason"] for cause in node["staleCauses"]), node["dataVersion"]

    def data_versions(self, assets: Sequence[str]) -> dict[str, str]:
        nodes = self._ask(_VERSIONS, assetKeys=[{"path": [asset]} for asset in assets])["assetNodes"]
        return {node["assetKey"]["path"][0]: node["dataVersion"] for node in nodes}

    def checks(self, assets: Sequence[str], name: str) -> dict[str, Check | None]:
        """Asset → the check of this name on its page; None where it was not made since the last materialization."""
        found: dict[str, Check | None] = {}
        for node in self._ask(_CHECKS, assetKeys=[{"path": [asset]} for asset in assets])["assetNodes"]:
            for check in node["assetChecksOrError"]["checks"]:
                if check["name"] == name:
                    found[node["assetKey"]["path"][0]] = _check(check["executionForLatestMaterialization"])
        return found

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        request = self._context.create_request_context()
        result = asyncio.run(_schema().execute_async(query, context_value=request, variable_values=variables))
        assert not result.errors, result.errors
        data: dict[str, Any] = result.data
        return data


@contextmanager
def dagster_ui(instance: dg.DagsterInstance) -> Iterator[DagsterUi]:
    """The server of the UI on this instance, with the platform's definitions."""
    with WorkspaceProcessContext(instance, _HereInProcess()) as context:
        yield DagsterUi(context)


def _check(execution: dict[str, Any] | None) -> Check | None:
    if execution is None:
        return None
    evaluation = execution["evaluation"]
    metadata = {
        entry["label"]: json.loads(entry["jsonString"]) if "jsonString" in entry else entry.get("intValue")
        for entry in evaluation["metadataEntries"]
    }
    return Check(evaluation["success"], evaluation["severity"], execution["runId"], metadata)


@cache
def _schema() -> Any:
    return create_schema()
