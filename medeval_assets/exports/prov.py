"""PROV-JSON of what the lake's records tell: tables, raw files and checkpoints, and what made which from which.

Specification: https://www.w3.org/submissions/prov-json/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from medeval_assets.lake.lineage_record import LineageRecord

PREFIX = "https://pypi.org/project/medeval-assets/#"


def prov_document(records: Iterable[LineageRecord]) -> dict[str, Any]:
    """The records as one PROV-JSON document, in their order. It holds names, hashes and counts, no text of examples."""
    entities: dict[str, Any] = {}
    activities: dict[str, Any] = {}
    agents: dict[str, Any] = {}
    relations: dict[str, dict[str, Any]] = {
        name: {} for name in ("used", "wasGeneratedBy", "wasDerivedFrom", "wasAssociatedWith")
    }

    def relate(kind: str, **values: str) -> None:
        relations[kind][f"_:{kind}{len(relations[kind])}"] = {f"prov:{name}": value for name, value in values.items()}

    for record in records:
        table = f"medeval:table/{record.key.folder}/{record.content_sha256}"
        activity = f"medeval:making/{record.key.folder}/{record.content_sha256}"
        agent = f"medeval:software/{record.package_version}/{record.git_commit or 'release'}"
        entities[table] = {
            "prov:type": "medeval:table",
            "medeval:asset": record.asset,
            "medeval:model": record.model,
            "medeval:task": record.task,
            "medeval:content_sha256": record.content_sha256,
            "medeval:rows": {"$": str(record.rows), "type": "xsd:int"},
            "medeval:access": record.access.value,
            "medeval:licence": record.licence,
            "medeval:synthetic": {"$": str(record.synthetic).lower(), "type": "xsd:boolean"},
        }
        activities[activity] = {
            "prov:endTime": record.created_at,
            "medeval:run_id": record.run_id,
            "medeval:code_version": record.derivation.code_version,
        }
        agents[agent] = {"prov:type": "prov:SoftwareAgent", "medeval:git_commit": record.git_commit}
        relate("wasGeneratedBy", entity=table, activity=activity, time=record.created_at)
        relate("wasAssociatedWith", activity=activity, agent=agent)
        sources: dict[str, dict[str, Any]] = {
            f"medeval:table/{one.key.folder}/{one.content_sha256}": {} for one in record.derivation.inputs
        }
        sources |= {
            f"medeval:raw-file/{one.sha256}": {
                "prov:type": "medeval:raw-file",
                "medeval:name": one.name,
                "medeval:size": {"$": str(one.size), "type": "xsd:int"},
            }
            for one in record.derivation.raw_files
        }
        if weights := record.derivation.model.get("weights_sha256"):
            told = {f"medeval:{name}": value for name, value in record.derivation.model.items() if value}
            sources[f"medeval:checkpoint/{weights}"] = {"prov:type": "medeval:checkpoint", **told}
        for source, about in sources.items():
            entities.setdefault(source, {}).update(about)
            relate("used", activity=activity, entity=source)
            relate("wasDerivedFrom", generatedEntity=table, usedEntity=source, activity=activity)
    return {
        "prefix": {"medeval": PREFIX},
        "entity": entities,
        "activity": activities,
        "agent": agents,
        **relations,
    }
