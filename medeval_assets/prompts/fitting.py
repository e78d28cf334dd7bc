"""Fitting: a prompt made to fit one model's context, with a record of what was left out."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from medeval_assets.catalog.task_spec import Document, DocumentRule
from medeval_assets.errors import MedevalError
from medeval_assets.prompts.prompt import DOCUMENTS, Message, Prompt

SMALLEST_PIECE = 16
"""Tokens. A document that would keep fewer is left out: the first words of a letterhead inform nobody."""


class TokenCounter(Protocol):
    """What fitting asks of a tokenizer. Documents recur in many prompts, so remembering their counts pays.

    Counts need not add up: that of a joined text may differ from the sum of its parts.
    """

    def count_messages(self, messages: Sequence[Message]) -> int:
        """Tokens of the prompt as rendered for the model, its template and special tokens included."""
        ...

    def count(self, text: str) -> int:
        """Tokens of the text alone, without special tokens."""
        ...

    def truncate(self, text: str, most: int) -> str:
        """The longest prefix of `text` that has at most `most` tokens."""
        ...


@dataclass(frozen=True)
class Fitted:
    """A prompt that fits.

    fitting: {} where the prompt has no documents, else `documents` (ids in the order shown), `truncated` (the
        id of the one that was cut, or ""), `truncated_tokens` (what is kept of it), `left_out` (ids, most
        important first) and `budget` (tokens).
    """

    messages: tuple[Message, ...]
    fitting: dict[str, object]


@dataclass(frozen=True)
class Skipped:
    """A prompt that cannot be made to fit. reason: numbers, never text of the prompt."""

    reason: str


@dataclass(frozen=True)
class _Piece:
    """A document as it will be shown: whole, or the beginning of it."""

    document: Document
    text: str
    tokens: int

    @property
    def is_whole(self) -> bool:
        return len(self.text) == len(self.document.text)


def fit(prompt: Prompt, rule: DocumentRule | None, tokens: TokenCounter, budget: int) -> Fitted | Skipped:
    """The prompt within `budget` tokens as rendered, its documents chosen and shuffled by `rule`.

    Documents are taken whole in their order of importance. The first that does not fit is truncated, and none
    follows it. The order shown depends only on the example id and on how many documents are shown.
    MedevalError where the prompt has documents, but no rule or not exactly one slot for them.
    """
    if not prompt.documents:
        needed = tokens.count_messages(prompt.messages)
        if needed > budget:
            return Skipped(f"the prompt has {needed} tokens and the context leaves {budget}")
        return Fitted(prompt.messages, {})

    if rule is None:
        raise MedevalError(f"Prompt {prompt.example_id} has documents, but its task has no rule to fit them.")
    slots = prompt.messages[-1].content.count(DOCUMENTS)
    if slots != 1:
        raise MedevalError(
            f"Prompt {prompt.example_id} has {slots} places for documents in its last message. "
            "The task's template must write {{ documents }} exactly once, and no input may hold that mark."
        )

    bare = tokens.count_messages(_with_documents(prompt, ""))
    if bare > budget:
        return Skipped(f"the prompt has {bare} tokens without its documents and the context leaves {budget}")
    available = min(rule.max_tokens, budget - bare)

    pieces = _take(prompt.documents, rule.separator, tokens, available)
    while pieces:
        shown = _shuffled(pieces, prompt.example_id)
        messages = _with_documents(prompt, rule.separator.join(piece.text for piece in shown))
        # Joining pieces can make more tokens than they have apart, so only the rendered whole decides.
        excess = tokens.count_messages(messages) - bare - available
        if excess <= 0:
            return Fitted(messages, _record(prompt, pieces, shown, budget))
        *pieces, last = pieces
        shorter = _beginning(last.document, last.tokens - excess, tokens)
        if shorter is not None:
            pieces.append(shorter)
    return Skipped(
        f"none of {len(prompt.documents)} documents fits into {available} tokens "
        f"(the prompt has {bare} without them, the context leaves {budget})"
    )


def _take(documents: Sequence[Document], separator: str, tokens: TokenCounter, available: int) -> list[_Piece]:
    pieces: list[_Piece] = []
    between = tokens.count(separator)
    for document in documents:
        room = available - (between if pieces else 0)
        size = tokens.count(document.text)
        if size > room:
            beginning = _beginning(document, room, tokens)
            return pieces if beginning is None else [*pieces, beginning]
        pieces.append(_Piece(document, document.text, size))
        available = room - size
    return pieces


def _beginning(document: Document, most: int, tokens: TokenCounter) -> _Piece | None:
    """The first `most` tokens of a document; None where that is too little to keep."""
    if most < SMALLEST_PIECE:
        return None
    text = tokens.truncate(document.text, most)
    # Capped, so that every attempt to shrink asks for less than the last one, whatever the tokenizer says.
    kept = min(tokens.count(text), most)
    return None if kept < SMALLEST_PIECE else _Piece(document, text, kept)


def _shuffled(pieces: Sequence[_Piece], example_id: str) -> list[_Piece]:
    seed = int.from_bytes(hashlib.sha256(example_id.encode()).digest())
    shown = list(pieces)
    random.Random(seed).shuffle(shown)  # noqa: S311 - an order that can be repeated is wanted, not a secret
    return shown


def _with_documents(prompt: Prompt, text: str) -> tuple[Message, ...]:
    *before, last = prompt.messages
    head, _, tail = last.content.partition(DOCUMENTS)
    return (*before, Message(last.role, head + text + tail))


def _record(prompt: Prompt, pieces: Sequence[_Piece], shown: Sequence[_Piece], budget: int) -> dict[str, object]:
    last = pieces[-1]
    return {
        "documents": [piece.document.document_id for piece in shown],
        "truncated": "" if last.is_whole else last.document.document_id,
        "truncated_tokens": 0 if last.is_whole else last.tokens,
        "left_out": [document.document_id for document in prompt.documents[len(pieces) :]],
        "budget": budget,
    }
