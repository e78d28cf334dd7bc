"""Prompts as rows of the `prompt_sets` table, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from medeval_assets.catalog.task_spec import Document
from medeval_assets.prompts.prompt import Message, Prompt


def rows_of(prompts: Iterable[Prompt]) -> list[dict[str, Any]]:
    """One row a prompt, in order."""
    return [asdict(prompt) for prompt in prompts]


def prompts_of(rows: Iterable[Mapping[str, Any]]) -> list[Prompt]:
    """The prompts that `rows_of` wrote."""
    return [
        Prompt(
            **{
                **row,
                "messages": tuple(Message(**message) for message in row["messages"]),
                "documents": tuple(Document(**document) for document in row["documents"]),
                "shots": tuple(row["shots"]),
            }
        )
        for row in rows
    ]
