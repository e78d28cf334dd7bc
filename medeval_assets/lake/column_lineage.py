"""Column lineage, declared once: which columns of the tables before a column is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Column = tuple[str, str]
"""An asset and a column of its table."""

_EXAMPLE = ["datasets.inputs", "datasets.options", "datasets.documents", "datasets.targets"]
_PROMPT = ["prompt_sets.messages", "prompt_sets.cue", "prompt_sets.documents"]
_OPTIONS = [*_PROMPT, "prompt_sets.options"]
_ANSWER = ["generations.text", "generations.option_logprobs"]
_SCORING = [*_ANSWER, "datasets.targets", "datasets.options"]
_VALUE = ["scores.numerator", "scores.denominator"]
_INTERVAL = [*_VALUE, "scores.cluster_id"]
_BOUNDS = [*_VALUE, "scores.perfect", "scores.failure"]
_CAUSES = [*_VALUE, "scores.failure", "scores.cut", "scores.characters"]

_DECLARED: dict[str, dict[str, Sequence[str]]] = {
    "prompt_sets": {
        "example_id": ["datasets.example_id"],
        "messages": _EXAMPLE,
        "options": ["datasets.options"],
        "documents": ["datasets.documents"],
        "shots": ["datasets.example_id", "datasets.split"],
        "prompt_sha256": _EXAMPLE,
    },
    "generations": {
        "example_id": ["prompt_sets.example_id"],
        "prompt_sha256": ["prompt_sets.prompt_sha256"],
        "text": _PROMPT,
        "finish_reason": _PROMPT,
        "skip_reason": _PROMPT,
        "prompt_tokens": _PROMPT,
        "generated_tokens": _PROMPT,
        "option_logprobs": _OPTIONS,
        "option_tokens": ["prompt_sets.options"],
        "fitting": ["prompt_sets.documents"],
        "request_sha256": _OPTIONS,
    },
    "scores": {
        "example_id": ["generations.example_id"],
        "cluster_id": ["datasets.cluster_id"],
        "numerator": _SCORING,
        "denominator": _SCORING,
        "perfect": ["datasets.targets"],
        "value": _SCORING,
        "parse_rule": _ANSWER,
        "failure": _ANSWER,
        "prompt_sha256": ["generations.prompt_sha256"],
        "fitting_sha256": ["generations.fitting"],
        "cut": ["generations.finish_reason"],
        "characters": ["generations.text"],
    },
    "metric_tables": {
        **{name: [f"scores.{name}"] for name in ("metric", "title", "profile")},
        "headline": ["scores.metric"],
        "n": ["scores.example_id"],
        "clusters": ["scores.cluster_id"],
        "value": _VALUE,
        **dict.fromkeys(("standard_error", "low", "high", "method"), _INTERVAL),
        "rules": ["scores.parse_rule"],
        **dict.fromkeys(("failures", "failure_kinds", "failure_rate"), ("scores.failure",)),
        **dict.fromkeys(("failure_low", "failure_high"), ("scores.failure", "scores.cluster_id")),
        **dict.fromkeys(("if_wrong", "if_right"), _BOUNDS),
        "cut": ["scores.cut"],
        "skipped": ["scores.failure"],
    },
    "repeat_checks": {
        "n": ["generations.example_id"],
        "changed_texts": ["generations.text"],
        **dict.fromkeys(("flips", "flip_rate", "flip_low", "flip_high", "shift"), _SCORING),
        "likelihood_difference": ["generations.option_logprobs"],
    },
    "leaderboard": {
        **{
            name: [f"metric_tables.{name}"]
            for name in (
                *("metric", "title", "profile", "headline", "n", "value", "standard_error", "low", "high"),
                *("failure_rate", "if_wrong", "if_right", "skipped"),
            )
        },
        "chance": ["datasets.options", "datasets.split"],
        "agreement": ["metric_tables.low", "metric_tables.high"],
    },
    "comparisons": {
        **{name: [f"scores.{name}"] for name in ("metric", "title", "profile")},
        "refused": ["scores.prompt_sha256"],
        "examples": ["scores.example_id"],
        "other_prompt": ["scores.prompt_sha256"],
        "skipped": ["scores.failure"],
        "fitted_differently": ["scores.fitting_sha256"],
        "n": ["scores.example_id"],
        "clusters": ["scores.cluster_id"],
        **dict.fromkeys(("value", "base_value", "difference"), _VALUE),
        **dict.fromkeys(
            (
                *("standard_error", "low", "high", "bootstrap_low", "bootstrap_high", "p", "p_holm", "p_bh"),
                *("verdict", "non_inferior", "base_non_inferior", "detectable"),
            ),
            _INTERVAL,
        ),
        **dict.fromkeys(("noise", "noise_examples"), ("repeat_checks.shift", "repeat_checks.n")),
        **dict.fromkeys(("both_right", "only_model", "only_base", "neither"), _VALUE),
        **dict.fromkeys(("from_answers", "from_length", "from_format", "from_truncation"), _CAUSES),
        "format_examples": ["scores.failure"],
        "truncated_examples": ["scores.cut"],
        "sign_change": _VALUE,
    },
}


def sources_of(asset: str) -> Mapping[str, Sequence[Column]]:
    """Column → the columns it is made from. Those that are made from raw files, settings or the run alone have none."""
    return {name: [_column(source) for source in sources] for name, sources in _DECLARED.get(asset, {}).items()}


def _column(dotted: str) -> Column:
    asset, _, name = dotted.partition(".")
    return asset, name
