"""The `openai` engine: a checkpoint whose files are here and that a server runs, asked by its tokens."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from medeval_assets.catalog.task_spec import Decoding
from medeval_assets.engines.checkpoint import load_config, load_generation_config, load_tokenizer
from medeval_assets.engines.ending import Ending, cut_at_stop, end_tokens
from medeval_assets.engines.engine_setup import EngineSetup
from medeval_assets.engines.in_flight import Ask, InFlight, in_thread
from medeval_assets.engines.protocol import Answer, Batch, EngineIdentity, Key, Request
from medeval_assets.engines.server import NoAnswer, Refused, Server
from medeval_assets.engines.untrusted_json import (
    Unusable,
    log_probability,
    mapping,
    sequence,
    text,
    usage_of,
    whole_number,
    word,
)
from medeval_assets.errors import BadInput, Problem

MOST_STOP_STRINGS = 4
"""As many as servers take. Text is cut here at every one."""

MOST_LAST_TOKENS = 128
"""Tokens whose log-probability vLLM gives after one prompt (`logprob_token_ids`)."""

NOT_SCORED = "the server offers no log-probabilities of given tokens, which the options need"

_PROBE = "The patient is well."
_ONE_TOKEN = Decoding(max_new_tokens=1)
# Bytes that an answer has for each token of it, and for each log-probability of one.
_OF_A_TOKEN = 512
_OF_A_NUMBER = 64

_GREEDY: Mapping[str, Any] = {"temperature": 0, "presence_penalty": 0, "frequency_penalty": 0}
# Where these are not said the server may have others, for instance those of the checkpoint's generation config.
_OF_VLLM: Mapping[str, Any] = {
    "repetition_penalty": 1.0,
    "skip_special_tokens": True,
    "return_token_ids": True,
    "return_tokens_as_token_ids": True,
}


@dataclass(frozen=True)
class _Offers:
    """What the server can do beside going on from tokens, as it showed.

    tokens: it takes vLLM's parameters and gives the tokens of prompt and answer.
    next_tokens: it gives the log-probabilities of chosen tokens after a prompt.
    prompts: it gives the log-probability of each token of a prompt.
    """

    tokens: bool = False
    next_tokens: bool = False
    prompts: bool = False


class OpenAiEngine:
    """Sends each rendered prompt as the tokens it is, so that the same comes back as from the other engines.

    Every answer is held against what was asked: the number of its choices, its prompt, the lengths of its lists. Where
    something does not fit it counts as none.
    """

    def __init__(
        self, setup: EngineSetup, server: Server, tokenizer: Any, stopping: frozenset[int], vocabulary: int
    ) -> None:
        self._setup = setup
        self._vocabulary = vocabulary
        self._server = server
        self._tokenizer = tokenizer
        self._stopping = stopping
        self._in_flight = InFlight(server, setup.needs.concurrency)
        self._versions: dict[str, str] = {}

    @classmethod
    def load(cls, setup: EngineSetup) -> OpenAiEngine:
        """The engine of a checkpoint folder and a server that runs it.

        BadInput where the server gives no answer, refuses the key, or takes fewer tokens than the setup's context.
        """
        tokenizer: Any = load_tokenizer(setup.folder, setup.needs)
        stopping = end_tokens(load_generation_config(setup.folder, setup.needs), tokenizer)
        server = Server(f"models.{setup.key}", setup.needs.server, setup.needs.served_name or setup.key)
        config = load_config(setup.folder, setup.needs).get_text_config()
        engine = cls(setup, server, tokenizer, stopping, max(config.vocab_size, len(tokenizer)))
        in_thread(engine._greet())
        return engine

    @property
    def identity(self) -> EngineIdentity:
        return EngineIdentity("openai", self._setup.dtype, f"server {self._server.name}", self._versions)

    def answer(self, requests: Sequence[Request], done: Container[Key] = ()) -> Iterator[Batch]:
        """Answers in the order in which they come; as many are asked at once as the model's `concurrency` says."""
        left = [request for request in requests if request.key not in done]
        return self._in_flight.answers(left, partial(self._begin, left))

    def close(self) -> None:
        """Nothing is held."""

    async def _greet(self) -> None:
        async with self._server.open():
            try:
                cards = await self._server.models()
                if any(card.get("owned_by") == "vllm" for card in cards):
                    version = await self._server.look("/version", _version)
                    self._versions = {"vllm": version} if version else {}
            except NoAnswer as error:
                raise self._server.unreachable(error) from None
        own = next((card for card in cards if card["id"] == self._server.model), {})
        most = own.get("max_model_len")
        if isinstance(most, int) and most < self._setup.context:
            what = f"the server takes {most} tokens, and the model's context has {self._setup.context}"
            remedy = f"Start it with a longer one (vLLM: `--max-model-len`), or write `context: {most}`."
            raise BadInput([Problem(f"models.{self._setup.key}.engine.context", what, remedy)])

    async def _begin(self, requests: Sequence[Request]) -> Ask:
        """Find out what the server offers, with a prompt that tells nothing."""
        try:
            return partial(self._ask, await self._offered(any(request.options for request in requests)))
        except NoAnswer as error:
            raise self._server.unreachable(error) from None

    async def _offered(self, scores: bool) -> _Offers:
        prompt = tuple(self._tokenizer(_PROBE)["input_ids"])
        request = Request("", prompt, _ONE_TOKEN)
        ending = self._ending(request)
        last = list(range(min(MOST_LAST_TOKENS, len(self._tokenizer))))
        everything = _Offers(tokens=True, next_tokens=True)
        try:
            body = _to_go_on(request, ending, everything, last)
            offers = await self._server.ask("completions", body, partial(_shown, prompt, last))
        except Refused:
            offers = _Offers()
        if not offers.tokens:
            try:
                await self._server.ask("completions", _to_go_on(request, ending, offers, ()), _choices)
            except Refused as error:
                what = f"the server {self._server.name} takes no tokens as a prompt ({error})"
                remedy = "Take one that does, such as vLLM's, or let it render: `checkpoint: served:<name>`."
                raise BadInput([Problem(f"models.{self._setup.key}", what, remedy)]) from None
        if scores and not offers.next_tokens:
            body = _to_read_prompts([prompt], offers)
            return replace(offers, prompts=await self._shows_prompts(prompt, body, offers))
        return offers

    async def _shows_prompts(self, prompt: tuple[int, ...], body: Mapping[str, Any], offers: _Offers) -> bool:
        def read(content: Any) -> bool:
            try:
                _prompts_read([prompt], [1], offers, content)
            except Unusable:
                return False
            return True

        try:
            return await self._server.ask("completions", body, read)
        except Refused:
            return False

    async def _ask(self, offers: _Offers, request: Request) -> Answer:
        ending = self._ending(request)
        last = _last_tokens(request)
        by_next = offers.next_tokens and len(last) <= MOST_LAST_TOKENS
        if request.options and not (by_next or offers.prompts):
            return Answer("", "failed", 0, reason=NOT_SCORED)
        # Where every option is one token, its likelihood can be read where the answer begins.
        at_once = last if by_next and _is_first_step(request) else ()
        answer = await self._server.ask(
            "completions",
            _to_go_on(request, ending, offers, at_once),
            partial(self._went_on, request, ending, offers, at_once),
            bound=len(request.token_ids) * _OF_A_NUMBER + ending.most * (_OF_A_TOKEN + len(at_once) * _OF_A_NUMBER),
            seed=repr(request.key),
        )
        if not request.options or at_once:
            return answer
        score = self._by_next_tokens if by_next else self._by_prompts
        return replace(answer, option_logprobs=await score(request, offers))

    async def _by_next_tokens(self, request: Request, offers: _Offers) -> tuple[float, ...]:
        """Each option token by token, every start that options share once. The server keeps what it has encoded."""
        starts = list(dict.fromkeys(option[:place] for option in request.options for place in range(len(option))))
        prompts = [(*request.option_context, *start) for start in starts]
        last = _last_tokens(request)
        body = {**_GREEDY, **_OF_VLLM, "prompt": prompts, "max_tokens": 1, **_reading(last)}

        def read(content: Any) -> dict[tuple[int, ...], dict[int, float]]:
            choices = _choices(content, len(prompts))
            for choice, prompt in zip(choices, prompts, strict=True):
                _check_prompt(choice, prompt)
            return {start: _next_tokens(choice, last) for start, choice in zip(starts, choices, strict=True)}

        found = await self._server.ask(
            "completions",
            body,
            read,
            bound=sum(map(len, prompts)) * _OF_A_NUMBER + len(prompts) * len(last) * _OF_A_NUMBER,
            seed=repr(request.key),
        )
        return tuple(
            math.fsum(found[option[:place]][token] for place, token in enumerate(option)) for option in request.options
        )

    async def _by_prompts(self, request: Request, offers: _Offers) -> tuple[float, ...]:
        """Each option as the end of a prompt, whose log-probabilities the server gives."""
        prompts = [(*request.option_context, *option) for option in request.options]
        lengths = [len(option) for option in request.options]
        return await self._server.ask(
            "completions",
            _to_read_prompts(prompts, offers),
            partial(_prompts_read, prompts, lengths, offers),
            bound=sum(map(len, prompts)) * _OF_A_TOKEN,
            seed=repr(request.key),
        )

    def _went_on(self, request: Request, ending: Ending, offers: _Offers, last: Sequence[int], content: Any) -> Answer:
        [choice] = _choices(content)
        finish = choice.get("finish_reason")
        if finish == "content_filter":
            raise Refused(finish)
        if finish not in ("stop", "length"):
            raise Unusable("an answer that did not end")
        prompt_tokens, answer_tokens = usage_of(content)
        if prompt_tokens not in (None, len(request.token_ids)):
            raise Unusable("an answer to a prompt of another length")
        if not offers.tokens:
            return self._as_text(request, text(choice.get("text")), finish, answer_tokens)
        _check_prompt(choice, request.token_ids)
        tokens = [whole_number(token, "tokens") for token in sequence(choice.get("token_ids"), None, "tokens")]
        if answer_tokens not in (None, len(tokens)):
            raise Unusable("an answer of another length than it says")
        if not tokens or len(tokens) > ending.most or (finish == "length" and len(tokens) < ending.most):
            raise Unusable(f"{len(tokens)} tokens of at most {ending.most}, ended by {finish}")
        if max(tokens) >= self._vocabulary:
            raise Unusable("tokens that the model does not have")
        logprobs: tuple[float, ...] = ()
        if last:
            found = _next_tokens(choice, last)
            logprobs = tuple(found[option[0]] for option in request.options)
        answer = ending.answer(request, ending.cut(tokens), logprobs)
        # What else ends an answer on this server is its own affair.
        return replace(answer, finish_reason="stop") if finish == "stop" else answer

    def _as_text(self, request: Request, answered: str, finish: str, tokens: int | None) -> Answer:
        """The answer of a server that tells no tokens."""
        if tokens is None:
            tokens = len(self._tokenizer(answered, add_special_tokens=False)["input_ids"])
        shown = cut_at_stop(answered, request.decoding)
        return Answer(shown, "stop" if len(shown) < len(answered) else finish, tokens)

    def _ending(self, request: Request) -> Ending:
        return Ending.of(request.decoding, self._tokenizer, self._stopping)


def _version(content: Any) -> str:
    return word(mapping(content, "a version").get("version"))


def _to_go_on(request: Request, ending: Ending, offers: _Offers, last: Sequence[int]) -> dict[str, Any]:
    """The body that asks for the answer and, where there are any, for the log-probabilities of its first token."""
    body: dict[str, Any] = {**_GREEDY, "prompt": request.token_ids, "max_tokens": ending.most}
    stop = ending.strings if offers.tokens else request.decoding.stop
    if stop:
        body["stop"] = stop[:MOST_STOP_STRINGS]
    if offers.tokens:
        body |= {**_OF_VLLM, "stop_token_ids": sorted(ending.tokens)}
    return body | _reading(last) if last else body


def _reading(last: Sequence[int]) -> dict[str, Any]:
    return {"logprobs": len(last), "logprob_token_ids": list(last)}


def _to_read_prompts(prompts: Sequence[Sequence[int]], offers: _Offers) -> dict[str, Any]:
    extra = _OF_VLLM if offers.tokens else {}
    return {**_GREEDY, **extra, "prompt": prompts, "max_tokens": 0, "echo": True, "logprobs": 1}


def _shown(prompt: tuple[int, ...], last: Sequence[int], content: Any) -> _Offers:
    """What an answer to a request with all of vLLM's parameters shows that the server knows."""
    [choice] = _choices(content)
    try:
        _check_prompt(choice, prompt)
        sequence(choice.get("token_ids"), 1, "tokens")
    except Unusable:
        return _Offers()
    try:
        _next_tokens(choice, last)
    except Unusable:
        return _Offers(tokens=True)
    return _Offers(tokens=True, next_tokens=True)


def _choices(content: Any, count: int = 1) -> list[Mapping[str, Any]]:
    """The choices in the order of the prompts, whatever order they came in."""
    listed = sequence(mapping(content, "choices").get("choices"), count, "choices")
    numbered = {whole_number(mapping(choice, "choices").get("index", 0), "a place"): choice for choice in listed}
    if set(numbered) != set(range(count)):
        raise Unusable("choices that are not numbered one by one")
    return [numbered[index] for index in range(count)]


def _check_prompt(choice: Mapping[str, Any], prompt: Sequence[int]) -> None:
    if choice.get("prompt_token_ids") != list(prompt):
        raise Unusable("an answer to another prompt")


def _next_tokens(choice: Mapping[str, Any], wanted: Sequence[int]) -> dict[int, float]:
    """Log-probability of each wanted token where the answer begins."""
    logprobs = mapping(choice.get("logprobs"), "log-probabilities")
    steps = sequence(logprobs.get("top_logprobs"), len(sequence(choice.get("token_ids"), None, "tokens")), "steps")
    first = mapping(steps[0] if steps else None, "log-probabilities")
    return {token: log_probability(first.get(f"token_id:{token}")) for token in wanted}


def _prompts_read(
    prompts: Sequence[Sequence[int]], lengths: Sequence[int], offers: _Offers, content: Any
) -> tuple[float, ...]:
    """Summed log-probability of the last tokens of each prompt, as many as its length says."""
    found = []
    for choice, prompt, length in zip(_choices(content, len(prompts)), prompts, lengths, strict=True):
        if offers.tokens:
            _check_prompt(choice, prompt)
        listed = mapping(choice.get("logprobs"), "log-probabilities").get("token_logprobs")
        values = sequence(listed, len(prompt), "log-probabilities")
        found.append(math.fsum(map(log_probability, values[-length:])))
    return tuple(found)


def _last_tokens(request: Request) -> list[int]:
    return sorted({token for option in request.options for token in option})


def _is_first_step(request: Request) -> bool:
    return request.option_context == request.token_ids and all(len(option) == 1 for option in request.options)
