"""The `openai` engine for models whose files are not here: a server gets the messages and renders them itself."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.engines.ending import cut_at_stop
from medeval_assets.engines.in_flight import Ask, InFlight, in_thread
from medeval_assets.engines.openai_engine import MOST_STOP_STRINGS
from medeval_assets.engines.protocol import Answer, Batch, EngineIdentity, Key, Request
from medeval_assets.engines.server import Fault, NoAnswer, Refused, Server
from medeval_assets.engines.untrusted_json import Unusable, mapping, sequence, text, usage_of
from medeval_assets.errors import BadInput, Problem

# Bytes that an answer has for each token of it.
_OF_A_TOKEN = 512

_UNSUPPORTED = {"unsupported_parameter", "unsupported_value"}


class ChatEngine:
    """Sends each conversation to `/chat/completions`. Options are not scored: no likelihoods come back."""

    def __init__(self, spec: ModelSpec, server: Server) -> None:
        self._spec = spec
        self._server = server
        self._in_flight = InFlight(server, spec.engine.concurrency)
        self._not_taken: set[str] = set()

    @classmethod
    def load(cls, spec: ModelSpec) -> ChatEngine:
        """BadInput where the server gives no answer or refuses the key."""
        server = Server(f"models.{spec.key}", spec.engine.server, spec.served_name)
        engine = cls(spec, server)
        in_thread(engine._greet())
        return engine

    @property
    def identity(self) -> EngineIdentity:
        return EngineIdentity("openai", "", f"server {self._server.name}", {})

    def answer(self, requests: Sequence[Request], done: Container[Key] = ()) -> Iterator[Batch]:
        """Answers in the order in which they come; as many are asked at once as the model's `concurrency` says."""
        left = [request for request in requests if request.key not in done]
        return self._in_flight.answers(left, self._begin)

    def close(self) -> None:
        """Nothing is held."""

    async def _greet(self) -> None:
        async with self._server.open():
            try:
                await self._server.models()
            except NoAnswer as error:
                raise self._server.unreachable(error) from None

    async def _begin(self) -> Ask:
        return self._ask

    async def _ask(self, request: Request) -> Answer:
        return await self._server.ask(
            "chat/completions",
            self._body(request),
            partial(_read, request),
            bound=request.decoding.max_new_tokens * _OF_A_TOKEN,
            seed=repr(request.key),
            on_fault=partial(self._mended, request),
        )

    def _body(self, request: Request) -> dict[str, Any]:
        most = "max_completion_tokens" if "max_tokens" in self._not_taken else "max_tokens"
        body: dict[str, Any] = {
            "messages": [{"role": one.role, "content": one.content} for one in request.messages],
            "temperature": 0,
            most: request.decoding.max_new_tokens,
        }
        if request.decoding.stop and "stop" not in self._not_taken:
            body["stop"] = request.decoding.stop[:MOST_STOP_STRINGS]
        return body

    def _mended(self, request: Request, fault: Fault) -> Mapping[str, Any] | None:
        """The request without the parameter that this model does not take, where it means the same without it."""
        if fault.status != 400 or fault.code not in _UNSUPPORTED:
            return None
        if fault.parameter == "temperature":
            what = f"the server {self._server.name} takes no temperature for {self._server.model}"
            remedy = "Name a model that answers without chance (temperature 0): others answer differently each time."
            raise BadInput([Problem(f"models.{self._spec.key}", what, remedy)])
        if fault.parameter in {"max_tokens", "stop"}:
            self._not_taken.add(fault.parameter)
            return self._body(request)
        return None


def _read(request: Request, content: Any) -> Answer:
    [listed] = sequence(mapping(content, "choices").get("choices"), 1, "choices")
    choice = mapping(listed, "choices")
    finish = choice.get("finish_reason")
    if finish == "content_filter":
        raise Refused(finish)
    if finish not in ("stop", "length"):
        raise Unusable("an answer that did not end")
    message = mapping(choice.get("message"), "a message")
    said = message.get("content")
    if said is None and message.get("refusal") is not None:
        raise Refused("refusal")
    answered = text("" if said is None else said)
    prompt_tokens, answer_tokens = usage_of(content)
    shown = cut_at_stop(answered, request.decoding)
    return Answer(
        text=shown,
        finish_reason="stop" if len(shown) < len(answered) else finish,
        generated_tokens=answer_tokens or 0,
        prompt_tokens=prompt_tokens or 0,
    )
