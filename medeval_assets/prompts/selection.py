"""Which prompts are asked when not all of them are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from medeval_assets.prompts.prompt import Prompt


def select(prompts: Sequence[Prompt], limit: int | None) -> list[Prompt]:
    """At most `limit` prompts, in their order.

    They are the first in the order of the SHA-256 of their example ids: a fixed choice that does not follow the order
    of the file (often sorted by class), and in which a larger limit contains a smaller one.
    """
    if limit is None or limit >= len(prompts):
        return list(prompts)
    ranked = sorted(prompts, key=lambda prompt: hashlib.sha256(prompt.example_id.encode()).digest())
    chosen = {prompt.example_id for prompt in ranked[:limit]}
    return [prompt for prompt in prompts if prompt.example_id in chosen]
