"""Every prompt has one row: answered, or skipped with its reason."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from medeval_assets.catalog.model_spec import EngineNeeds
from medeval_assets.catalog.task_spec import Decoding, Document, DocumentRule, TaskSpec
from medeval_assets.engines.checkpoint import load_tokenizer
from medeval_assets.engines.engine_setup import engine_setup
from medeval_assets.engines.generations import Generation, generation_of, prepare, request_sha256
from medeval_assets.engines.protocol import Answer, Batch, EngineIdentity, Key, Request
from medeval_assets.engines.rendering import Renderer
from medeval_assets.engines.transformers_engine import TransformersEngine
from medeval_assets.lake.tables import arrow_schema
from medeval_assets.prompts.prompt import DOCUMENTS, Message, Prompt
from medeval_assets.tasks.mednli import TASKS
from medeval_assets_tests.checkpoints import CHATML

TASK: TaskSpec = replace(TASKS[0], decoding=Decoding(max_new_tokens=6, stop=("\n\n",)))


@pytest.fixture(scope="module")
def renderer(tiny_checkpoint: Path) -> Renderer:
    return Renderer(load_tokenizer(tiny_checkpoint, EngineNeeds()), CHATML)


def prompt(example_id: str, words: int = 5, options: Sequence[str] = ("yes", "no", "not said")) -> Prompt:
    return Prompt(
        example_id=example_id,
        messages=(Message("system", "Judge."), Message("user", "patient is " * words)),
        cue="Answer:",
        options={option: option for option in options},
        prompt_sha256=example_id.encode().hex().ljust(64, "0"),
    )


CONTEXT = 200


class Echo:
    """An engine that answers with the number of a prompt's tokens, the shortest first."""

    identity = EngineIdentity("echo", "none", "none", {})

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def answer(self, requests: Sequence[Request], done: Container[Key] = ()) -> Iterator[Batch]:
        self.requests = sorted(requests, key=lambda request: len(request.token_ids))
        for request in self.requests:
            logprobs = tuple(-float(len(option)) for option in request.options)
            yield [(request, Answer(str(len(request.token_ids)), "stop", 2, logprobs))]

    def close(self) -> None:
        self.requests = []


def run(engine: Any, renderer: Renderer, prompts: Sequence[Prompt], task: TaskSpec = TASK) -> list[Generation]:
    """The rows that an engine's answers make."""
    prepared = prepare(task, prompts, renderer, CONTEXT)
    answers = {
        request.example_id: answer
        for batch in engine.answer([one.request for one in prepared if one.request])
        for request, answer in batch
    }
    return [
        generation_of(
            one, answers.get(one.prompt.example_id), request_sha256(one.request, "salt") if one.request else ""
        )
        for one in prepared
    ]


def test_rows_come_in_the_order_of_the_prompts(renderer: Renderer) -> None:
    prompts = [prompt("long", 30), prompt("short", 2), prompt("middle", 9)]
    rows = run(Echo(), renderer, prompts)
    assert [row.example_id for row in rows] == ["long", "short", "middle"]
    for row, asked in zip(rows, prompts, strict=True):
        assert row.text == str(row.prompt_tokens)
        assert row.prompt_tokens == len(renderer.render(asked.messages, asked.cue).token_ids)
        assert row.prompt_sha256 == asked.prompt_sha256
        # Every letter of the options is a token of its own, and so is the blank.
        assert row.option_tokens == (3, 2, 8)
        assert row.option_logprobs == (-3.0, -2.0, -8.0)


def test_a_row_is_a_row_of_the_table() -> None:
    assert list(Generation.__dataclass_fields__) == arrow_schema("generations").names


def test_a_prompt_that_cannot_be_fitted_is_skipped_with_its_reason(renderer: Renderer) -> None:
    engine = Echo()
    rows = run(engine, renderer, [prompt("fits"), prompt("huge", 300), prompt("too")])
    assert [row.finish_reason for row in rows] == ["stop", "skipped", "stop"]
    assert {request.example_id for request in engine.requests} == {"fits", "too"}
    skipped = rows[1]
    assert "context" in skipped.skip_reason
    assert (skipped.text, skipped.option_logprobs, skipped.request_sha256) == ("", (), "")


@pytest.mark.parametrize("options", [(), ("yes",), ("a longer answer of many letters",)])
def test_prompt_and_answer_fit_the_context_to_the_last_token(renderer: Renderer, options: tuple[str, ...]) -> None:
    asked = prompt("edge", 5, options)
    size = len(renderer.render(asked.messages, asked.cue).token_ids)
    # Room for six tokens of an answer, or for the option (a token for each letter but for those of " answer" and " of",
    # with a blank before) and one that closes it.
    room = max([6, *(renderer.count(" " + option) + 1 for option in options)])
    assert prepare(TASK, [asked], renderer, size + room)[0].request is not None
    assert prepare(TASK, [asked], renderer, size + room - 1)[0].request is None


def test_documents_are_fitted_and_recorded(renderer: Renderer) -> None:
    task = replace(TASK, documents=DocumentRule(max_tokens=500, separator="\n--\n"))
    documents = tuple(Document(f"d{number}", f"{number}" * 60) for number in range(4))
    asked = replace(prompt("letters"), documents=documents, messages=(Message("user", f"Read:\n{DOCUMENTS}\nWell?"),))
    (row,) = run(Echo(), renderer, [asked], task)
    shown = json.loads(row.fitting)["documents"]
    assert shown
    assert set(shown) < {document.document_id for document in documents}
    assert row.prompt_tokens + 6 <= CONTEXT
    assert run(Echo(), renderer, [prompt("plain")])[0].fitting == ""


def test_the_answers_of_a_real_model(renderer: Renderer, tiny_checkpoint: Path) -> None:
    engine = TransformersEngine.load(engine_setup("tiny", tiny_checkpoint, "causal", EngineNeeds(gpus=0)))
    prompts = [prompt(f"e{number}", number + 1) for number in range(4)]
    rows = run(engine, renderer, prompts)
    assert [asdict(row) for row in rows] == [asdict(row) for row in run(engine, renderer, prompts)]
    for row in rows:
        # Random weights: no option is likelier than a few times chance (1/268) for each of its tokens.
        for value, count in zip(row.option_logprobs, row.option_tokens, strict=True):
            assert -9.0 * count < value < -3.0 * count
        assert 1 <= row.generated_tokens <= 6
    assert not torch.is_inference_mode_enabled()


BASE = Request("e", (1, 2, 3), Decoding(5, ("x",)), ((4,), (5, 6)), (1, 2, 3))


@pytest.mark.parametrize(
    ("other", "salt"),
    [
        (replace(BASE, token_ids=(1, 2)), "m"),
        (replace(BASE, decoding=Decoding(6, ("x",))), "m"),
        (replace(BASE, decoding=Decoding(5, ("x", "y"))), "m"),
        (replace(BASE, options=((4,), (5,))), "m"),
        (replace(BASE, options=((4, 5), (6,))), "m"),
        (replace(BASE, option_context=(1, 2)), "m"),
        (BASE, "another model"),
    ],
)
def test_other_work_has_another_hash(other: Request, salt: str) -> None:
    assert request_sha256(other, salt) != request_sha256(BASE, "m")


def test_the_same_work_has_the_same_hash() -> None:
    assert request_sha256(replace(BASE, example_id="other"), "m") == request_sha256(BASE, "m")
