"""The scores of a cell: every metric of a task for every generation of a model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medeval_assets.catalog.task_spec import Example, TaskSpec
from medeval_assets.errors import BadInput, Problem
from medeval_assets.metrics.metric import Metric, Response, Score

SKIPPED = "skipped"

_SKIPPED_SCORE = Score(0.0, 0.0, failure=SKIPPED, perfect=0.0)
_REMEDY = "Make the generations again from the current dataset."


def score(
    task: TaskSpec, metrics: Sequence[Metric], examples: Iterable[Example], generations: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """One row for each metric and generation: by metric as given, then by example as the dataset does.

    metrics: in the order to be shown; the first is the headline.
    examples: the dataset; only its test split is scored.
    generations: rows with `example_id`, `text`, `finish_reason`, `option_logprobs` (nats, in the order of the options;
        empty or None where there are none), `prompt_sha256` and `fitting` ("" where not known). Examples without a
        generation are left out.

    Columns: example_id, cluster_id, metric, title, profile, numerator, denominator, perfect, value (numerator /
    denominator; None when the denominator is 0), parse_rule, failure; prompt_sha256, fitting_sha256, cut and characters
    (of the answer), by which two models' scores are told to be comparable. A skipped prompt gets denominator 0 and the
    failure "skipped", which keeps it out of the value. A metric that reads likelihoods has no row where none were
    computed.

    Raises BadInput that names every generation whose example is not in the test split or already has one, and every
    one that has another number of log-probabilities than its example has options.
    """
    by_id = {example.example_id: example for example in examples if example.split == "test"}
    rows_by_id = _checked(task, by_id, generations)
    asked = [(example, rows_by_id[key]) for key, example in by_id.items() if key in rows_by_id]
    responses = [
        Response(example, row["text"], tuple(row["option_logprobs"] or ()), row["finish_reason"])
        for example, row in asked
        if row["finish_reason"] != SKIPPED
    ]
    answers = {example.example_id: _answer(row) for example, row in asked}
    table: list[dict[str, Any]] = []
    for metric in metrics:
        answered = metric.scores(responses)
        if metric.reads_likelihood and all(value is None for value in answered):
            continue
        values = iter(answered)
        for example, row in asked:
            value = _SKIPPED_SCORE if row["finish_reason"] == SKIPPED else next(values)
            if value is not None:
                table.append(_row(metric, example, value) | answers[example.example_id])
    return table


def _checked(
    task: TaskSpec, by_id: Mapping[str, Example], generations: Iterable[Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    problems: list[Problem] = []
    for row in generations:
        key = row["example_id"]
        where = f"{task.name} generation {key!r}"
        if key not in by_id:
            problems.append(Problem(where, "no scored example has this id", _REMEDY))
        elif key in found:
            problems.append(Problem(where, "this example already has a generation", "Keep one of the two."))
        elif row["option_logprobs"] and len(row["option_logprobs"]) != len(by_id[key].options):
            what = f"{len(row['option_logprobs'])} log-probabilities for {len(by_id[key].options)} options"
            problems.append(Problem(where, what, _REMEDY))
        else:
            found[key] = row
    if problems:
        raise BadInput(problems)
    return found


def _row(metric: Metric, example: Example, value: Score) -> dict[str, Any]:
    return {
        "example_id": example.example_id,
        "cluster_id": example.cluster_id,
        "metric": metric.name,
        "title": metric.title,
        "profile": metric.profile,
        "numerator": float(value.numerator),
        "denominator": float(value.denominator),
        "perfect": float(value.perfect),
        "value": value.numerator / value.denominator if value.denominator else None,
        "parse_rule": value.rule,
        "failure": value.failure,
    }


def _answer(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a comparison has to know of an answer apart from its scores."""
    fitting = row["fitting"]
    return {
        "prompt_sha256": row["prompt_sha256"],
        "fitting_sha256": hashlib.sha256(fitting.encode()).hexdigest() if fitting else "",
        "cut": row["finish_reason"] == "length",
        "characters": len(row["text"]),
    }
