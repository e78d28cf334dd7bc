"""ServedModel: a model of which nothing is here but its name and the server that answers for it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medeval_assets.catalog.checkpoint_identity import CheckpointIdentity
from medeval_assets.engines.engine_setup import EngineSetup
from medeval_assets.engines.model_under_test import ModelUnderTest
from medeval_assets.engines.protocol import Engine
from medeval_assets.engines.rendering import Rendered
from medeval_assets.prompts.prompt import Message

CONTEXT = 8192
"""Tokens that prompt and answer may have together where the catalog does not say: every such model takes more."""

BYTES_A_TOKEN = 2.0
"""Of UTF-8, by estimate. Today's tokenizers make a token of 3 to 5 bytes of prose and of 2 to 3 of codes and tables."""

TOKENS_A_MESSAGE = 16
"""For what a template writes around each."""


@dataclass(frozen=True)
class ServedIdentity(CheckpointIdentity):
    """Who answers, as far as that can be told: what is behind the name may change without notice.

    checkpoint: `served:` and the name. server: its host, port and path. The hashes are "": there are no files.
    """

    server: str = ""

    @property
    def identity_sha256(self) -> str:
        return hashlib.sha256(json.dumps([self.checkpoint, self.server]).encode()).hexdigest()


class MessageCounter:
    """Stands in for a renderer where the server renders: it estimates lengths, rather too long than too short.

    Where a prompt is too long all the same, the server refuses it and the row says so.
    """

    def render(self, messages: Sequence[Message], cue: str) -> Rendered:
        """No text and no tokens: the messages are sent as they are."""
        return Rendered("", ())

    def option_tokens(
        self, rendered: Rendered, options: Sequence[str]
    ) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
        """None: options are not scored."""
        return (), ()

    def counter(self, cue: str) -> MessageCounter:
        return self

    def count_messages(self, messages: Sequence[Message]) -> int:
        return TOKENS_A_MESSAGE * (1 + len(messages)) + sum(self.count(one.content) for one in messages)

    def count(self, text: str) -> int:
        return math.ceil(len(text.encode("utf-8", "surrogatepass")) / BYTES_A_TOKEN)

    def truncate(self, text: str, most: int) -> str:
        return text.encode("utf-8", "replace")[: max(0, int(most * BYTES_A_TOKEN))].decode("utf-8", "ignore")


class ServedModel(ModelUnderTest):
    """A model that only a server has."""

    @property
    def identity(self) -> ServedIdentity:
        return ServedIdentity(
            checkpoint=self.spec.checkpoint,
            revision="",
            weights_sha256="",
            tokenizer_sha256="",
            config_sha256="",
            chat_template_sha256="",
            server=self.spec.engine.server_name,
        )

    @property
    def renderer(self) -> MessageCounter:
        return MessageCounter()

    @property
    def setup(self) -> EngineSetup:
        """Its folder is an empty path: there is none."""
        needs = self.spec.engine
        return EngineSetup(self.spec.key, Path(), "openai", "", needs.context or CONTEXT, needs)

    def _new_engine(self) -> Engine:
        from medeval_assets.engines.chat_engine import ChatEngine

        return ChatEngine.load(self.spec)
