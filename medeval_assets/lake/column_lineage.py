"""Column lineage, declared once: which columns of the tables before a column is made from.

It says what the code reads, no more and no less: a test changes every column of every table and looks what follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Column = tuple[str, str]
"""An asset and a column of its table."""

_QUESTION = ["datasets.inputs", "datasets.options", "datasets.documents"]
_EXAMPLE = [*_QUESTION, "datasets.targets"]
_PROMPT = [f"prompt_sets.{name}" for name in ("example_id", "messages", "cue", "options", "documents")]
_ANSWER = ["generations.text", "generations.finish_reason", "generations.option_logprobs"]
_RATIO = ["scores.numerator", "scores.denominator"]
_SCORED_RATIO = [*_RATIO, "scores.failure"]
_CAUSES = [*_SCORED_RATIO, "scores.cut"]

_ASKED: Mapping[str, Sequence[str]] = {
    "example_id": ["prompt_sets.example_id"],
    "prompt_sha256": ["prompt_sets.prompt_sha256"],
}
_ANSWERED: Mapping[str, Mapping[str, Sequence[str]]] = {
    "baseline": {
        **_ASKED,
        "text": ["datasets.example_id", *_EXAMPLE],
        "request_sha256": ["prompt_sets.prompt_sha256"],
    },
    "external": {"example_id": ["prompt_sets.example_id"]},
    "": {
        **_ASKED,
        **dict.fromkeys(("text", "finish_reason", "skip_reason", "prompt_tokens", "generated_tokens"), _PROMPT),
        **dict.fromkeys(("option_logprobs", "option_tokens", "fitting", "request_sha256"), _PROMPT),
    },
}
"""Generations, by who answered: a baseline, a file of answers from elsewhere, or a model."""

_MADE: Mapping[str, Mapping[str, Sequence[str]]] = {
    "prompt_sets": {
        "example_id": ["datasets.example_id"],
        "messages": _EXAMPLE,
        "options": ["datasets.options"],
        "documents": ["datasets.documents"],
        "shots": ["datasets.example_id"],
        "prompt_sha256": ["datasets.example_id", *_EXAMPLE],
    },
    "scores": {
        "example_id": ["datasets.example_id"],
        "cluster_id": ["datasets.cluster_id"],
        **dict.fromkeys(("numerator", "value"), (*_ANSWER, *_EXAMPLE)),
        "denominator": ["generations.text", "generations.finish_reason", "datasets.targets"],
        "perfect": ["generations.finish_reason", "datasets.targets"],
        "parse_rule": [*_ANSWER, *_QUESTION],
        "failure": [*_ANSWER, "datasets.options"],
        "prompt_sha256": ["generations.prompt_sha256"],
        "fitting_sha256": ["generations.fitting"],
        "cut": ["generations.finish_reason"],
        "characters": ["generations.text"],
    },
    "metric_tables": {
        **{name: [f"scores.{name}"] for name in ("metric", "title", "profile")},
        **dict.fromkeys(("n", "failures", "failure_kinds", "failure_rate"), ("scores.failure",)),
        **dict.fromkeys(("failure_low", "failure_high", "skipped"), ("scores.failure",)),
        "clusters": ["scores.cluster_id", "scores.denominator", "scores.failure"],
        **dict.fromkeys(("value", "if_wrong"), _SCORED_RATIO),
        **dict.fromkeys(("standard_error", "low", "high", "method"), (*_SCORED_RATIO, "scores.cluster_id")),
        "if_right": [*_SCORED_RATIO, "scores.perfect"],
        "rules": ["scores.parse_rule", "scores.failure"],
        "cut": ["scores.cut", "scores.failure"],
    },
    "repeat_checks": {
        "n": ["generations.example_id"],
        "changed_texts": ["generations.text"],
        **dict.fromkeys(("flips", "flip_rate", "flip_low", "flip_high", "shift"), (*_ANSWER, *_EXAMPLE)),
        "likelihood_difference": ["generations.option_logprobs"],
    },
    "leaderboard": {
        **{
            name: [f"metric_tables.{name}"]
            for name in (
                *("metric", "title", "profile", "headline", "n", "value", "standard_error"),
                *("failure_rate", "if_wrong", "if_right", "skipped"),
            )
        },
        # The ends of a level score's interval are made from its value and standard error.
        **{
            name: [f"metric_tables.{source}" for source in (name, "value", "standard_error")]
            for name in ("low", "high")
        },
        "agreement": [f"metric_tables.{source}" for source in ("low", "high", "value", "standard_error")],
        "chance": ["datasets.options", "datasets.split", "metric_tables.headline"],
    },
    "comparisons": {
        **{name: [f"scores.{name}"] for name in ("metric", "title", "profile")},
        "family": ["scores.profile"],
        **dict.fromkeys(("examples", "n"), ("scores.example_id",)),
        **dict.fromkeys(("refused", "other_prompt"), ("scores.prompt_sha256",)),
        "skipped": ["scores.failure"],
        "fitted_differently": ["scores.fitting_sha256"],
        "clusters": ["scores.cluster_id", "scores.denominator"],
        **dict.fromkeys(("value", "base_value", "difference", "sign_change"), _RATIO),
        **dict.fromkeys(("both_right", "only_model", "only_base", "neither"), _RATIO),
        **dict.fromkeys(
            (
                *("standard_error", "low", "high", "bootstrap_low", "bootstrap_high", "test", "p", "p_holm", "p_bh"),
                *("verdict", "non_inferior", "base_non_inferior", "detectable"),
            ),
            (*_RATIO, "scores.cluster_id"),
        ),
        "noise": ["repeat_checks.shift"],
        "noise_examples": ["repeat_checks.n", "repeat_checks.shift"],
        **dict.fromkeys(("from_answers", "from_length"), (*_CAUSES, "scores.characters")),
        **dict.fromkeys(("from_format", "from_truncation"), _CAUSES),
        **dict.fromkeys(
            ("format_examples", "truncated_examples"), ("scores.failure", "scores.cut", "scores.denominator")
        ),
    },
}

_CHOSEN: Mapping[str, Sequence[str]] = {
    "prompt_sets": ["datasets.example_id", "datasets.split"],
    "generations": ["prompt_sets.example_id"],
    "scores": [
        *("datasets.example_id", "datasets.split", "generations.example_id"),
        *("generations.finish_reason", "generations.option_logprobs"),
    ],
    "metric_tables": ["scores.metric", "scores.profile"],
    "repeat_checks": [
        *("datasets.example_id", "datasets.split", *_PROMPT),
        *("generations.example_id", "generations.request_sha256"),
        *("generations.finish_reason", "generations.option_logprobs"),
    ],
    "leaderboard": ["metric_tables.metric", "metric_tables.profile", "metric_tables.value"],
    "comparisons": [
        *(f"scores.{name}" for name in ("metric", "profile", "example_id", "prompt_sha256", "failure")),
        *("repeat_checks.metric", "repeat_checks.profile"),
    ],
}


def sources_of(asset: str, engine: str = "") -> Mapping[str, Sequence[Column]]:
    """Column → the columns that its values are computed from; those made from settings or raw files alone are left out.

    engine: what answered, for generations: as in the parameters of their record.
    """
    made = _ANSWERED.get(engine, _ANSWERED[""]) if asset == "generations" else _MADE.get(asset, {})
    return {name: [_column(source) for source in sources] for name, sources in made.items()}


def rows_from(asset: str) -> Sequence[Column]:
    """The columns by which an asset's rows are chosen, matched and grouped: they bear on every column."""
    return [_column(source) for source in _CHOSEN.get(asset, ())]


def _column(dotted: str) -> Column:
    asset, _, name = dotted.partition(".")
    return asset, name
