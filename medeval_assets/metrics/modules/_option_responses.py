"""Option responses: predictions of examples that have options, with their log-probabilities where there are any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from medeval_assets.errors import BadInput, Problem
from medeval_assets.metrics.metric import Response
from medeval_assets.metrics.modules._metric_module import responses


def option_responses(
    predictions: Sequence[str], references: Sequence[Sequence[str]], options: Any, option_logprobs: Any
) -> list[Response]:
    """One response for each prediction.

    options: label → text, for all or a list with one mapping for each prediction.
    option_logprobs: None, or for each prediction None or a log-probability (nats) for each option, in their order.

    Raises BadInput where they do not fit to each other, or where a reference is none of the labels.
    """
    bare = responses(predictions, references)
    every = [options] * len(bare) if isinstance(options, Mapping) else _list("options", options, len(bare))
    scored = [None] * len(bare) if option_logprobs is None else _list("option_logprobs", option_logprobs, len(bare))
    return [
        _response(number, one, labels, values)
        for number, (one, labels, values) in enumerate(zip(bare, every, scored, strict=True))
    ]


def _response(number: int, bare: Response, options: Any, logprobs: Any) -> Response:
    if not isinstance(options, Mapping) or not all(isinstance(text, str) for pair in options.items() for text in pair):
        raise BadInput([Problem(f"options[{number}]", "expected label → text", "Give a mapping of strings.")])
    if not all(target in options for target in bare.example.targets):
        raise BadInput([Problem(f"references[{number}]", "no option has this label", "Give labels, not texts.")])
    values = () if logprobs is None else _numbers(f"option_logprobs[{number}]", logprobs)
    if values and len(values) != len(options):
        what = f"{len(values)} log-probabilities for {len(options)} options"
        raise BadInput([Problem(f"option_logprobs[{number}]", what, "Give one for each option, in their order.")])
    return replace(bare, example=replace(bare.example, options=dict(options)), option_logprobs=values)


def _numbers(where: str, given: Iterable[Any]) -> tuple[float, ...]:
    try:
        return tuple(map(float, given))
    except (TypeError, ValueError):
        raise BadInput([Problem(where, "expected a list of numbers", "Give log-probabilities.")]) from None


def _list(name: str, given: Any, length: int) -> list[Any]:
    entries = list(given) if isinstance(given, Iterable) and not isinstance(given, (str, bytes, Mapping)) else None
    if entries is None or len(entries) != length:
        what = f"expected a list, found {type(given).__name__}" if entries is None else f"there are {len(entries)}"
        raise BadInput([Problem(name, what, f"Give one for each of the {length} predictions.")])
    return entries
