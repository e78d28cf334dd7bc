"""Ending: what ends an answer, on every engine that generates here the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medeval_assets.catalog.task_spec import Decoding
from medeval_assets.engines.protocol import Answer, Request


@dataclass(frozen=True)
class Ending:
    """What ends an answer: its length, tokens, and strings that are no token of their own."""

    tokenizer: Any
    most: int
    tokens: frozenset[int]
    strings: tuple[str, ...]

    @classmethod
    def of(cls, decoding: Decoding, tokenizer: Any, end_tokens: frozenset[int]) -> Ending:
        """end_tokens: those that end every answer of the checkpoint."""
        added = tokenizer.get_added_vocab()
        return cls(
            tokenizer=tokenizer,
            most=decoding.max_new_tokens,
            tokens=end_tokens | {added[stop] for stop in decoding.stop if stop in added},
            strings=tuple(stop for stop in decoding.stop if stop not in added),
        )

    def reached(self, generated: Sequence[int]) -> bool:
        """Whether the last of the generated tokens ends the answer."""
        if generated[-1] in self.tokens:
            return True
        if not self.strings:
            return False
        # A token stands for a byte at least, so a string cannot have begun earlier.
        last = generated[-max(len(string.encode()) for string in self.strings) :]
        text = self.tokenizer.decode(last, skip_special_tokens=True)
        return any(string in text for string in self.strings)

    def cut(self, tokens: Sequence[int]) -> Sequence[int]:
        """The tokens up to the first that ends the answer."""
        return next((tokens[:count] for count in range(1, len(tokens)) if self.reached(tokens[:count])), tokens)

    def answer(self, request: Request, tokens: Sequence[int], logprobs: tuple[float, ...]) -> Answer:
        """The answer that these tokens are, the ending one included."""
        text = str(self.tokenizer.decode(tokens, skip_special_tokens=True))
        return Answer(
            text=cut_at_stop(text, request.decoding),
            finish_reason="stop" if self.reached(tokens) else "length",
            generated_tokens=len(tokens),
            option_logprobs=logprobs,
            token_ids=tuple(tokens),
        )


def cut_at_stop(text: str, decoding: Decoding) -> str:
    """The text before the first of the strings that end it."""
    return text[: min((place for stop in decoding.stop if (place := text.find(stop)) >= 0), default=None)]


def end_tokens(generation_config: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end every answer: those that the generation config names, and the tokenizer's own."""
    return frozenset(_token_ids(generation_config.eos_token_id) | _token_ids(tokenizer.eos_token_id))


def _token_ids(value: int | Sequence[int] | None) -> set[int]:
    if value is None:
        return set()
    return {value} if isinstance(value, int) else set(value)
