"""What an engine is: it answers requests, batch by batch."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from medeval_assets.catalog.task_spec import Decoding
from medeval_assets.errors import MedevalError
from medeval_assets.prompts.prompt import Message

Key = tuple[str, str]
"""Task and example id: what tells the requests of one model apart."""


@dataclass(frozen=True)
class Request:
    """One rendered prompt.

    token_ids: the whole prompt, special tokens included, as the model sees it; empty where a server renders it.
    options: for each option the tokens of its answer after `option_context`; empty for free-text tasks.
    option_context: the longest common prefix of the prompt and of prompt + answer for every option. It equals
        `token_ids` unless the tokenizer merges across the border.
    messages: the conversation that was rendered, for engines that send it on instead of the tokens.
    """

    example_id: str
    token_ids: tuple[int, ...]
    decoding: Decoding
    options: tuple[tuple[int, ...], ...] = ()
    option_context: tuple[int, ...] = ()
    task: str = ""
    messages: tuple[Message, ...] = ()

    @property
    def key(self) -> Key:
        return (self.task, self.example_id)


@dataclass(frozen=True)
class Answer:
    """What came back for one request.

    text: decoded without special tokens, cut before a stop string.
    finish_reason: "stop" (the model ended, or a stop string) or "length"; where a server is asked also "refused" (it
        will never answer this) and "failed" (it did not answer this time).
    generated_tokens: how many tokens were generated, the end token included.
    option_logprobs: summed log-probability (nats) of each option's tokens.
    reason: why it was refused or failed, else "".
    token_ids: the generated tokens, where the engine knows them.
    prompt_tokens: how many a server counted, where the request has none.
    """

    text: str
    finish_reason: str
    generated_tokens: int
    option_logprobs: tuple[float, ...] = ()
    reason: str = ""
    token_ids: tuple[int, ...] = ()
    prompt_tokens: int = 0


Batch = list[tuple[Request, Answer]]
"""Requests that were answered together."""


@dataclass(frozen=True)
class EngineIdentity:
    """What answers, for the record."""

    name: str
    dtype: str
    device: str
    versions: Mapping[str, str]


class EngineDied(MedevalError):
    """The process that held the model is gone. What it had answered is kept; a new engine can go on."""


class Engine(Protocol):
    """A loaded model."""

    @property
    def identity(self) -> EngineIdentity: ...

    def answer(self, requests: Sequence[Request], done: Container[Key] = ()) -> Iterator[Batch]:
        """Answer every request once, but for those that are done; yields each batch as soon as it is answered.

        Which requests share a batch depends on all requests, not on which of them are done, so that an evaluation
        that was interrupted gives the same bits as one that was not. (An engine that batches continuously cannot
        promise that.) The order of the batches is the engine's own. EngineDied where another engine could go on.
        """
        ...

    def close(self) -> None:
        """Free the model's memory."""
        ...
