"""PROV-JSON of what the lake's records tell: tables, raw files and models, and what was made from which by what.

A record names its inputs by their content. So a table is two entities: the content, which whoever read it used, and the
table that was written at one time with this content (a specialization of it), which one making generated. The same
content made twice is one content and two tables, each with its own making: no entity is generated twice, however many
documents are put together. A making has the same UUID in OpenLineage's events.

Every name is a prefix, letters, digits and hyphens, so that it can stand in PROV-N, XML and RDF as it is; what it names
stands in the attributes. Names and relations follow from what they mean: the same fact is the same in every document.
When work on a table began is not known, so a making has an end alone.

Specification: https://www.w3.org/submissions/prov-json/
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from medeval_assets.exports.making import PROJECT, making_of, named
from medeval_assets.exports.openlineage_facets import identity_of
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.lake.removal import Removal

PREFIX = f"{PROJECT}#"

_RELATIONS = (
    *("used", "wasGeneratedBy", "wasDerivedFrom", "wasAssociatedWith", "specializationOf"),
    "wasInvalidatedBy",
)


def prov_document(records: Iterable[LineageRecord], removals: Iterable[Removal] = ()) -> dict[str, Any]:
    """The records as one PROV-JSON document, in their order. It holds names, hashes and counts, no text of examples.

    removals: what was removed since; tables among the records that are none of these are still there.
    """
    document = _Document()
    for record in records:
        document.add_making(record)
    for removal in removals:
        document.add_removal(removal)
    return document.as_json()


class _Document:
    def __init__(self) -> None:
        self._entities: dict[str, dict[str, Any]] = {}
        self._activities: dict[str, dict[str, Any]] = {}
        self._agents: dict[str, dict[str, Any]] = {}
        self._relations: dict[str, dict[str, Any]] = {name: {} for name in _RELATIONS}

    def as_json(self) -> dict[str, Any]:
        return {
            "prefix": {"medeval": PREFIX},
            "entity": self._entities,
            "activity": self._activities,
            "agent": self._agents,
            **{name: found for name, found in self._relations.items() if found},
        }

    def add_making(self, record: LineageRecord) -> None:
        table, making, agent = self._table(record), f"medeval:making-{making_of(record)}", self._agent(record)
        self._activities[making] = {
            "prov:type": _name("medeval:making"),
            "prov:label": f"making of {record.key}",
            "prov:endTime": record.created_at,
            "medeval:run_id": record.run_id,
            "medeval:code_version": record.derivation.code_version,
        }
        self._relate("wasGeneratedBy", entity=table, activity=making, time=record.created_at)
        self._relate("wasAssociatedWith", activity=making, agent=agent)
        for source in self._sources(record):
            self._relate("used", activity=making, entity=source)
            self._relate("wasDerivedFrom", generatedEntity=table, usedEntity=source, activity=making)

    def add_removal(self, removal: Removal) -> None:
        """The table was taken out of the lake on purpose; its content may still be there as another table."""
        table = self._table(removal.record)
        activity = f"medeval:removal-{named('removal', removal.file_sha256, removal.removed_at)}"
        self._activities[activity] = {
            "prov:type": _name(f"medeval:{removal.reason}"),
            "prov:label": f"removal of {removal.record.key}",
            "prov:endTime": removal.removed_at,
        }
        self._relate("wasInvalidatedBy", entity=table, activity=activity, time=removal.removed_at)

    def _table(self, record: LineageRecord) -> str:
        """The table as it was written at one time."""
        table = f"medeval:table-{making_of(record)}"
        self._entities[table] = {
            "prov:type": _name("medeval:table"),
            "prov:label": str(record.key),
            **_place(record.key),
            "medeval:content_sha256": record.content_sha256,
            "medeval:rows": record.rows,
            "medeval:table_version": record.table_version,
            "medeval:access": record.access.value,
            "medeval:licence": record.licence,
            "medeval:synthetic": record.synthetic,
        }
        content = self._content(record.key, record.content_sha256)
        self._relate("specializationOf", specificEntity=table, generalEntity=content)
        return table

    def _content(self, key: LakeKey, content_sha256: str) -> str:
        """What a table holds, whenever it was written."""
        content = f"medeval:content-{named('content', key.folder, content_sha256)}"
        self._entities[content] = {
            "prov:type": _name("medeval:content"),
            "prov:label": f"content of {key}",
            **_place(key),
            "medeval:content_sha256": content_sha256,
        }
        return content

    def _agent(self, record: LineageRecord) -> str:
        code = (record.package_version, record.git_commit, "dirty" if record.git_dirty else "")
        agent = f"medeval:software-{named('software', *code)}"
        self._agents[agent] = {
            "prov:type": _name("prov:SoftwareAgent"),
            "prov:label": f"medeval-assets {record.package_version}",
            "medeval:git_commit": record.git_commit,
            "medeval:git_dirty": record.git_dirty,
        }
        return agent

    def _sources(self, record: LineageRecord) -> list[str]:
        sources = [self._content(one.key, one.content_sha256) for one in record.derivation.inputs]
        for file in record.derivation.raw_files:
            name = f"medeval:file-{named('file', file.name, file.sha256)}"
            self._entities[name] = {
                "prov:type": _name("medeval:raw_file"),
                "prov:label": file.name,
                "medeval:sha256": file.sha256,
                "medeval:size": file.size,
            }
            sources.append(name)
        if identity := identity_of(record):
            name = f"medeval:model-{named('model', json.dumps(identity, sort_keys=True))}"
            self._entities[name] = {
                "prov:type": _name("medeval:model"),
                "prov:label": identity.get("checkpoint", record.model),
                **{f"medeval:{what}": value for what, value in identity.items()},
            }
            sources.append(name)
        return list(dict.fromkeys(sources))

    def _relate(self, kind: str, **ends: str) -> None:
        values: Mapping[str, str] = {f"prov:{name}": value for name, value in ends.items()}
        self._relations[kind][f"_:{named(kind, *values.values())}"] = values


def _place(key: LakeKey) -> dict[str, str]:
    known = {"asset": key.asset, "model": key.model, "task": key.task}
    return {f"medeval:{name}": value for name, value in known.items() if value}


def _name(qualified: str) -> dict[str, str]:
    """A qualified name as a value: without its type it would be a text."""
    return {"$": qualified, "type": "prov:QUALIFIED_NAME"}
