"""Cells as an evaluation leaves them in a lake: five tables, each naming the ones it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medeval_assets.catalog.task_spec import Access
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation, LineageRecord, RawFileRecord
from medeval_assets_tests.core.audit.small_lakes import row_of

TEXT = "ZEBRA-7731"
"""Stands in every text of an example and nowhere else."""

EXAMPLE_ID = "pair-OKAPI-19"
SERVER = "gpu-node-3.internal:8000/v1"
WEIGHTS, WORDING, RAW = "a" * 64, "b" * 64, "c" * 64


def metric_row(metric: str = "accuracy", **told: Any) -> dict[str, Any]:
    """A row of a metric table; `told` says what is different."""
    row = row_of("metric_tables") | {
        "metric": metric,
        "title": metric.capitalize(),
        "profile": "corrected",
        "headline": False,
        "n": 120,
        "clusters": 100,
        "value": 0.625,
        "standard_error": 0.04,
        "low": 0.54,
        "high": 0.7,
        "method": "wilson",
    }
    return row | told


HEADLINE = metric_row(headline=True)


def write_dataset(lake: Lake, task: str, version: str = "1", **about: Any) -> LineageRecord:
    """The task's examples; another version makes other ones."""
    told: dict[str, Any] = {"access": Access.CREDENTIALED, "licence": "DUA 1.5", "synthetic": False} | about
    row = row_of("datasets") | {
        "example_id": EXAMPLE_ID,
        "cluster_id": EXAMPLE_ID,
        "inputs": {"premise": f"{TEXT} {version}"},
        "options": {"A": TEXT},
        "targets": [TEXT],
        "documents": [{"document_id": EXAMPLE_ID, "text": TEXT}],
    }
    raw = RawFileRecord(name="test.jsonl", sha256=RAW, size=7)
    return lake.write(
        LakeKey("datasets", task=task), [row], Derivation(code_version=version, raw_files=(raw,)), run_id="r", **told
    )


def measure(
    lake: Lake,
    model: str = "biomed",
    task: str = "mednli",
    rows: Sequence[Mapping[str, Any]] = (HEADLINE,),
    *,
    limit: int | None = None,
    **about: Any,
) -> LineageRecord:
    """Everything that an evaluation of the cell writes; returns the record of its metric table."""
    told: dict[str, Any] = {"access": Access.CREDENTIALED, "licence": "DUA 1.5", "synthetic": False} | about

    def write(key: LakeKey, content: Sequence[Mapping[str, Any]], *inputs: LineageRecord, **more: Any) -> LineageRecord:
        derivation = Derivation(code_version="1", inputs=tuple(one.as_input() for one in inputs), **more)
        return lake.write(key, content, derivation, run_id="r", **told)

    dataset = write_dataset(lake, task, **about)
    prompt = row_of("prompt_sets") | {
        "example_id": EXAMPLE_ID,
        "messages": [{"role": "user", "content": TEXT}],
        "shots": [EXAMPLE_ID],
    }
    prompts = write(
        LakeKey("prompt_sets", task=task), [prompt], dataset, parameters={"wording": {"mednli.jinja": WORDING}}
    )
    answer = row_of("generations") | {"example_id": EXAMPLE_ID, "text": TEXT}
    generations = write(
        LakeKey("generations", model, task),
        [answer],
        prompts,
        parameters={"limit": limit, "server": SERVER},
        model={"checkpoint": "folder:biomed", "weights_sha256": WEIGHTS, "server": SERVER},
    )
    score = row_of("scores") | {"example_id": EXAMPLE_ID, "cluster_id": EXAMPLE_ID}
    scores = write(LakeKey("scores", model, task), [score], dataset, generations)
    return write(LakeKey("metric_tables", model, task), rows, scores)
