"""A model's values as they leave the platform: each with its interval, and with the hashes of all that it rests on.

Nothing of an example leaves, neither its text nor its id. What is declared here is the reference of the file;
docs/evaluation_results.schema.json follows from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medeval_assets.catalog.task_spec import Access, TaskSpec
from medeval_assets.errors import BadInput, Problem
from medeval_assets.exports.yaml_text import as_yaml
from medeval_assets.lake.content_hash import content_sha256
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake, plain_rows
from medeval_assets.lake.lineage_record import LineageRecord, RawFileRecord
from medeval_assets.lake.migrations import table_version
from medeval_assets.trace.chain import Link, chain_of

if TYPE_CHECKING:
    from huggingface_hub import EvalResultEntry

CONFIDENCE = 0.95
"""Of every interval that the platform gives."""

FORMAT_VERSION: Literal[1] = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Value(_Frozen):
    """The value of a metric under a set of rules, and how sure it is. What is not known is null."""

    metric: str = Field(description="Metric key")
    title: str = Field(description="Metric as people read it")
    profile: str = Field(description="Set of scoring rules")
    headline: bool = Field(description="The task's first metric, the one a leaderboard shows")
    value: float = Field(ge=0, le=1, description="The metric, as a fraction")
    low: float | None = Field(description="Lower end of its interval")
    high: float | None = Field(description="Upper end of its interval")
    confidence: float = Field(description="Confidence of the interval")
    interval: str = Field(description="How the interval was made")
    standard_error: float | None = Field(description="Standard error of the value")
    n: int = Field(ge=0, description="Examples scored")
    clusters: int = Field(ge=0, description="Independent clusters among them")
    skipped: int = Field(ge=0, description="Prompts that could not be fitted to the model's context; not among n")
    unreadable_rate: float | None = Field(description="Share of answers that could not be read; they count as wrong")
    if_unreadable_wrong: float | None = Field(description="The value if every unreadable answer were wrong")
    if_unreadable_right: float | None = Field(description="The value if every unreadable answer were right")


class TableBehind(_Frozen):
    """A table that the values rest on, as its lineage record tells of it.

    The address of a server that answered is left out: it may be the name of a machine.
    """

    asset: str = Field(description="Asset whose table it is")
    model: str = Field(description="Model key; empty where the table is the same for all models")
    task: str = Field(description="Task key")
    state: Literal["current", "earlier version", "removed"] = Field(
        description="Where it is now; removed: taken out on purpose, with its record as the proof of what it was"
    )
    content_sha256: str = Field(description="Hash of its rows")
    rows: int = Field(description="How many")
    created_at: str = Field(description="When it was written, ISO 8601, UTC")
    code_version: str = Field(description="Version of the step that made it")
    package_version: str = Field(description="Version of medeval-assets")
    git_commit: str = Field(description="Its commit, where it ran from a checkout; else empty")
    git_dirty: bool = Field(description="Whether tracked files differed from that commit")
    parameters: dict[str, Any] = Field(description="What the step was told, with hashes of the wording and of encoders")
    identity: dict[str, str] = Field(
        description="Of what answered, for generations: hashes of weights, tokenizer, config, template"
    )
    environment: dict[str, str] = Field(description="Engine, device and versions of the libraries that computed it")
    raw_files: tuple[RawFileRecord, ...] = Field(description="Files of the task's owner that were read")


class CellResults(_Frozen):
    """What was measured of the model on a task."""

    task: str = Field(description="Task key")
    title: str = Field(description="Task as people read it; says where its examples are synthetic samples")
    about: str = Field(description="What is asked")
    homepage: str = Field(description="Page of the data's owners")
    access: Access = Field(description="Who may see the data behind the values")
    licence: str = Field(description="Licences of the data behind the values")
    synthetic: bool = Field(
        description="Whether they rest on the project's synthetic samples: then they say nothing about a model"
    )
    limit: int | None = Field(description="At most this many examples were asked; null: all")
    created_at: str = Field(description="When the model answered, ISO 8601, UTC")
    computed_with: str = Field(description="The package, its version and its commit")
    metric_table_sha256: str = Field(description="Hash of the rows of the table that the values stand in")
    dataset_sha256: str = Field(description="Hash of the examples, answers included")
    metrics: tuple[Value, ...] = Field(description="Every value, the headline first; metrics without one are left out")
    lineage: tuple[TableBehind, ...] = Field(
        description="Every table that the values rest on, the metric table first, down to the dataset"
    )

    @property
    def headline(self) -> Value | None:
        """The value that a leaderboard shows; None where the metric has none."""
        return next((one for one in self.metrics if one.headline), None)


class EvaluationResults(_Frozen):
    """What was measured of a model, as `medeval export results` prints it.

    format_version is raised when a field comes, goes or means something else.
    """

    format_version: Literal[1] = Field(description="Version of this format")
    model: str = Field(description="Model key")
    results: tuple[CellResults, ...] = Field(description="Task by task")


def results_schema() -> dict[str, Any]:
    """The JSON Schema of what `results_document` returns."""
    schema = EvaluationResults.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def results_of(lake: Lake, tasks: Mapping[str, TaskSpec], model: str, *, synthetic: bool) -> list[CellResults]:
    """What the lake holds on the model, in the order of the tasks; those that are not among `tasks` are left out.

    synthetic: also what rests on the project's synthetic samples. BadInput where there is nothing, where all of it is
    synthetic and that was not asked for, and where a value's table is not what its record says or a table that it rests
    on cannot be found: such a value is not given away.
    """
    measured = {key.task for key in lake.keys("metric_tables") if key.model == model}
    keys = [LakeKey("metric_tables", model, task) for task in tasks if task in measured]
    if not keys:
        raise BadInput([Problem(f"model {model}", "nothing was measured of it yet", "Run `medeval evaluate` first.")])
    wanted = [key for key, record in zip(keys, lake.records(keys), strict=True) if synthetic or not record.synthetic]
    if not wanted:
        what = "all of its values rest on synthetic samples, which say nothing about a model"
        raise BadInput([Problem(f"model {model}", what, "Evaluate it on real files, or ask with `--synthetic`.")])
    return [_cell(lake, tasks[key.task], key) for key in wanted]


def results_document(model: str, results: Sequence[CellResults]) -> dict[str, Any]:
    """Everything as JSON values, for programs."""
    whole = EvaluationResults(format_version=FORMAT_VERSION, model=model, results=tuple(results))
    return whole.model_dump(mode="json")


def hub_entries(results: Sequence[CellResults], benchmarks: Mapping[str, str]) -> list[EvalResultEntry]:
    """The headline values as entries of a leaderboard on the Hugging Face Hub, in the order of `benchmarks`.

    benchmarks: task → the dataset that stands for it on the Hub, `org/name` or `org/name:task`. Only the user knows
    that what was measured here is what a leaderboard there means. BadInput where a task has no value, or one on
    synthetic samples, which no leaderboard would show as such.
    """
    from huggingface_hub import EvalResultEntry

    cells = {cell.task: cell for cell in results}
    entries: list[EvalResultEntry] = []
    problems: list[Problem] = []
    for task, dataset in benchmarks.items():
        cell = cells.get(task)
        headline = cell.headline if cell is not None else None
        if cell is None or headline is None:
            what, remedy = "there is no value that could be given away", "Evaluate it on real files, or leave it out."
            problems.append(Problem(task, what, remedy))
        elif cell.synthetic:
            what = "its value rests on synthetic samples, and a leaderboard would not show that"
            problems.append(Problem(task, what, "Evaluate it on real files, or leave it out."))
        else:
            name, _, part = dataset.partition(":")
            entries.append(
                EvalResultEntry(
                    dataset_id=name,
                    task_id=part or "default",
                    value=headline.value,
                    date=cell.created_at,
                    notes=_notes(cell, headline),
                )
            )
    if problems:
        raise BadInput(problems)
    return entries


def hub_yaml(entries: Sequence[EvalResultEntry]) -> str:
    """The entries as a file for `.eval_results/` of a model's repository on the Hugging Face Hub."""
    from huggingface_hub import eval_result_entries_to_yaml

    return as_yaml(eval_result_entries_to_yaml(list(entries)))


def _notes(cell: CellResults, value: Value) -> str:
    interval = "" if value.low is None else f", 95 % interval {value.low:.4f} to {value.high:.4f}"
    limit = "" if cell.limit is None else f", at most {cell.limit} examples asked"
    return (
        f"{value.title}, n {value.n}{interval}{limit}, rules {value.profile}; {cell.computed_with}; "
        f"not verified by others; dataset content sha256 {cell.dataset_sha256}, "
        f"metric table content sha256 {cell.metric_table_sha256}"
    )


def _cell(lake: Lake, task: TaskSpec, key: LakeKey) -> CellResults:
    chain = chain_of(lake, key)
    table = lake.read(key)
    record, lineage = chain.record, [_table(chain, link) for link in chain.tables()]
    same_columns = record is not None and record.table_version == table_version(key.asset)
    if record is None or record.key != key or (same_columns and content_sha256(table) != record.content_sha256):
        raise _not_proven(key, "it is not what its record says")
    behind = {one.asset: one for one in reversed(lineage)}
    if not {"datasets", "generations"} <= behind.keys():
        raise _not_proven(key, "its record names no dataset or no generations")
    limit = behind["generations"].parameters.get("limit")
    try:
        return CellResults(
            task=task.name,
            title=f"{task.title} (synthetic samples)" if record.synthetic else task.title,
            about=task.about,
            homepage=task.homepage,
            access=record.access,
            licence=record.licence,
            synthetic=record.synthetic,
            limit=limit if isinstance(limit, int) else None,
            created_at=behind["generations"].created_at,
            computed_with=_computed_with(record),
            metric_table_sha256=record.content_sha256,
            dataset_sha256=behind["datasets"].content_sha256,
            metrics=tuple(_value(row) for row in plain_rows(table) if row["value"] is not None),
            lineage=tuple(lineage),
        )
    except ValidationError as error:
        named = ", ".join(sorted({str(one["loc"][-1]) for one in error.errors(include_input=False)}))
        what = f"it holds what no value can be ({named})"
        raise BadInput([Problem(str(key), what, "Materialize it again.")]) from error


def _value(row: Mapping[str, Any]) -> Value:
    return Value(
        metric=row["metric"],
        title=row["title"],
        profile=row["profile"],
        headline=row["headline"],
        value=row["value"],
        low=row["low"],
        high=row["high"],
        confidence=CONFIDENCE,
        interval=row["method"],
        standard_error=row["standard_error"],
        n=row["n"],
        clusters=row["clusters"],
        skipped=row["skipped"],
        unreadable_rate=row["failure_rate"],
        if_unreadable_wrong=row["if_wrong"],
        if_unreadable_right=row["if_right"],
    )


def _table(chain: Link, link: Link) -> TableBehind:
    """What is told of a table. BadInput where it cannot be found: nothing proves such a value."""
    record = link.record
    if record is None or link.state == "missing":
        gone = f"{link.key}, content {link.content_sha256[:12]}…"
        raise _not_proven(chain.key, f"it rests on a table that is not in the lake ({gone})")
    return TableBehind(
        asset=record.asset,
        model=record.model,
        task=record.task,
        state=link.state,
        content_sha256=link.content_sha256,
        rows=record.rows,
        created_at=record.created_at,
        code_version=record.derivation.code_version,
        package_version=record.package_version,
        git_commit=record.git_commit,
        git_dirty=record.git_dirty,
        parameters=_without_server(record.derivation.parameters),
        identity=_without_server(record.derivation.model),
        environment=record.environment,
        raw_files=record.derivation.raw_files,
    )


def _not_proven(key: LakeKey, what: str) -> BadInput:
    return BadInput([Problem(str(key), what, "Ask `medeval audit`, or materialize it again.")])


def _without_server(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name != "server"}


def _computed_with(record: LineageRecord) -> str:
    commit = f", commit {record.git_commit[:12]}" if record.git_commit else ""
    changed = " with local changes" if record.git_dirty else ""
    return f"medeval-assets {record.package_version}{commit}{changed}"
