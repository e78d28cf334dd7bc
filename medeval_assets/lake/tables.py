"""The tables of the lake, declared once: Arrow schema, checks and the UI's column schema follow from here.

Heavy to import (pandas, pandera); the lake imports it where a table is written.
"""

from __future__ import annotations

from typing import Annotated

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
from pandera.pandas import DataFrameModel, Field

String = Annotated[pd.ArrowDtype, pa.string()]
Strings = Annotated[pd.ArrowDtype, pa.list_(pa.string())]
StringMap = Annotated[pd.ArrowDtype, pa.map_(pa.string(), pa.string())]
Counts = Annotated[pd.ArrowDtype, pa.map_(pa.string(), pa.int64())]
Integer = Annotated[pd.ArrowDtype, pa.int64()]
Integers = Annotated[pd.ArrowDtype, pa.list_(pa.int64())]
Number = Annotated[pd.ArrowDtype, pa.float64()]
Numbers = Annotated[pd.ArrowDtype, pa.list_(pa.float64())]
Flag = Annotated[pd.ArrowDtype, pa.bool_()]
Messages = Annotated[pd.ArrowDtype, pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))]
Documents = Annotated[pd.ArrowDtype, pa.list_(pa.struct([("document_id", pa.string()), ("text", pa.string())]))]

_SHA256 = r"^[0-9a-f]{64}$"
_SHA256_OR_NONE = r"^([0-9a-f]{64})?$"


class _Table(DataFrameModel):
    class Config:
        strict = True
        ordered = True


class Datasets(_Table):
    """One row an example."""

    example_id: String = Field(unique=True, str_length={"min_value": 1}, description="Stable id of the example")
    cluster_id: String = Field(str_length={"min_value": 1}, description="Patient, document or passage it shares")
    split: String = Field(isin=["test", "dev"], description="test: scored; dev: only ever a shot")
    inputs: StringMap = Field(description="Named texts the prompt template reads")
    options: StringMap = Field(description="Label → text in the order shown; empty for free text")
    targets: Strings = Field(description="The right answer: label, reference texts, codes or mentions")
    documents: Documents = Field(description="Documents in order of importance; empty where inputs hold everything")


class PromptSets(_Table):
    """One row a prompt, the same for every model."""

    example_id: String = Field(unique=True, description="Example the prompt asks about")
    messages: Messages = Field(description="Chat turns: system, shots, question")
    cue: String = Field(description="Words that open an answer where there is no chat template")
    options: StringMap = Field(description="Label → answer whose likelihood stands for the option")
    documents: Documents = Field(description="Documents fitted to each model's context")
    shots: Strings = Field(description="Example ids of the worked examples")
    prompt_sha256: String = Field(str_matches=_SHA256, description="Hash of the prompt before any fitting")


class Generations(_Table):
    """One row a generation."""

    example_id: String = Field(unique=True, description="Example that was asked about")
    prompt_sha256: String = Field(
        str_matches=_SHA256_OR_NONE, description="Hash of the prompt before any fitting; empty where it is not known"
    )
    text: String = Field(description="What the model returned, special tokens left out")
    finish_reason: String = Field(isin=["stop", "length", "skipped", "refused"], description="Why the answer ended")
    skip_reason: String = Field(description="Why the prompt was skipped or refused, or empty")
    prompt_tokens: Integer = Field(ge=0, description="Tokens of the rendered prompt")
    generated_tokens: Integer = Field(ge=0, description="Tokens generated, the end token included")
    option_logprobs: Numbers = Field(description="Summed log-probability (nats) of each option's answer")
    option_tokens: Integers = Field(description="Tokens of each option's answer")
    fitting: String = Field(description="JSON: which documents were shown, truncated or left out; or empty")
    request_sha256: String = Field(description="Hash of model, engine, token ids and decoding; empty if skipped")


class Scores(_Table):
    """One row an example and metric, by metric in the order shown, the headline first."""

    example_id: String = Field(description="Example that was scored")
    cluster_id: String = Field(description="Patient, document or passage it shares")
    metric: String = Field(description="Metric key")
    title: String = Field(description="Metric as people read it")
    profile: String = Field(description="Set of scoring rules")
    numerator: Number = Field(description="The example's share of the metric's numerator")
    denominator: Number = Field(ge=0, description="Its share of the denominator; 0: it says nothing here")
    perfect: Number = Field(ge=0, description="What a right answer would add to both")
    value: Number = Field(nullable=True, description="numerator / denominator")
    parse_rule: String = Field(description="Rule that read the answer, or empty")
    failure: String = Field(description="Why no answer could be read, or empty")
    prompt_sha256: String = Field(
        str_matches=_SHA256_OR_NONE, description="Hash of the prompt that was answered; empty where it is not known"
    )
    fitting_sha256: String = Field(
        str_matches=_SHA256_OR_NONE, description="Hash of how the prompt was fitted to the context; empty if not at all"
    )
    cut: Flag = Field(description="The answer ended at the most tokens it may have")
    characters: Integer = Field(ge=0, description="Length of the answer")


class MetricTables(_Table):
    """One row a metric of a cell."""

    metric: String = Field(description="Metric key")
    title: String = Field(description="Metric as people read it")
    profile: String = Field(description="Set of scoring rules")
    headline: Flag = Field(description="The task's first metric")
    n: Integer = Field(ge=0, description="Examples scored")
    clusters: Integer = Field(ge=0, description="Independent clusters among them")
    value: Number = Field(nullable=True, ge=0, le=1, description="The metric, 0 to 1")
    standard_error: Number = Field(nullable=True, ge=0, description="Standard error of the value")
    low: Number = Field(nullable=True, ge=0, le=1, description="Lower end of the 95 % interval")
    high: Number = Field(nullable=True, ge=0, le=1, description="Upper end of the 95 % interval")
    method: String = Field(description="How the interval was made")
    rules: Counts = Field(description="Parse rule → answers that it read, the most frequent first")
    failures: Integer = Field(ge=0, description="Answers that could not be read")
    failure_kinds: Counts = Field(description="Why → answers that could not be read, the most frequent first")
    failure_rate: Number = Field(nullable=True, ge=0, le=1, description="failures / n")
    failure_low: Number = Field(nullable=True, ge=0, le=1, description="Lower end of its 95 % interval")
    failure_high: Number = Field(nullable=True, ge=0, le=1, description="Upper end of its 95 % interval")
    if_wrong: Number = Field(nullable=True, ge=0, le=1, description="The metric if every unreadable answer were wrong")
    if_right: Number = Field(nullable=True, ge=0, le=1, description="The metric if every unreadable answer were right")
    cut: Integer = Field(ge=0, description="Answers that ended at the most tokens they may have")
    skipped: Integer = Field(ge=0, description="Prompts that could not be fitted to the model's context")


class RepeatChecks(_Table):
    """One row a metric of a cell and way in which some of its prompts were asked again."""

    variant: String = Field(description="alone: one prompt a batch; else the name of another engine")
    metric: String = Field(description="Metric key")
    title: String = Field(description="Metric as people read it")
    profile: String = Field(description="Set of scoring rules")
    n: Integer = Field(ge=0, description="Examples asked again")
    changed_texts: Integer = Field(ge=0, description="Of these, answers with another text")
    flips: Integer = Field(ge=0, description="Of these, examples with another score")
    flip_rate: Number = Field(ge=0, le=1, description="flips / n")
    flip_low: Number = Field(ge=0, le=1, description="Lower end of its 95 % interval")
    flip_high: Number = Field(ge=0, le=1, description="Upper end of its 95 % interval")
    shift: Number = Field(nullable=True, ge=0, description="How far the metric moves if all changes go one way")
    likelihood_difference: Number = Field(
        nullable=True, ge=0, description="Largest change of an option's log-probability (nats)"
    )


class Leaderboard(_Table):
    """One row a model, task and metric."""

    model: String = Field(description="Model key")
    task: String = Field(description="Task key; `clue` for the scores over several tasks")
    group: String = Field(description="Section of the leaderboard")
    metric: String = Field(description="Metric key")
    title: String = Field(description="Metric as people read it")
    profile: String = Field(description="Set of scoring rules")
    headline: Flag = Field(description="The task's first metric")
    n: Integer = Field(ge=0, description="Examples scored")
    value: Number = Field(nullable=True, ge=0, le=1, description="The metric, 0 to 1")
    standard_error: Number = Field(nullable=True, ge=0, description="Standard error of the value")
    low: Number = Field(nullable=True, ge=0, le=1, description="Lower end of the 95 % interval")
    high: Number = Field(nullable=True, ge=0, le=1, description="Upper end of the 95 % interval")
    failure_rate: Number = Field(nullable=True, ge=0, le=1, description="Share of answers that could not be read")
    if_wrong: Number = Field(nullable=True, ge=0, le=1, description="The metric if every unreadable answer were wrong")
    if_right: Number = Field(nullable=True, ge=0, le=1, description="The metric if every unreadable answer were right")
    skipped: Integer = Field(ge=0, description="Prompts that could not be fitted to the model's context")
    synthetic: Flag = Field(description="True where the value rests on the project's synthetic samples")
    chance: Number = Field(nullable=True, ge=0, le=1, description="The value that guessing gives, where known")
    published: Number = Field(nullable=True, ge=0, le=1, description="The value published for this cell, if any")
    source: String = Field(description="Where the published value stands")
    agreement: String = Field(
        isin=["", "agrees", "higher", "lower"],
        description="agrees: the published value lies in our interval; higher, lower: ours is; empty: not comparable",
    )


class Comparisons(_Table):
    """One row a pair, task and metric: is the model better than its base?"""

    model: String = Field(description="Model key")
    base: String = Field(description="Key of the generalist it is compared with")
    task: String = Field(description="Task key")
    group: String = Field(description="Section of the leaderboard")
    metric: String = Field(description="Metric key")
    title: String = Field(description="Metric as people read it")
    profile: String = Field(description="Set of scoring rules")
    family: String = Field(isin=["planned", "exploratory"], description="planned: headline metrics, corrected profile")
    refused: String = Field(description="Why the two cannot be compared, or empty")
    examples: Integer = Field(ge=0, description="Examples that both answered")
    other_prompt: Integer = Field(ge=0, description="Of these, those with another prompt, or an unknown one")
    skipped: Integer = Field(ge=0, description="Of these, those that did not fit one model's context")
    fitted_differently: Integer = Field(ge=0, description="Compared examples whose documents were fitted differently")
    n: Integer = Field(ge=0, description="Examples compared")
    clusters: Integer = Field(ge=0, description="Independent clusters among them")
    value: Number = Field(nullable=True, ge=0, le=1, description="The model's metric on these examples")
    base_value: Number = Field(nullable=True, ge=0, le=1, description="The base's metric on the same examples")
    difference: Number = Field(nullable=True, ge=-1, le=1, description="value - base_value")
    standard_error: Number = Field(nullable=True, ge=0, description="Paired, clustered standard error of it")
    low: Number = Field(nullable=True, description="Lower end of its 95 % interval")
    high: Number = Field(nullable=True, description="Upper end of its 95 % interval")
    bootstrap_low: Number = Field(nullable=True, description="The same by paired cluster bootstrap; empty for 0/1")
    bootstrap_high: Number = Field(nullable=True, description="The same by paired cluster bootstrap; empty for 0/1")
    test: String = Field(description="How p was made: mcnemar_exact, sign_flip or none")
    p: Number = Field(nullable=True, ge=0, le=1, description="p value of no difference, two-sided")
    p_holm: Number = Field(nullable=True, ge=0, le=1, description="p adjusted over the family by Holm")
    p_bh: Number = Field(nullable=True, ge=0, le=1, description="p adjusted over the family by Benjamini and Hochberg")
    verdict: String = Field(isin=["", "win", "tie", "loss", "inconclusive"], description="What the interval says")
    margin: Number = Field(ge=0, description="A difference below it does not matter")
    non_inferior: Flag = Field(description="The model is known to be worse by less than the margin, if at all")
    base_non_inferior: Flag = Field(description="The model is known to be better by less than the margin, if at all")
    detectable: Number = Field(nullable=True, ge=0, description="Smallest difference found with 80 % power")
    noise: Number = Field(nullable=True, ge=0, description="How far it moves when both are asked again; empty: unknown")
    noise_examples: Integer = Field(ge=0, description="Examples that both were asked again")
    both_right: Integer = Field(nullable=True, description="Examples both have right (0/1 metrics)")
    only_model: Integer = Field(nullable=True, description="Examples only the model has right")
    only_base: Integer = Field(nullable=True, description="Examples only the base has right")
    neither: Integer = Field(nullable=True, description="Examples neither has right")
    from_answers: Number = Field(nullable=True, description="Part of the difference from answers that both gave")
    from_length: Number = Field(nullable=True, description="Part that goes with the answers' length (free text)")
    from_format: Number = Field(nullable=True, description="Part from examples with an unreadable answer")
    from_truncation: Number = Field(nullable=True, description="Part from examples with an answer that was cut")
    format_examples: Integer = Field(ge=0, description="Examples with an unreadable answer")
    truncated_examples: Integer = Field(ge=0, description="Examples with an answer that was cut")
    sign_change: String = Field(description="Other readings under which the difference has the other sign")
    synthetic: Flag = Field(description="True where it rests on the project's synthetic samples")


class LineageAudit(_Table):
    """One row a file of the lake, or one that should be there."""

    path: String = Field(unique=True, description="Path below the lake's root")
    asset: String = Field(description="Asset whose table it is; empty where the lake knows no such file")
    model: String = Field(description="Model key, or empty")
    task: String = Field(description="Task key, or empty")
    kind: String = Field(
        isin=["current", "version", "removal", "other"],
        description="current table, version in the archive, proof of a removal, or another file",
    )
    verdict: String = Field(
        isin=["intact", "stale", "tampered", "missing", "orphan", "unreadable"], description="What became of it"
    )
    reason: String = Field(description="Why; empty where it is intact")
    size: Integer = Field(ge=0, description="Bytes")
    file_sha256: String = Field(str_matches=_SHA256_OR_NONE, description="Hash of its bytes, where they were read")
    content_sha256: String = Field(str_matches=_SHA256_OR_NONE, description="Hash of its rows, where they fit")


TABLES: dict[str, type[_Table]] = {
    "datasets": Datasets,
    "prompt_sets": PromptSets,
    "generations": Generations,
    "scores": Scores,
    "metric_tables": MetricTables,
    "repeat_checks": RepeatChecks,
    "leaderboard": Leaderboard,
    "comparisons": Comparisons,
    "lineage_audit": LineageAudit,
}


def arrow_schema(asset: str) -> pa.Schema:
    """The Arrow schema of an asset's table."""
    columns = TABLES[asset].to_schema().columns
    return pa.schema([(name, column.dtype.type.pyarrow_dtype) for name, column in columns.items()])


def column_descriptions(asset: str) -> list[tuple[str, str, str]]:
    """(name, Arrow type, description) of every column."""
    columns = TABLES[asset].to_schema().columns
    return [(name, str(column.dtype.type.pyarrow_dtype), column.description) for name, column in columns.items()]


def table_problems(asset: str, table: pa.Table) -> list[tuple[str, str]]:
    """(column, failed check) of a table that is not as declared; the offending values are left out on purpose."""
    try:
        TABLES[asset].validate(table.to_pandas(types_mapper=pd.ArrowDtype), lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases
        return sorted(
            {(str(column), str(check)) for column, check in zip(cases["column"], cases["check"], strict=True)}
        )
    return []
