"""What an engine is: it answers requests, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from medeval_assets.catalog.task_spec import Decoding


@dataclass(frozen=True)
class Request:
    """One rendered prompt.

    token_ids: the whole prompt, special tokens included, as the model sees it.
    options: for each option the tokens of its answer after `option_context`; empty for free-text tasks.
    option_context: the longest common prefix of the prompt and of prompt + answer for every option. It equals
        `token_ids` unless the tokenizer merges across the border.
    """

    example_id: str
    token_ids: tuple[int, ...]
    decoding: Decoding
    options: tuple[tuple[int, ...], ...] = ()
    option_context: tuple[int, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What came back for one request.

    text: decoded without special tokens, cut before a stop string.
    finish_reason: "stop" (the model ended, or a stop string) or "length".
    generated_tokens: how many tokens were generated, the end token included.
    option_logprobs: summed log-probability (nats) of each option's tokens.
    """

    example_id: str
    text: str
    finish_reason: str
    generated_tokens: int
    option_logprobs: tuple[float, ...]


@dataclass(frozen=True)
class EngineIdentity:
    """name and dtype decide whether two generations are the same work; the rest is kept for the record."""

    name: str
    dtype: str
    device: str
    versions: Mapping[str, str]


class Engine(Protocol):
    """A loaded model."""

    @property
    def identity(self) -> EngineIdentity: ...

    @property
    def context(self) -> int:
        """The most tokens that prompt and answer may have together."""
        ...

    def answer(self, requests: Sequence[Request]) -> Iterator[list[Answer]]:
        """Answer every request once; yields each batch as it is done, in an order that only depends on the requests."""
        ...

    def close(self) -> None:
        """Free the model's memory."""
        ...
