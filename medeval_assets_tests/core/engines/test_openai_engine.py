"""A checkpoint that a server runs: the same answers as here, or none and why; never wrong ones, never two."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medeval_assets.catalog.model_spec import EngineNeeds
from medeval_assets.catalog.task_spec import Decoding
from medeval_assets.engines import chat_engine, in_flight, openai_engine, server
from medeval_assets.engines.chat_engine import ChatEngine
from medeval_assets.engines.engine_setup import EngineSetup, engine_setup
from medeval_assets.engines.openai_engine import NOT_SCORED, OpenAiEngine
from medeval_assets.engines.protocol import Answer, Key, Request
from medeval_assets.engines.server import Patience, Refused
from medeval_assets.engines.transformers_engine import TransformersEngine
from medeval_assets.engines.untrusted_json import Unusable
from medeval_assets.errors import BadInput
from medeval_assets_tests.scripted_server import Received, Reply, Script, ScriptedServer, TinyModel, healthy

QUICK = Patience(tries=3, first_wait=0.01, longest_wait=0.02, connecting=20, answering=20)
SECRET = "patientzero"
"""A word of the prompts, which is to be in no reason and no error."""

PROBES = 1
"""Requests that find out what a server like vLLM's can do."""


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> TinyModel:
    return TinyModel(tiny_checkpoint)


@pytest.fixture
def served(model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A healthy server, to be given another script; whoever asks it has little patience."""
    monkeypatch.setattr(server, "PATIENCE", QUICK)
    for name in (*server.KEYS, "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ScriptedServer(model).running() as running:
        yield running


@pytest.fixture(scope="module")
def asked(model: TinyModel) -> list[Request]:
    """Prompts of mixed length: free text, options of one token, and options that share a start."""

    def tokens(text: str) -> tuple[int, ...]:
        return tuple(model.tokenizer(text)["input_ids"])

    requests = []
    for number in range(18):
        prompt = tokens(f"{SECRET}{' patient' * (number % 7)} question {number}")
        plain = Request(f"e{number:02}", prompt, Decoding(3 + number % 4), task="text")
        match number % 3:
            case 0:
                requests.append(plain)
            case 1:
                options: tuple[tuple[int, ...], ...] = tuple((one,) for one in tokens(" AB")[1:])
                requests.append(replace(plain, task="letters", options=options, option_context=prompt))
            case _:
                words = tuple(tokens(word)[1:] for word in (" the", " question answer", " question of", "user"))
                context = prompt if number % 2 else prompt[:-1]
                options = words if number % 2 else tuple((prompt[-1], *word) for word in words)
                requests.append(replace(plain, task="words", options=options, option_context=context))
    return requests


@pytest.fixture(scope="module")
def right(tiny_checkpoint: Path, asked: list[Request]) -> dict[Key, Answer]:
    """What the model answers when it is loaded here."""
    engine = TransformersEngine.load(engine_setup("tiny", tiny_checkpoint, "causal", EngineNeeds(gpus=0)))
    return {request.key: answer for batch in engine.answer(asked) for request, answer in batch}


def engine_of(served: ScriptedServer, checkpoint: Path, **needs: Any) -> OpenAiEngine:
    given = {"name": "openai", "server": served.address, "served_name": "tiny", **needs}
    return OpenAiEngine.load(engine_setup("tiny", checkpoint, "causal", EngineNeeds(**given)))


def answers_of(
    engine: OpenAiEngine | ChatEngine, requests: Sequence[Request], done: Sequence[Key] = ()
) -> dict[Key, Answer]:
    found: dict[Key, Answer] = {}
    for batch in engine.answer(requests, done):
        for request, answer in batch:
            assert request.key not in found, "two answers to one request"
            found[request.key] = answer
    return found


def assert_same(found: dict[Key, Answer], right: dict[Key, Answer], tokens: bool = True) -> None:
    assert found.keys() == right.keys()
    for key, answer in found.items():
        assert answer.option_logprobs == pytest.approx(right[key].option_logprobs, abs=1e-4), key
        bare = replace(answer, option_logprobs=right[key].option_logprobs)
        assert bare == (right[key] if tokens else replace(right[key], token_ids=())), key


def changed(change: Callable[[Any], object]) -> Script:
    """The right answer, changed."""

    def script(received: Received, reply: Reply) -> None:
        content = reply.right()
        change(content)
        reply.send_json(content)

    return script


def refusing(status: int, headers: dict[str, str] | None = None, **error: Any) -> Script:
    told = {"error": {"message": f"cannot answer: {SECRET}", **error}}
    return lambda received, reply: reply.send_json(told, status, headers)


def each_choice(change: Callable[[Any], object]) -> Script:
    return changed(lambda content: [change(choice) for choice in content["choices"]])


PASSING: dict[str, tuple[Script, str]] = {
    "too many requests": (refusing(429), "HTTP 429"),
    "too many requests, to be sent later": (
        refusing(429, {"Retry-After": "0"}, code="slow_down"),
        "HTTP 429 (slow_down)",
    ),
    "server error": (refusing(500, type="InternalServerError"), "HTTP 500 (InternalServerError)"),
    "server error in HTML": (lambda _, reply: reply.send(502, b"<html>" + SECRET.encode()), "HTTP 502"),
    "unavailable": (refusing(503, {"Retry-After": "soon"}), "HTTP 503"),
    "bad request without a body": (lambda _, reply: reply.send(400, b""), "HTTP 400"),
    "reset": (lambda _, reply: reply.reset(), "the connection was lost"),
    "bytes that are missing": (lambda _, reply: reply.cut_short(), "an answer cut short"),
    "JSON that is cut short": (lambda _, reply: reply.malformed(), "an answer cut short or malformed"),
    "JSON nested too deep": (lambda _, reply: reply.send(200, b"[" * 200_000), "an answer cut short or malformed"),
    "no JSON": (lambda _, reply: reply.send(200, b"\xff\xfe"), "an answer cut short or malformed"),
    "another kind of JSON": (lambda _, reply: reply.send_json([SECRET]), "an answer without choices"),
    "null": (lambda _, reply: reply.send_json(None), "an answer without choices"),
    "no choices": (changed(lambda content: content.pop("choices")), "an answer without choices"),
    "too few choices": (changed(lambda content: content["choices"].pop()), "{0} choices instead of {1}"),
    "too many choices": (
        changed(lambda content: content["choices"].append(content["choices"][0])),
        "{2} choices instead of {1}",
    ),
    "the answer to another prompt": (
        each_choice(lambda choice: choice["prompt_token_ids"].pop()),
        "an answer to another prompt",
    ),
}
"""What may be right the next time: scripts, and what is said of a row where it never is."""

WRONG_ANSWERS: dict[str, tuple[Script, str]] = {
    "too many tokens": (
        each_choice(lambda choice: choice["token_ids"].extend([9] * 99)),
        "an answer of another length than it says",
    ),
    "too few tokens": (
        each_choice(lambda choice: choice["token_ids"].pop()),
        "an answer of another length than it says",
    ),
    "no tokens": (each_choice(lambda choice: choice.pop("token_ids")), "an answer without tokens"),
    "tokens that are none": (
        each_choice(lambda choice: choice.update(token_ids=[-1] * len(choice["token_ids"]))),
        "an answer with tokens that is no number",
    ),
    "tokens that the model does not have": (
        each_choice(lambda choice: choice.update(token_ids=[2**40] * len(choice["token_ids"]))),
        "tokens that the model does not have",
    ),
    "no end": (each_choice(lambda choice: choice.pop("finish_reason")), "an answer that did not end"),
    "another end": (each_choice(lambda choice: choice.update(finish_reason="abort")), "an answer that did not end"),
    "another count": (
        changed(lambda content: content["usage"].update(prompt_tokens=1)),
        "an answer to a prompt of another length",
    ),
    "a count that is none": (
        changed(lambda content: content["usage"].update(prompt_tokens=SECRET)),
        "an answer with counts that is no number",
    ),
}

WRONG_LOGPROBS: dict[str, tuple[Script, str]] = {
    "no log-probabilities": (each_choice(lambda choice: choice.pop("logprobs")), "an answer without log-probabilities"),
    "too few steps": (each_choice(lambda choice: choice["logprobs"]["top_logprobs"].clear()), "0 steps instead of {}"),
    "other tokens": (
        each_choice(
            lambda choice: choice["logprobs"].update(top_logprobs=[{"token_id:0": -1.0}] * len(choice["token_ids"]))
        ),
        "a log-probability that is no number",
    ),
    "above zero": (
        each_choice(
            lambda choice: [step.update(dict.fromkeys(step, 3.5)) for step in choice["logprobs"]["top_logprobs"]]
        ),
        "a log-probability that is none",
    ),
    "no number": (
        each_choice(
            lambda choice: [
                step.update(dict.fromkeys(step, float("nan"))) for step in choice["logprobs"]["top_logprobs"]
            ]
        ),
        "a log-probability that is none",
    ),
}


def on_first_try(script: Script) -> Script:
    """Each prompt's first request meets the script, the next one a healthy server. Probes are left alone."""
    seen: set[tuple[str, str]] = set()
    lock = threading.Lock()

    def decide(received: Received, reply: Reply) -> None:
        if received.path != "/v1/completions" or received.place < PROBES:
            reply.go_right()
            return
        kind = (received.said, str(sorted(received.body)))
        with lock:
            first = kind not in seen
            seen.add(kind)
        (script if first else healthy)(received, reply)

    return decide


def always_for(requests: Sequence[Request], script: Script) -> Script:
    """The script for these prompts, a healthy server for all others."""
    prompts = {json.dumps(list(request.token_ids)) for request in requests}

    def decide(received: Received, reply: Reply) -> None:
        (script if received.said in prompts else healthy)(received, reply)

    return decide


def probe_left_alone(script: Script) -> Script:
    return lambda received, reply: (healthy if received.place < PROBES or received.method == "GET" else script)(
        received, reply
    )


def test_what_a_server_answers_is_what_the_model_answers_here(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request], right: dict[Key, Answer]
) -> None:
    engine = engine_of(served, tiny_checkpoint)
    assert_same(answers_of(engine, asked), right)
    identity = engine.identity
    assert (identity.name, identity.versions) == ("openai", {"vllm": "0.0.1"})
    assert all(one.body["temperature"] == 0 and "stream" not in one.body for one in served.asked("/v1/completions"))


def test_letters_cost_no_request_of_their_own_and_shared_starts_are_sent_once(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request]
) -> None:
    letters = [request for request in asked if request.task == "letters"]
    words = next(request for request in asked if request.task == "words")
    engine = engine_of(served, tiny_checkpoint)
    answers_of(engine, letters)
    assert len(served.asked("/v1/completions")) == len(letters)
    answers_of(engine, [words])
    starts = {option[:place] for option in words.options for place in range(len(option))}
    assert len(served.asked("/v1/completions")[-1].body["prompt"]) == len(starts)


def test_what_is_done_is_not_asked(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request], right: dict[Key, Answer]
) -> None:
    done = [request.key for request in asked[::2]]
    found = answers_of(engine_of(served, tiny_checkpoint), asked, done)
    assert_same(found, {key: answer for key, answer in right.items() if key not in done})
    assert not {json.dumps(list(one.token_ids)) for one in asked[::2]} & {
        one.said for one in served.asked("/v1/completions")
    }


def test_stop_strings_end_an_answer_as_they_do_here(
    served: ScriptedServer, tiny_checkpoint: Path, model: TinyModel, asked: list[Request], right: dict[Key, Answer]
) -> None:
    """More of them than a server takes, and some that are tokens of their own."""
    requests = []
    for request in asked[::3]:
        text = model.tokenizer.decode(right[request.key].token_ids, skip_special_tokens=True)
        stops = ("<|im_end|>", "\x01", "\x02", "\x03", "\x04", text[1:3] or "x")
        requests.append(replace(request, decoding=Decoding(6, stops)))
    here = TransformersEngine.load(engine_setup("tiny", tiny_checkpoint, "causal", EngineNeeds(gpus=0)))
    wanted = {request.key: answer for batch in here.answer(requests) for request, answer in batch}
    assert {answer.finish_reason for answer in wanted.values()} == {"stop"}
    assert_same(answers_of(engine_of(served, tiny_checkpoint), requests), wanted)
    assert all(len(one.body["stop"]) == openai_engine.MOST_STOP_STRINGS for one in served.asked("/v1/completions"))


@pytest.mark.parametrize("forbids", [True, False], ids=["forbids what it does not know", "passes over it"])
def test_a_server_without_vllms_parameters_reads_the_options_as_prompts(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request], right: dict[Key, Answer], forbids: bool
) -> None:
    unknown = {"return_token_ids", "logprob_token_ids", "return_tokens_as_token_ids", "stop_token_ids"}

    def plain(received: Received, reply: Reply) -> None:
        if forbids and unknown & received.body.keys():
            reply.send_json({"error": {"message": "unknown", "type": "invalid_request_error"}}, 400)
            return
        content = reply.right()
        for choice in content.get("choices", []):
            for name in ("token_ids", "prompt_token_ids"):
                choice.pop(name)
            if not received.body.get("echo"):
                choice.pop("logprobs")
        reply.send_json(content)

    served.script = plain
    assert_same(answers_of(engine_of(served, tiny_checkpoint), asked), right, tokens=False)


def test_without_log_probabilities_tasks_with_options_fail_and_the_others_do_not(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request], right: dict[Key, Answer]
) -> None:
    def without(received: Received, reply: Reply) -> None:
        if received.body.get("echo"):
            reply.send_json({"error": {"message": "no echo", "type": "invalid_request_error"}}, 400)
            return
        content = reply.right()
        for choice in content.get("choices", []):
            choice.pop("logprobs")
        reply.send_json(content)

    served.script = without
    found = answers_of(engine_of(served, tiny_checkpoint), asked)
    for request in asked:
        if request.options:
            assert found[request.key] == Answer("", "failed", 0, reason=NOT_SCORED)
        else:
            assert found[request.key] == right[request.key]
    sent = {one.said for one in served.asked("/v1/completions")}
    assert sent == {json.dumps(list(request.token_ids)) for request in asked if not request.options}


def test_a_server_that_takes_no_tokens_is_no_server_for_this(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request]
) -> None:
    served.script = lambda received, reply: (refusing(400) if received.method == "POST" else healthy)(received, reply)
    with pytest.raises(BadInput, match="takes no tokens as a prompt"):
        answers_of(engine_of(served, tiny_checkpoint), asked)
    assert served.asked("/v1/completions") == []


@pytest.mark.parametrize("name", [*PASSING, *WRONG_ANSWERS, *WRONG_LOGPROBS])
def test_what_may_pass_is_asked_again(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request], right: dict[Key, Answer], name: str
) -> None:
    script, _ = (PASSING | WRONG_ANSWERS | WRONG_LOGPROBS)[name]
    chosen = [request for request in asked if request.task == "letters" or name in PASSING]
    served.script = on_first_try(script)
    found = answers_of(engine_of(served, tiny_checkpoint), chosen)
    assert_same(found, {request.key: right[request.key] for request in chosen})
    assert len(served.asked("/v1/completions")) >= 2 * len(chosen)


@pytest.mark.parametrize("name", [*PASSING, *WRONG_ANSWERS, *WRONG_LOGPROBS])
def test_what_does_not_pass_is_one_failed_row_with_its_reason(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request], right: dict[Key, Answer], name: str
) -> None:
    script, reason = (PASSING | WRONG_ANSWERS | WRONG_LOGPROBS)[name]
    bad = next(request for request in asked if request.task == "letters")
    served.script = always_for([bad], script)
    found = answers_of(engine_of(served, tiny_checkpoint), asked)
    failed = found.pop(bad.key)
    assert failed == Answer(
        "", "failed", 0, reason=reason.format(0 if "{1}" in reason else bad.decoding.max_new_tokens, 1, 2)
    )
    assert_same(found, {key: answer for key, answer in right.items() if key != bad.key})
    said = json.dumps(list(bad.token_ids))
    assert sum(one.said == said for one in served.received) == QUICK.tries


def test_a_server_that_hangs_is_not_waited_for_for_ever(
    served: ScriptedServer,
    tiny_checkpoint: Path,
    asked: list[Request],
    right: dict[Key, Answer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = [request for request in asked if not request.options][:2]
    served.script = always_for(bad, lambda received, reply: reply.hang())
    rest = {request.key: right[request.key] for request in asked if request not in bad}
    assert_same(
        answers_of(engine_of(served, tiny_checkpoint), [request for request in asked if request not in bad]), rest
    )
    monkeypatch.setattr(server, "PATIENCE", replace(QUICK, answering=0.5))
    found = answers_of(engine_of(served, tiny_checkpoint), bad)
    assert set(found.values()) == {Answer("", "failed", 0, reason="no answer within 0.5 s")}


def test_choices_count_by_their_index_in_whatever_order_they_come(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request], right: dict[Key, Answer]
) -> None:
    served.script = changed(lambda content: content.get("choices", []).reverse())
    assert_same(answers_of(engine_of(served, tiny_checkpoint), asked), right)


def test_one_choice_that_comes_twice_is_not_taken_for_two(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request]
) -> None:
    words = [request for request in asked if request.task == "words"]

    def twice(content: Any) -> None:
        choices = content.get("choices", [])
        if len(choices) > 1:
            choices[1] = choices[0]

    served.script = changed(twice)
    reasons = {answer.reason for answer in answers_of(engine_of(served, tiny_checkpoint), words).values()}
    assert reasons == {"choices that are not numbered one by one"}


def test_an_answer_that_comes_twice_is_not_taken_for_the_next(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request], right: dict[Key, Answer]
) -> None:
    served.script = lambda received, reply: reply.go_right_twice()
    assert_same(answers_of(engine_of(served, tiny_checkpoint, concurrency=1), asked), right)


def test_later_answers_may_come_first(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request], right: dict[Key, Answer]
) -> None:
    """The first prompt's answer waits until all others have theirs."""
    others = threading.Semaphore(0)

    def script(received: Received, reply: Reply) -> None:
        if received.said == json.dumps(list(texts[0].token_ids)):
            for _ in texts[1:]:
                assert others.acquire(timeout=60)
        reply.go_right()
        if received.said in {json.dumps(list(one.token_ids)) for one in texts[1:]}:
            others.release()

    texts = [request for request in asked if not request.options]
    served.script = script
    found = answers_of(engine_of(served, tiny_checkpoint), texts)
    assert list(found)[-1] == texts[0].key
    assert_same(found, {request.key: right[request.key] for request in texts})


def test_no_more_requests_than_allowed_are_with_the_server_at_once(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request], right: dict[Key, Answer]
) -> None:
    lock = threading.Lock()
    now: list[int] = [0]
    most: list[int] = [0]

    def script(received: Received, reply: Reply) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        content = reply.right()
        with lock:
            now[0] -= 1
        reply.send_json(content)

    served.script = script
    assert_same(answers_of(engine_of(served, tiny_checkpoint, concurrency=3), asked), right)
    assert 1 < most[0] <= 3


def test_the_server_says_when_it_is_to_be_asked_again(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request], right: dict[Key, Answer]
) -> None:
    times: list[float] = []

    def busy(received: Received, reply: Reply) -> None:
        times.append(time.monotonic())
        if len(times) == PROBES + 1:
            refusing(429, {"Retry-After": "1"})(received, reply)
        else:
            reply.go_right()

    texts = [request for request in asked if not request.options][:2]
    engine = engine_of(served, tiny_checkpoint, concurrency=1)
    served.script = busy
    assert_same(answers_of(engine, texts), {request.key: right[request.key] for request in texts})
    # What is asserted is that it waited, not that it was fast.
    assert times[PROBES + 1] - times[PROBES] >= 1.0


def test_a_server_that_wants_to_be_left_alone_for_long_is(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request]
) -> None:
    bad = asked[0]
    served.script = always_for([bad], refusing(503, {"Retry-After": "86400"}))
    found = answers_of(engine_of(served, tiny_checkpoint), [bad])
    assert found[bad.key].reason == "HTTP 503, not to be asked again for 86400 s"
    assert len(served.asked("/v1/completions")) == 1


@pytest.mark.parametrize(
    ("text", "seconds"), [("3", 3), ("2.5", 2.5), ("0", 0), ("", None), ("soon", None), ("-1", None)]
)
def test_retry_after_in_seconds(text: str, seconds: float | None) -> None:
    assert server._told_to_wait({"Retry-After": text}) == seconds


def test_retry_after_as_a_date() -> None:
    later = server._told_to_wait(
        {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)}
    )
    assert later is not None
    assert 0 < later <= 60
    assert server._told_to_wait({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0


def test_waiting_grows_and_differs_from_request_to_request_the_same_way_each_time() -> None:
    patience = Patience()
    waits = [patience.wait(attempt, 0.0) for attempt in range(10)]
    assert waits[:4] == [1, 2, 4, 8]
    assert max(waits) == patience.longest_wait
    assert patience.wait(2, 0.999) > patience.wait(2, 0.0) / 2


def test_a_server_that_is_gone_is_not_asked_for_everything(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request]
) -> None:
    many = [replace(asked[0], example_id=f"n{number}") for number in range(200)]
    served.script = probe_left_alone(refusing(500))
    found = answers_of(engine_of(served, tiny_checkpoint, concurrency=4), many)
    assert len(found) == 200
    assert {answer.finish_reason for answer in found.values()} == {"failed"}
    assert {answer.reason for answer in found.values()} == {
        "HTTP 500",
        "not asked, as 8 requests in a row got no answer",
    }
    assert len(served.asked("/v1/completions")) <= (in_flight.IN_A_ROW + 4) * QUICK.tries


def test_a_few_bad_prompts_in_a_row_do_not_take_the_rest_with_them(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request], right: dict[Key, Answer]
) -> None:
    bad = asked[: in_flight.IN_A_ROW - 1]
    served.script = always_for(bad, refusing(500))
    found = answers_of(engine_of(served, tiny_checkpoint, concurrency=1), asked)
    assert_same(
        {key: found[key] for key in right if key not in {one.key for one in bad}},
        {key: answer for key, answer in right.items() if key not in {one.key for one in bad}},
    )


@pytest.mark.parametrize(
    "refusal",
    [
        (
            400,
            {"code": "context_length_exceeded", "type": "invalid_request_error"},
            "HTTP 400 (context_length_exceeded)",
        ),
        (400, {"type": "BadRequestError", "code": 400}, "HTTP 400 (BadRequestError)"),
        (400, {"code": f"no {SECRET} please", "type": SECRET * 9}, "HTTP 400"),
        (404, {"type": "not_found"}, "HTTP 404 (not_found)"),
        (413, {}, "HTTP 413"),
        (422, {"code": ["x"], "type": None}, "HTTP 422"),
    ],
)
def test_what_is_refused_for_good_is_asked_once_and_says_why_without_the_servers_words(
    served: ScriptedServer,
    tiny_checkpoint: Path,
    asked: list[Request],
    right: dict[Key, Answer],
    refusal: tuple[int, dict[str, Any], str],
) -> None:
    (status, error, reason), bad = refusal, asked[0]
    served.script = always_for([bad], refusing(status, **error))
    found = answers_of(engine_of(served, tiny_checkpoint), asked)
    assert found.pop(bad.key) == Answer("", "refused", 0, reason=reason)
    assert_same(found, {key: answer for key, answer in right.items() if key != bad.key})
    assert sum(one.said == json.dumps(list(bad.token_ids)) for one in served.received) == 1


def test_what_a_filter_holds_back_is_refused(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request]
) -> None:
    served.script = always_for(asked, each_choice(lambda choice: choice.update(finish_reason="content_filter")))
    texts = [request for request in asked if not request.options]
    found = answers_of(engine_of(served, tiny_checkpoint), texts)
    assert set(found.values()) == {Answer("", "refused", 0, reason="content_filter")}


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_ends_it_at_once_and_is_not_shown(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("MEDEVAL_SERVER_KEY", "sk-very-secret")
    echo = f"bad key sk-very-secret {SECRET}"
    served.script = probe_left_alone(lambda received, reply: reply.send_json({"error": {"message": echo}}, status))
    with pytest.raises(BadInput) as told:
        answers_of(engine_of(served, tiny_checkpoint, concurrency=2), asked)
    assert "refuses the key" in str(told.value)
    assert "secret" not in str(told.value)
    assert SECRET not in str(told.value)
    assert len(served.asked("/v1/completions")) <= 2
    assert {one.headers["Authorization"] for one in served.received} == {"Bearer sk-very-secret"}


def test_the_key_is_the_projects_own_else_openais_else_none(
    served: ScriptedServer, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine_of(served, tiny_checkpoint)
    assert "Authorization" not in served.received[-1].headers
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    engine_of(served, tiny_checkpoint)
    assert served.received[-1].headers["Authorization"] == "Bearer theirs"
    monkeypatch.setenv("MEDEVAL_SERVER_KEY", " ours\n")
    engine_of(served, tiny_checkpoint)
    assert served.received[-1].headers["Authorization"] == "Bearer ours"
    monkeypatch.setenv("MEDEVAL_SERVER_KEY", "two\nsecret lines")
    with pytest.raises(BadInput, match="MEDEVAL_SERVER_KEY has characters") as told:
        engine_of(served, tiny_checkpoint)
    assert "secret" not in str(told.value)


def test_a_server_that_wants_a_key_says_so_before_anything_is_asked(
    served: ScriptedServer, tiny_checkpoint: Path
) -> None:
    served.script = refusing(401)
    with pytest.raises(BadInput, match="wants a key"):
        engine_of(served, tiny_checkpoint)


def test_a_name_that_the_server_does_not_know_is_told_with_those_it_does(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request]
) -> None:
    with pytest.raises(BadInput, match=r"no model of the name tin\. .*It serves: tiny\."):
        answers_of(engine_of(served, tiny_checkpoint, served_name="tin"), asked)


def test_an_address_where_nothing_lies_is_told(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request]
) -> None:
    served.script = lambda received, reply: reply.send_json({"detail": "Not Found"}, 404)
    with pytest.raises(BadInput, match="mostly ends in /v1"):
        answers_of(engine_of(served, tiny_checkpoint), asked)


def test_a_server_that_does_not_run_is_told(served: ScriptedServer, tiny_checkpoint: Path) -> None:
    with ScriptedServer(served.model).running() as gone:
        pass
    with pytest.raises(BadInput, match="gives no answer: no connection"):
        engine_of(gone, tiny_checkpoint)


def test_a_server_with_a_shorter_context_is_told(served: ScriptedServer, tiny_checkpoint: Path) -> None:
    served.script = changed(lambda content: [one.update(max_model_len=100) for one in content.get("data", [])])
    with pytest.raises(BadInput, match="takes 100 tokens, and the model's context has 512"):
        engine_of(served, tiny_checkpoint)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request], status: int
) -> None:
    with ScriptedServer(served.model).running() as other:
        target = {"Location": f"{other.address}/completions"}
        served.script = probe_left_alone(lambda received, reply: reply.send(status, b"", target))
        with pytest.raises(BadInput, match=f"answers HTTP {status} to /completions"):
            answers_of(engine_of(served, tiny_checkpoint), asked)
        assert other.received == []


def test_an_answer_without_end_is_not_read_to_its_end(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = asked[0]
    monkeypatch.setattr(server, "SMALLEST_BOUND", 100_000)
    served.script = always_for([bad], each_choice(lambda choice: choice.update(text="x" * 300_000)))
    reason = answers_of(engine_of(served, tiny_checkpoint), [bad])[bad.key].reason
    assert reason.startswith("an answer of more than ")


def test_the_environments_proxy_is_used_and_no_netrc(
    served: ScriptedServer,
    tiny_checkpoint: Path,
    asked: list[Request],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("MEDEVAL_SERVER_KEY", "ours")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", served.address.removesuffix("/v1").replace("//", "//me:secret@"))
    texts = [request for request in asked if not request.options]
    behind = replace(served, address="http://far.invalid/v1")
    served.script = lambda received, reply: reply.send_json(
        served.model.answer(replace(received, path=received.path.removeprefix("http://far.invalid")))[1]
    )
    found = answers_of(engine_of(behind, tiny_checkpoint), texts)
    assert [answer.reason for answer in found.values()] == [""] * len(texts)
    assert all(one.path.startswith("http://far.invalid/") for one in served.received)
    assert {one.headers["Authorization"] for one in served.received} == {"Bearer ours"}
    assert {one.headers["Proxy-Authorization"] for one in served.received} == {"Basic bWU6c2VjcmV0"}


def test_a_proxy_of_another_kind_is_told(
    served: ScriptedServer, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("all_proxy", "socks5://me:secret@127.0.0.1:1")
    with pytest.raises(BadInput, match="a proxy that speaks socks5") as told:
        engine_of(served, tiny_checkpoint)
    assert "secret" not in str(told.value)
    assert served.received == []


def test_whoever_reads_has_a_turn_while_the_server_hangs(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request]
) -> None:
    served.script = probe_left_alone(lambda received, reply: reply.hang())
    answering = engine_of(served, tiny_checkpoint).answer(asked)
    assert isinstance(answering, Generator)
    assert next(answering) == next(answering) == []
    answering.close()
    assert not any(thread.name == "requests in flight" for thread in threading.enumerate())


def test_where_nothing_is_left_nothing_is_sent(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request]
) -> None:
    engine = engine_of(served, tiny_checkpoint)
    assert answers_of(engine, asked, [request.key for request in asked]) == {}
    assert {one.method for one in served.received} == {"GET"}


def test_who_stops_reading_leaves_nothing_behind(
    served: ScriptedServer, tiny_checkpoint: Path, asked: list[Request]
) -> None:
    bad = asked[-1]
    served.script = always_for([bad], lambda received, reply: reply.hang())
    answering = engine_of(served, tiny_checkpoint).answer(asked)
    next(answering)
    assert isinstance(answering, Generator)
    assert any(thread.name == "requests in flight" for thread in threading.enumerate())
    answering.close()
    assert not any(thread.name == "requests in flight" for thread in threading.enumerate())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "index", "text", "finish_reason", "token_ids", "logprobs", "top_logprobs", "usage"]
            )
            | st.sampled_from(["prompt_token_ids", "token_logprobs", "completion_tokens", "prompt_tokens", "message"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300)
@given(content=JSON)
def test_whatever_json_comes_is_an_answer_or_none(model: TinyModel, content: Any) -> None:
    """Nothing in it reaches the caller as an error of another kind."""
    request = Request("e", (1, 2), Decoding(2), options=((1,), (2,)), option_context=(1, 2))
    needs = EngineNeeds(name="openai", server="http://localhost")
    setup = EngineSetup("tiny", Path(), "openai", "", 512, needs)
    engine = OpenAiEngine(setup, server.Server("m", needs.server, "m"), model.tokenizer, frozenset(), 300)
    for offers in (openai_engine._Offers(), openai_engine._Offers(tokens=True, next_tokens=True)):
        with contextlib.suppress(Unusable, Refused):
            engine._went_on(request, engine._ending(request), offers, [1, 2] if offers.next_tokens else [], content)
        with contextlib.suppress(Unusable):
            openai_engine._prompts_read([(1, 2)], [1], offers, content)
        with contextlib.suppress(Unusable):
            openai_engine._shown((1, 2), [1], content)
    with contextlib.suppress(Unusable, Refused):
        chat_engine._read(request, content)
