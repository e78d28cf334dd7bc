"""OpenLineage events of what the lake's records tell, built by the official client.

The records are complete, so the events can be made at any time, as often as somebody asks for them, and are the same
each time: a receiver that was away misses nothing. They hold names, hashes and counts, never text of examples.
Specification: https://openlineage.io/spec/2-0-2/OpenLineage.json

Names. A table's dataset is called by its folder below the lake's root, `scores/model=m/task=t`, in the namespace of the
lake, and so is the job that makes it. The specification would name a file by its path on a host; ours is the same for
whoever has a copy of the lake, and tells nothing about a machine. Where the lake is a bucket, `symlinks` adds the name
by which others know the object. Raw files and models have namespaces of their own below the lake's.

Times. A record knows when its table was written, not when the work on it began. The specification asks for a START of
every run, so there is one, at the time of the COMPLETE and with nothing in it that would have to be made up; receivers
add up what the events of a run say, and apply events of the same time in the order in which they come.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medeval_assets.exports.making import PROJECT, making_of, named
from medeval_assets.exports.openlineage_facets import MedevalAccessDatasetFacet, MedevalRecordRunFacet, identity_of
from medeval_assets.exports.table_file import TableFile, current_file, version_file
from medeval_assets.lake.column_lineage import Column, rows_from, sources_of
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.lake.migrations import table_version
from medeval_assets.lake.removal import Removal

if TYPE_CHECKING:
    from openlineage.client.event_v2 import DatasetEvent, RunEvent
    from openlineage.client.generated.base import InputDataset, OutputDataset

NAMESPACE = "medeval-assets"


@dataclass(frozen=True)
class _Making:
    """A table that was made. file: None where it was removed and only its record stayed."""

    record: LineageRecord
    file: TableFile | None


def events_of(lake: Lake, *, namespace: str = NAMESPACE, earlier: bool = False) -> Iterator[RunEvent | DatasetEvent]:
    """START and COMPLETE of what made each table, in the order the data flow, and a DROP of each table that is gone.

    namespace: whose tables they are; lakes that one receiver knows each need their own.
    earlier: also what made earlier versions, as far as they or the proofs of their removal are there.
    BadInput where a table or a proof cannot be read.
    """
    from medeval_assets.lake.tables import TABLES

    removals: dict[LakeKey, list[Removal]] = {}
    for removal in lake.removals():
        removals.setdefault(removal.record.key, []).append(removal)
    events = _Events(lake, namespace)
    for asset in TABLES:
        current = set(lake.keys(asset))
        for key in sorted(current | {key for key in removals if key.asset == asset}):
            removed = removals.get(key, [])
            for making in _makings(lake, key, removed, there=key in current, earlier=earlier):
                yield from events.of_making(making)
            purged = [removal for removal in removed if removal.reason == "purge"]
            if purged and key not in current:
                yield events.of_drop(max(purged, key=lambda removal: removal.record.created_at))


def _makings(lake: Lake, key: LakeKey, removed: Sequence[Removal], *, there: bool, earlier: bool) -> Sequence[_Making]:
    """The makings of a table, the oldest first."""
    files = [current_file(lake, key)] if there else []
    if earlier:
        files += [version_file(lake, version) for version in lake.versions(key)]
    proofs = removed if earlier else []
    found = {making_of(removal.record): _Making(removal.record, None) for removal in proofs}
    # A table that is there tells more than a proof that it was there before.
    found |= {making_of(file.record): _Making(file.record, file) for file in files}
    return sorted(found.values(), key=lambda making: (making.record.created_at, making_of(making.record)))


class _Events:
    """Builds the events of a lake."""

    def __init__(self, lake: Lake, namespace: str) -> None:
        self._lake = lake
        self._namespace = namespace

    def of_making(self, making: _Making) -> Iterator[RunEvent]:
        from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
        from openlineage.client.generated import documentation_job, job_type_job, processing_engine_run

        record = making.record
        run, job = making_of(record), record.key.folder
        yield RunEvent(
            eventType=RunState.START,
            eventTime=record.created_at,
            run=Run(run),
            job=Job(self._namespace, job),
            producer=PROJECT,
        )
        run_facets: dict[str, Any] = {
            "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
                version=record.package_version, name="medeval-assets", producer=PROJECT
            ),
            MedevalRecordRunFacet.name: MedevalRecordRunFacet.of(record).facet(),
        }
        job_facets: dict[str, Any] = {
            "jobType": job_type_job.JobTypeJobFacet(
                processingType="BATCH", integration="DAGSTER", jobType="ASSET", producer=PROJECT
            ),
            "documentation": documentation_job.DocumentationJobFacet(
                description=f"Makes the table: {_about(record.asset)}", producer=PROJECT
            ),
        }
        yield RunEvent(
            eventType=RunState.COMPLETE,
            eventTime=record.created_at,
            run=Run(run, run_facets),
            job=Job(self._namespace, job, job_facets),
            inputs=self._inputs(record),
            outputs=[self._output(making)],
            producer=PROJECT,
        )

    def of_drop(self, removal: Removal) -> DatasetEvent:
        """A table is gone, and this was its last version."""
        from openlineage.client.event_v2 import DatasetEvent, StaticDataset
        from openlineage.client.generated import lifecycle_state_change_dataset

        facets: dict[str, Any] = {
            "version": _version(removal.record.content_sha256),
            "lifecycleStateChange": lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet(
                lifecycleStateChange=lifecycle_state_change_dataset.LifecycleStateChange.DROP, producer=PROJECT
            ),
        }
        return DatasetEvent(
            eventTime=removal.removed_at,
            dataset=StaticDataset(namespace=self._namespace, name=removal.record.key.folder, facets=facets),
            producer=PROJECT,
        )

    def _inputs(self, record: LineageRecord) -> list[InputDataset]:
        from openlineage.client.event_v2 import InputDataset
        from openlineage.client.generated import input_statistics_input_dataset

        def dataset(name: str, below: str = "", size: int | None = None, **facets: Any) -> InputDataset:
            read = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
                size=size, fileCount=1, producer=PROJECT
            )
            return InputDataset(
                namespace=f"{self._namespace}{below}",
                name=name,
                facets=facets,
                inputFacets=None if size is None else {"inputStatistics": read},
            )

        derivation, identity = record.derivation, identity_of(record)
        tables = [dataset(one.key.folder, version=_version(one.content_sha256)) for one in derivation.inputs]
        wholes = [
            dataset(asset, documentation=_documentation(asset), schema=_schema(asset))
            for asset in _read_as_a_whole(record)
        ]
        files = [
            dataset(f"{record.task}/{one.name}".lstrip("/"), "/raw-files", one.size, version=_version(one.sha256))
            for one in derivation.raw_files
        ]
        models = [
            dataset(model, "/models", version=_version(named("model", json.dumps(identity, sort_keys=True))))
            for model in ([record.model] if identity else [])
        ]
        return [*tables, *wholes, *files, *models]

    def _output(self, making: _Making) -> OutputDataset:
        from openlineage.client.event_v2 import OutputDataset
        from openlineage.client.generated import (
            data_quality_metrics_dataset,
            datasource_dataset,
            hierarchy_dataset,
            output_statistics_output_dataset,
            symlinks_dataset,
        )

        record, file = making.record, making.file
        key = record.key
        levels = [("ASSET", key.asset), ("MODEL", key.model), ("TASK", key.task)]
        facets: dict[str, Any] = {
            "version": _version(record.content_sha256),
            "dataSource": datasource_dataset.DatasourceDatasetFacet(
                name=self._namespace, uri=f"{NAMESPACE}:lake", producer=PROJECT
            ),
            "hierarchy": hierarchy_dataset.HierarchyDatasetFacet(
                [hierarchy_dataset.HierarchyDatasetFacetLevel(kind, name) for kind, name in levels if name],
                producer=PROJECT,
            ),
            "documentation": _documentation(key.asset),
            MedevalAccessDatasetFacet.name: MedevalAccessDatasetFacet.of(record).facet(),
        }
        if record.table_version == table_version(key.asset):
            facets |= {"schema": _schema(key.asset), "columnLineage": self._column_lineage(record)}
        elif file is not None:
            facets["schema"] = _schema(key.asset, file)
        if file is not None:
            facets["dataQualityMetrics"] = data_quality_metrics_dataset.DataQualityMetricsDatasetFacet(
                rowCount=record.rows,
                bytes=file.size,
                fileCount=1,
                lastUpdated=record.created_at,
                columnMetrics={
                    column.name: data_quality_metrics_dataset.ColumnMetrics(
                        nullCount=column.nulls, min=column.least, max=column.most, quantiles=None
                    )
                    for column in file.columns
                    if column.nulls is not None
                },
                producer=PROJECT,
            )
        if not self._lake.is_local:
            scheme, _, path = self._lake.uri(key).partition("://")
            bucket, _, name = path.partition("/")
            facets["symlinks"] = symlinks_dataset.SymlinksDatasetFacet(
                [symlinks_dataset.Identifier(f"{scheme}://{bucket}", name, "LOCATION")], producer=PROJECT
            )
        written: dict[str, Any] = {
            "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                rowCount=record.rows, size=None if file is None else file.size, fileCount=1, producer=PROJECT
            )
        }
        return OutputDataset(namespace=self._namespace, name=key.folder, facets=facets, outputFacets=written)

    def _column_lineage(self, record: LineageRecord) -> Any:
        """Which columns each column is made from, and by which its rows were chosen.

        A table over all cells names the columns of the asset as a whole, which stands among its inputs beside the
        tables themselves: so the event grows with the cells, and not with cells times columns.
        """
        from openlineage.client.generated import column_lineage_dataset as lineage

        names = {source.asset: source.key.folder for source in record.derivation.inputs}
        names |= {asset: asset for asset in _read_as_a_whole(record)}

        def fields(sources: Sequence[Column], *how: lineage.Transformation) -> list[lineage.InputField]:
            return [
                lineage.InputField(self._namespace, names[asset], name, list(how) or None)
                for asset, name in sources
                if asset in names
            ]

        engine = str(record.derivation.parameters.get("engine", ""))
        made = {name: fields(sources) for name, sources in sources_of(record.asset, engine).items()}
        return lineage.ColumnLineageDatasetFacet(
            fields={name: lineage.Fields(sources) for name, sources in made.items() if sources},
            dataset=fields(rows_from(record.asset), lineage.Transformation("INDIRECT")),
            producer=PROJECT,
        )


def _read_as_a_whole(record: LineageRecord) -> list[str]:
    """The assets of which the table reads more than one table."""
    counts: Mapping[str, int] = Counter(source.asset for source in record.derivation.inputs)
    return [asset for asset, count in counts.items() if count > 1]


def _version(content_sha256: str) -> Any:
    from openlineage.client.generated import dataset_version_dataset

    return dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=content_sha256, producer=PROJECT)


def _documentation(asset: str) -> Any:
    from openlineage.client.generated import documentation_dataset

    return documentation_dataset.DocumentationDatasetFacet(description=_about(asset), producer=PROJECT)


def _schema(asset: str, older: TableFile | None = None) -> Any:
    """The columns as they are declared today. older: a file that was written with other columns: those that it has."""
    from openlineage.client.generated import schema_dataset

    from medeval_assets.lake.tables import column_descriptions

    columns = column_descriptions(asset)
    if older is not None:
        about = {name: description for name, _, description in columns}
        columns = [(column.name, column.kind, about.get(column.name, "")) for column in older.columns]
    return schema_dataset.SchemaDatasetFacet(
        [
            schema_dataset.SchemaDatasetFacetFields(name, kind, description or None, fields=None)
            for name, kind, description in columns
        ],
        producer=PROJECT,
    )


def _about(asset: str) -> str:
    from medeval_assets.lake.tables import TABLES

    return " ".join((TABLES[asset].__doc__ or "").split())
