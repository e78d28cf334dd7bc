"""A model that only a server has, and one whose files are here, asked through the journal: nothing twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medeval_assets.catalog.model_spec import EngineNeeds, ModelSpec
from medeval_assets.catalog.task_spec import Access, Decoding, Document, DocumentRule, Example, TaskSpec
from medeval_assets.engines import server
from medeval_assets.engines.generations import Generation
from medeval_assets.engines.loaded_checkpoint import LoadedCheckpoint
from medeval_assets.engines.loaded_engines import LOADED_ENGINES
from medeval_assets.engines.respondent import Outcome, Questions
from medeval_assets.engines.respondents import respondent_of
from medeval_assets.engines.served_model import MessageCounter
from medeval_assets.engines.server import Patience
from medeval_assets.errors import BadInput
from medeval_assets.metrics.available import available_metrics
from medeval_assets.metrics.score import score
from medeval_assets.prompts.prompt import DOCUMENTS, Message, Prompt
from medeval_assets.settings import Settings
from medeval_assets.tasks.mednli import TASKS
from medeval_assets_tests.checkpoints import make_tiny_checkpoint
from medeval_assets_tests.scripted_server import Received, Reply, ScriptedServer, TinyModel, healthy

QUICK = Patience(tries=3, first_wait=0.01, longest_wait=0.02, connecting=20, answering=20)
KEY = "sk-not-to-be-found-anywhere"
CHAT = "/v1/chat/completions"
TOKENS = "/v1/completions"


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> TinyModel:
    return TinyModel(tiny_checkpoint)


def questions(name: str = "mednli", count: int = 6, access: Access = Access.PUBLIC) -> Questions:
    task = replace(TASKS[0], name=name, decoding=Decoding(max_new_tokens=4))
    prompts = [
        Prompt(
            f"{name}-{number}",
            (Message("system", "answer"), Message("user", f"is patient {number} the question")),
            "Answer:",
            {"yes": "yes", "no": "no"} if name == "mednli" else {},
        )
        for number in range(count)
    ]
    return Questions(task, prompts, list, access)


@dataclass
class Asking:
    """A home, a checkpoint and a running server."""

    settings: Settings
    checkpoint: Path
    served: ScriptedServer

    def closed(self, **engine: Any) -> ModelSpec:
        """A model that only the server has."""
        needs = EngineNeeds(**{"name": "openai", "server": self.served.address, **engine})
        return ModelSpec(key="closed", checkpoint="served:tiny", role="generalist", engine=needs)

    def open(self, **engine: Any) -> ModelSpec:
        """A model whose files are here and that the server runs."""
        given = {"name": "openai", "server": self.served.address, "served_name": "tiny", **engine}
        return ModelSpec(
            key="open", checkpoint=f"folder:{self.checkpoint}", role="generalist", engine=EngineNeeds(**given)
        )

    def ask(self, spec: ModelSpec, *asked: Questions) -> dict[str, Outcome]:
        """Outcomes by task, as a new process would get them."""
        LOADED_ENGINES.close()
        respondent = respondent_of(spec, {spec.key: spec}, self.settings)
        assert isinstance(respondent, LoadedCheckpoint)
        outcomes = list(respondent.answer(asked, lambda *_: None))
        assert len(outcomes) == len(asked)
        return {outcome.questions.task.name: outcome for outcome in outcomes}


@pytest.fixture
def asking(
    tiny_checkpoint: Path, model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Asking]:
    monkeypatch.setattr(server, "PATIENCE", QUICK)
    monkeypatch.setenv("MEDEVAL_SERVER_KEY", KEY)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ScriptedServer(model).running() as running:
        yield Asking(Settings(home=tmp_path / "home", sources=tmp_path / "sources"), tiny_checkpoint, running)
    LOADED_ENGINES.close()


def rows_of(outcome: Outcome) -> list[Generation]:
    if outcome.error is not None:
        raise outcome.error
    return list(outcome.generations)


def test_a_closed_model_gets_the_messages_and_its_answers_are_kept(asking: Asking, model: TinyModel) -> None:
    asked = questions(count=3)
    rows = rows_of(asking.ask(asking.closed(), asked)["mednli"])
    for prompt, row in zip(asked.prompts, rows, strict=True):
        messages = [{"role": one.role, "content": one.content} for one in prompt.messages]
        right = model.chat({"messages": messages, "max_tokens": 4})
        assert row.text == right["choices"][0]["message"]["content"]
        assert (row.prompt_tokens, row.generated_tokens) == tuple(right["usage"].values())
        assert (row.option_logprobs, row.option_tokens) == ((), ())
    [first, *_] = asking.served.asked(CHAT)
    assert first.body.keys() == {"model", "messages", "temperature", "max_tokens"}
    assert first.headers["Authorization"] == f"Bearer {KEY}"
    before = len(asking.served.received)
    assert rows_of(asking.ask(asking.closed(), asked)["mednli"]) == rows
    assert len(asking.served.received) == before, "all of it is in the journal"


def test_likelihood_metrics_of_a_closed_model_are_absent(asking: Asking) -> None:
    asked = questions(count=2)
    rows = rows_of(asking.ask(asking.closed(), asked)["mednli"])
    options = {"yes": "yes", "no": "no"}
    examples = [Example(row.example_id, row.example_id, {}, ("yes",), options) for row in rows]
    table = score(asked.task, available_metrics(asked.task, asking.settings), examples, [vars(row) for row in rows])
    assert table
    assert not [row for row in table if "likelihood" in row["metric"]]


def test_another_server_or_name_is_other_work_and_a_key_is_not(asking: Asking, model: TinyModel) -> None:
    asked = questions(count=2)
    here = asking.closed()
    asking.ask(here, asked)
    respondent = respondent_of(here, {}, asking.settings)
    identity = dict(respondent.identity(asked.task))
    assert identity["checkpoint"] == "served:tiny"
    assert identity["server"] == asking.served.address.removeprefix("http://")
    assert KEY not in json.dumps([identity, dict(respondent.parameters(asked.task))])
    with ScriptedServer(model).running() as other:
        there = replace(asking, served=other)
        asking.ask(there.closed(), asked)
        asking.ask(there.open(), asked)
        assert len(other.asked(CHAT)) == 2
    before = len(asking.served.asked(TOKENS))
    asking.ask(asking.open(), asked)
    assert len(asking.served.asked(TOKENS)) > before


@pytest.mark.parametrize("kind", ["closed", "open"])
def test_after_a_bad_run_only_what_is_missing_is_asked(asking: Asking, kind: str) -> None:
    """Some prompts fail in many ways, one is refused for good; each answer is kept and none is asked for again."""
    path = CHAT if kind == "closed" else TOKENS
    lock = threading.Lock()
    faults: list[Callable[[Reply], None]] = [
        lambda reply: reply.send_json({"error": {"message": "busy"}}, 429),
        lambda reply: reply.reset(),
        lambda reply: reply.malformed(),
    ]
    texts = questions("meqsum", count=9)
    fate: dict[str, Callable[[Reply], None]] = {}
    refuse: Callable[[Reply], None] = partial(Reply.send_json, content={"error": {"code": "too_long"}}, status=400)
    fates = [Reply.go_right, faults[0], Reply.go_right, faults[1], Reply.go_right, faults[2], refuse]

    def script(received: Received, reply: Reply) -> None:
        if received.path != path or (path == TOKENS and received.place == 0):
            reply.go_right()
            return
        with lock:
            what = fate.setdefault(received.said, fates[len(fate)] if len(fate) < len(fates) else Reply.go_right)
        what(reply)

    asking.served.script = script
    spec = asking.closed() if kind == "closed" else asking.open()
    first = asking.ask(spec, texts)["meqsum"]
    assert first.error is not None
    told = str(first.error)
    assert told.startswith("3 of 9 prompts got no answer: HTTP 429 (1); ")
    assert "an answer cut short or malformed (1); the connection was lost (1)" in told
    good = {said for said, what in fate.items() if what not in faults}
    asking.served.script = healthy
    before = len(asking.served.asked(path))
    second = rows_of(asking.ask(spec, texts)["meqsum"])
    again = [one.said for one in asking.served.asked(path)[before:]]
    assert len(again) == len(set(again)) == 3
    assert not good & set(again)
    assert [row.example_id for row in second] == [prompt.example_id for prompt in texts.prompts]
    assert [row.skip_reason for row in second if row.finish_reason == "refused"] == ["HTTP 400 (too_long)"]
    assert sum(row.finish_reason in {"stop", "length"} for row in second) == 8
    assert rows_of(asking.ask(spec, texts)["meqsum"]) == second
    assert len(asking.served.asked(path)) == before + 3


def test_one_tasks_failure_leaves_the_other_tasks_rows(asking: Asking) -> None:
    def script(received: Received, reply: Reply) -> None:
        if received.method == "POST" and "1" in received.said:
            reply.send_json({"error": {"message": received.said}}, 500)
        else:
            reply.go_right()

    asking.served.script = script
    other = questions("meqsum", count=1)
    found = asking.ask(asking.closed(), questions(count=3), other)
    assert str(found["mednli"].error).startswith("1 of 3 prompts got no answer: HTTP 500 (1).")
    assert len(rows_of(found["meqsum"])) == 1


@pytest.mark.parametrize("kind", ["closed", "open"])
def test_text_that_is_not_public_only_leaves_where_the_user_says_so(asking: Asking, kind: str) -> None:
    secret = questions(access=Access.CREDENTIALED)
    public = questions("meqsum")
    make = asking.closed if kind == "closed" else asking.open
    for spec in (make(), make(may_leave=["meqsum"])):
        found = asking.ask(spec, secret)
        assert "credentialed, and its prompts would go to" in str(found["mednli"].error)
        assert "add mednli to `engine.may_leave`" in str(found["mednli"].error)
        assert asking.served.received == []
    found = asking.ask(make(), secret, public)
    assert isinstance(found["mednli"].error, BadInput)
    assert len(rows_of(found["meqsum"])) == 6
    sent = json.dumps([one.body for one in asking.served.received])
    asking.served.received.clear()
    assert len(rows_of(asking.ask(make(may_leave=["mednli"]), secret)["mednli"])) == 6
    assert {one.said for one in asking.served.received if one.method == "POST"}
    assert sent


def test_what_may_leave_must_be_a_task(asking: Asking) -> None:
    spec = asking.closed(may_leave=["mednly"])
    error = asking.ask(spec, questions())["mednli"].error
    assert str(error) == "models.closed.engine.may_leave: there is no task `mednly`. Did you mean `mednli`?"
    assert asking.served.received == []


def test_the_key_is_in_nothing_that_is_written_or_said(asking: Asking, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    asking.ask(asking.open(), questions(count=2))
    asking.served.script = lambda received, reply: reply.send_json({"error": {"message": f"no {KEY}"}}, 401)
    told = [str(asking.ask(asking.closed(), questions(count=2))["mednli"].error)]
    asking.served.script = lambda received, reply: reply.send_json({"error": {"message": f"no {KEY}"}}, 500)
    told += [str(asking.ask(asking.closed(), questions(count=2))["mednli"].error)]
    assert "refuses the key" in told[0]
    written = b"".join(path.read_bytes() for path in asking.settings.home.rglob("*") if path.is_file())
    assert written
    assert KEY.encode() not in written
    assert KEY not in caplog.text + "".join(told)


def test_parameters_that_a_model_does_not_take_are_named_otherwise_or_left_out(asking: Asking) -> None:
    def modern(received: Received, reply: Reply) -> None:
        for name in ("max_tokens", "stop"):
            if name in received.body:
                error = {"message": "no", "type": "x", "param": name, "code": "unsupported_parameter"}
                reply.send_json({"error": error}, 400)
                return
        reply.go_right()

    asking.served.script = modern
    asked = questions(count=4)
    stopping = replace(asked, task=replace(asked.task, decoding=Decoding(3, ("\n",))))
    rows = rows_of(asking.ask(asking.closed(concurrency=1), stopping)["mednli"])
    assert {row.finish_reason for row in rows} <= {"stop", "length"}
    assert len(asking.served.asked(CHAT)) == len(rows) + 2
    assert asking.served.asked(CHAT)[-1].body["max_completion_tokens"] == 3


def test_a_model_that_cannot_answer_without_chance_is_told(asking: Asking) -> None:
    error = {"message": "no", "param": "temperature", "code": "unsupported_value"}
    asking.served.script = lambda received, reply: (
        reply.send_json({"error": error}, 400) if received.method == "POST" else reply.go_right()
    )
    outcome = asking.ask(asking.closed(), questions())["mednli"]
    assert "takes no temperature for tiny" in str(outcome.error)


@pytest.mark.parametrize(
    ("change", "finish_reason", "reason", "text"),
    [
        ({"finish_reason": "content_filter"}, "refused", "content_filter", ""),
        ({"message": {"content": None, "refusal": "I will not say."}}, "refused", "refusal", ""),
        ({"message": {"content": None}, "finish_reason": "length"}, "length", "", ""),
        ({"message": {"content": "one\ud83d\ude00 \ud83d two"}}, "stop", "", "one😀 \ufffd two"),
        ({"message": {"content": "one</end>two"}, "finish_reason": "length"}, "stop", "", "one"),
    ],
)
def test_what_a_chat_answer_says(
    asking: Asking, change: dict[str, Any], finish_reason: str, reason: str, text: str
) -> None:
    def script(received: Received, reply: Reply) -> None:
        content = reply.right()
        for choice in content.get("choices", []):
            choice.update({"finish_reason": "stop", **change})
        reply.send_json(content)

    asking.served.script = script
    asked = questions(count=1)
    ending = replace(asked, task=replace(asked.task, decoding=Decoding(3, ("</end>",))))
    [row] = rows_of(asking.ask(asking.closed(), ending)["mednli"])
    assert (row.finish_reason, row.skip_reason, row.text) == (finish_reason, reason, text)


def documents_task() -> TaskSpec:
    return replace(
        TASKS[0],
        name="longhealth_1",
        decoding=Decoding(16),
        documents=DocumentRule(max_tokens=10_000, separator="\n\n"),
    )


def test_a_prompt_is_fitted_to_the_estimate_of_its_length(asking: Asking) -> None:
    letters = tuple(Document(f"d{number}", f"letter {number}: " + "stable, " * 120) for number in range(4))
    long = Prompt("e1", (Message("user", f"{DOCUMENTS} question"),), "Answer:", documents=letters)
    asked = Questions(documents_task(), [long], list)
    [row] = rows_of(asking.ask(asking.closed(context=1200), asked)["longhealth_1"])
    fitting = json.loads(row.fitting)
    assert len(fitting["documents"]) < 4
    assert fitting["left_out"]
    [sent] = asking.served.asked(CHAT)
    assert MessageCounter().count(sent.said) + 16 < 1200
    [row] = rows_of(asking.ask(asking.closed(context=24), asked)["longhealth_1"])
    assert row.finish_reason == "skipped"
    assert len(asking.served.asked(CHAT)) == 1


@given(st.text(max_size=60), st.integers(0, 40))
def test_the_estimate_of_what_is_cut_is_what_was_asked_for(text: str, most: int) -> None:
    counter = MessageCounter()
    cut = counter.truncate(text, most)
    assert text.startswith(cut)
    assert counter.count(cut) <= most
    assert cut == text or counter.count(text) > most


def test_a_file_of_ours_that_a_server_runs_is_other_work_under_another_template(asking: Asking, tmp_path: Path) -> None:
    """The server's weights cannot be seen: what decides is the folder here, the server and the name."""
    other = replace(asking, checkpoint=make_tiny_checkpoint(tmp_path / "other", seed=1))
    salts = set()
    for spec in (asking.open(), other.open(), asking.open(served_name="else"), asking.open(server="http://else/v1")):
        respondent = respondent_of(spec, {}, asking.settings)
        assert isinstance(respondent, LoadedCheckpoint)
        salts.add(respondent.model.request_salt)
    assert len(salts) == 4
