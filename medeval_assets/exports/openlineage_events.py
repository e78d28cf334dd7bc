"""OpenLineage events of what the lake's records tell, built and sent by the official client.

The records are complete, so the events can be made at any time, as often as somebody asks for them, and are the same
each time: a receiver that was away misses nothing. They hold names, hashes and counts, never text of examples.
Specification: https://openlineage.io/spec/2-0-2/OpenLineage.json
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medeval_assets.errors import BadInput, Problem
from medeval_assets.lake.column_lineage import sources_of
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake, Version
from medeval_assets.lake.lineage_record import LineageRecord

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent
    from openlineage.client.generated.base import InputDataset, OutputDataset

NAMESPACE = "medeval-assets"
PRODUCER = "https://pypi.org/project/medeval-assets/"
RAW_FILES = f"{NAMESPACE}/raw-files"

_RUNS = uuid.UUID("5f0c8a7e-64b1-5d5e-9d0b-0e6d6f3a2c11")  # names the space of our UUIDs, nothing else
_RETRIES = 8
_KEY_VARIABLE = "OPENLINEAGE_API_KEY"


def events_of(lake: Lake, keys: Iterable[LakeKey], *, earlier: bool = False) -> Iterator[RunEvent]:
    """Start and end of what made each table, in the order of the keys. earlier: also what made earlier versions.

    BadInput where a table cannot be read.
    """
    for key in keys:
        if earlier:
            versions = [(lake.version_record(version), version) for version in lake.versions(key)]
            for record, version in sorted(versions, key=lambda one: (one[0].created_at, one[1].file_sha256)):
                yield from _events(lake, record, version)
        else:
            for record in lake.records([key]):
                yield from _events(lake, record, None)


def write_events(events: Iterable[RunEvent], path: Path) -> int:
    """One event a line, in a file that is whole or absent; returns how many."""
    from openlineage.client.client import OpenLineageClient
    from openlineage.client.transport.file import FileConfig, FileTransport

    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        draft.touch(exist_ok=False)
        client = OpenLineageClient(transport=FileTransport(FileConfig(log_file_path=str(draft), append=True)))
        sent = 0
        for event in events:
            client.emit(event)
            sent += 1
        draft.replace(path)
    except OSError as error:
        raise BadInput(
            [Problem(str(path), f"it cannot be written ({error.strerror})", "Give another file.")]
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return sent


def send_events(events: Iterable[RunEvent], url: str) -> int:
    """Send them to a receiver, in their order; returns how many it took.

    A connection that breaks and an answer that says to come back are tried again. What was sent twice is one event: it
    has the same run, job and time. The key for the receiver is read from OPENLINEAGE_API_KEY. BadInput where the
    receiver stays away: it says how many it has.
    """
    import requests
    from openlineage.client.client import OpenLineageClient
    from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport, TokenProvider

    key = os.environ.get(_KEY_VARIABLE, "")
    config = HttpConfig(
        url=url,
        timeout=30,
        auth=ApiKeyTokenProvider({"apiKey": key}) if key else TokenProvider({}),
        retry={
            "total": _RETRIES,
            "connect": _RETRIES,
            "read": _RETRIES,
            "backoff_factor": 0.1,
            "status_forcelist": [429, 500, 502, 503, 504],
            "allowed_methods": ["POST"],
        },
    )
    client = OpenLineageClient(transport=HttpTransport(config))
    sent = 0
    for event in events:
        try:
            client.emit(event)
        except requests.RequestException as error:
            status = error.response.status_code if error.response is not None else type(error).__name__
            what = f"the receiver took {sent} events and then no more ({status})"
            raise BadInput([Problem(url, what, "Send them again: what it has is not counted twice.")]) from error
        sent += 1
    return sent


def _events(lake: Lake, record: LineageRecord, version: Version | None) -> Iterator[RunEvent]:
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
    from openlineage.client.generated import documentation_job, job_type_job, processing_engine_run

    name = f"{record.asset}.{record.model}.{record.task}".rstrip(".").replace("..", ".")
    run = Run(
        # One job a table: a run of Dagster's makes many.
        runId=str(uuid.uuid5(_RUNS, f"{record.run_id} {record.key} {record.content_sha256} {record.created_at}")),
        facets={
            "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
                version=record.package_version, name="medeval-assets"
            ),
            "medeval_record": _custom(
                "MedevalRecordRunFacet",
                dagster_run_id=record.run_id,
                code_version=record.derivation.code_version,
                git_commit=record.git_commit,
                model=record.derivation.model,
                environment=record.environment,
            ),
        },
    )
    job = Job(
        namespace=NAMESPACE,
        name=name,
        facets={
            "jobType": job_type_job.JobTypeJobFacet(processingType="BATCH", integration="DAGSTER", jobType="ASSET"),
            "documentation": documentation_job.DocumentationJobFacet(description=_about(record.asset)),
        },
    )
    inputs: list[Any] = _inputs(record)
    for state, outputs in ((RunState.START, []), (RunState.COMPLETE, [_output(lake, record, version)])):
        yield RunEvent(
            eventType=state,
            eventTime=record.created_at,
            run=run,
            job=job,
            producer=PRODUCER,
            inputs=inputs,
            outputs=outputs,
        )


def _inputs(record: LineageRecord) -> list[InputDataset]:
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.generated import dataset_version_dataset

    def dataset(namespace: str, name: str, version: str) -> InputDataset:
        facet = dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=version)
        return InputDataset(namespace=namespace, name=name, facets={"version": facet})

    tables = [dataset(NAMESPACE, one.key.folder, one.content_sha256) for one in record.derivation.inputs]
    files = [
        dataset(RAW_FILES, f"{record.task}/{one.name}".strip("/"), one.sha256) for one in record.derivation.raw_files
    ]
    return [*tables, *files]


def _output(lake: Lake, record: LineageRecord, version: Version | None) -> OutputDataset:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.generated import (
        column_lineage_dataset,
        data_quality_metrics_dataset,
        dataset_version_dataset,
        datasource_dataset,
        documentation_dataset,
        output_statistics_output_dataset,
        schema_dataset,
    )

    from medeval_assets.lake.tables import column_descriptions

    table = lake.read(record.key) if version is None else lake.version_table(version)
    inputs = {source.asset: source.key.folder for source in record.derivation.inputs}
    fields = {
        column: column_lineage_dataset.Fields(
            inputFields=[
                column_lineage_dataset.InputField(namespace=NAMESPACE, name=inputs[asset], field=name)
                for asset, name in sources
                if asset in inputs
            ]
        )
        for column, sources in sources_of(record.asset).items()
    }
    described = column_descriptions(record.asset)
    quality = {
        name: data_quality_metrics_dataset.ColumnMetrics(nullCount=table.column(name).null_count)
        for name, _, _ in described
        if name in table.column_names
    }
    return OutputDataset(
        namespace=NAMESPACE,
        name=record.key.folder,
        facets={
            "version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=record.content_sha256),
            "dataSource": datasource_dataset.DatasourceDatasetFacet(name=NAMESPACE, uri=f"{NAMESPACE}:lake"),
            "documentation": documentation_dataset.DocumentationDatasetFacet(description=_about(record.asset)),
            "schema": schema_dataset.SchemaDatasetFacet(
                fields=[
                    schema_dataset.SchemaDatasetFacetFields(name=name, type=kind, description=about)
                    for name, kind, about in described
                ]
            ),
            "columnLineage": column_lineage_dataset.ColumnLineageDatasetFacet(
                fields={name: one for name, one in fields.items() if one.inputFields}
            ),
            "dataQualityMetrics": data_quality_metrics_dataset.DataQualityMetricsDatasetFacet(
                columnMetrics=quality, rowCount=record.rows
            ),
            "medeval_access": _custom(
                "MedevalAccessDatasetFacet",
                access=record.access.value,
                licence=record.licence,
                synthetic=record.synthetic,
            ),
        },
        outputFacets={
            "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                rowCount=record.rows
            )
        },
    )


def _about(asset: str) -> str:
    from medeval_assets.lake.tables import TABLES

    return (TABLES[asset].__doc__ or "").strip()


def _custom(name: str, **values: Any) -> Any:
    """A facet of our own, with what the specification asks of every facet."""
    from openlineage.client.generated.base import BaseFacet

    return BaseFacet().with_additional_properties(**values)
