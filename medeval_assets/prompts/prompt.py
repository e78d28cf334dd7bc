"""Prompt: the chat messages for one example, the same for every model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from medeval_assets.catalog.task_spec import Document

DOCUMENTS = "⟦documents⟧"
"""Stands in the last user message where the fitted documents go. It occurs once, or not at all."""


@dataclass(frozen=True)
class Message:
    role: str
    content: str


@dataclass(frozen=True)
class Prompt:
    """What a model is asked.

    messages: system, then user and assistant for each shot, then user.
    cue: the words that open an answer where a model has no chat template ("Answer:").
    options: label → the answer text whose likelihood stands for that option; empty for free-text tasks.
    documents: what goes where `DOCUMENTS` stands, most important first.
    shots: example ids of the worked examples.
    prompt_sha256: hash of all of the above, before any fitting to a context.
    """

    example_id: str
    messages: tuple[Message, ...]
    cue: str
    options: Mapping[str, str] = field(default_factory=dict)
    documents: tuple[Document, ...] = ()
    shots: tuple[str, ...] = ()
    prompt_sha256: str = ""
