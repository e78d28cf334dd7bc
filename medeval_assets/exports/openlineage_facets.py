"""Facets of our own: what a record says and OpenLineage has no standard facet for.

The specification asks two things of such a facet: a name that begins with the project's, and the address of its schema,
which never changes. docs/openlineage_facets.schema.json follows from what is declared here. Who changes a facet raises
VERSION, so that the address is another one.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.json_schema import models_json_schema

from medeval_assets.catalog.task_spec import Access
from medeval_assets.exports.making import PROJECT
from medeval_assets.lake.lineage_record import LineageRecord

VERSION = "1-0-0"
SCHEMA = f"{PROJECT}openlineage/{VERSION}/openlineage_facets.schema.json"
"""The schema's name. The file itself lies in the project's docs."""

_SPECIFICATION = "https://openlineage.io/spec/2-0-2/OpenLineage.json"


class _Facet(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    name: ClassVar[str]
    kind: ClassVar[str]

    def facet(self) -> dict[str, Any]:
        """The facet as it stands in an event."""
        about = {"_producer": PROJECT, "_schemaURL": f"{SCHEMA}#/$defs/{type(self).__name__}"}
        return about | self.model_dump(mode="json", by_alias=True)


class MedevalRecordRunFacet(_Facet):
    """How a table was made."""

    name = "medeval_record"
    kind = "RunFacet"

    dagster_run_id: str = Field(description="Dagster's run; it may have made many tables")
    code_version: str = Field(description="Version of the step that made the table")
    package_version: str = Field(description="Version of medeval-assets")
    git_commit: str = Field(description="Its commit, where it ran from a checkout; else empty")
    git_dirty: bool = Field(description="Whether tracked files differed from that commit")
    model: dict[str, str] = Field(description="Identity of the model that answered; empty where none was asked")
    environment: dict[str, str] = Field(description="Engine, device and library versions that computed the rows")

    @classmethod
    def of(cls, record: LineageRecord) -> Self:
        return cls(
            dagster_run_id=record.run_id,
            code_version=record.derivation.code_version,
            package_version=record.package_version,
            git_commit=record.git_commit,
            git_dirty=record.git_dirty,
            model=identity_of(record),
            environment=record.environment,
        )


class MedevalAccessDatasetFacet(_Facet):
    """Who may see a table's rows, and under which licences."""

    name = "medeval_access"
    kind = "DatasetFacet"

    access: Access = Field(description="The strictest class of all the data behind the rows")
    licence: str = Field(description="Licences of the data behind the rows")
    synthetic: bool = Field(description="Whether the rows rest on the project's own synthetic samples")

    @classmethod
    def of(cls, record: LineageRecord) -> Self:
        return cls(access=record.access, licence=record.licence, synthetic=record.synthetic)


FACETS: tuple[type[_Facet], ...] = (MedevalRecordRunFacet, MedevalAccessDatasetFacet)


def identity_of(record: LineageRecord) -> dict[str, str]:
    """Who answered, as far as others need to know: without the address of a server."""
    return {name: value for name, value in record.derivation.model.items() if value and name != "server"}


def facets_schema() -> dict[str, Any]:
    """The JSON Schema of our facets, in the form of the specification's own."""
    _, made = models_json_schema([(facet, "serialization") for facet in FACETS])
    definitions: dict[str, Any] = made["$defs"]
    for facet in FACETS:
        own = definitions[facet.__name__]
        del own["additionalProperties"]  # what every facet has comes from the other part
        base = {"$ref": f"{_SPECIFICATION}#/$defs/{facet.kind}"}
        definitions[facet.__name__] = {"allOf": [base, own], "type": "object"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA,
        "$defs": definitions,
        "type": "object",
        "properties": {facet.name: {"$ref": f"#/$defs/{facet.__name__}"} for facet in FACETS},
    }
