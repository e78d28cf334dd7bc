"""Generations: a task's prompts, fitted to one model, rendered for it and answered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from medeval_assets.catalog.task_spec import Decoding, TaskSpec
from medeval_assets.engines.protocol import Engine, Request
from medeval_assets.engines.rendering import Renderer
from medeval_assets.prompts.fitting import Skipped, fit
from medeval_assets.prompts.prompt import Prompt


@dataclass(frozen=True)
class Generation:
    """One row of the generations table: what one model returned for one prompt.

    prompt_sha256: "" where it is not known what was asked.
    prompt_tokens, generated_tokens: 0 where nothing of it was tokenized here.
    finish_reason: "stop", "length", or "skipped" where the prompt cannot be fitted to the model's context.
    option_logprobs, option_tokens: in the order of the prompt's options; empty for free text and where skipped.
    fitting: JSON of what was shown, truncated and left out; "" where nothing was fitted.
    """

    example_id: str
    prompt_sha256: str
    text: str
    finish_reason: str
    skip_reason: str = ""
    prompt_tokens: int = 0
    generated_tokens: int = 0
    option_logprobs: tuple[float, ...] = ()
    option_tokens: tuple[int, ...] = ()
    fitting: str = ""
    request_sha256: str = ""


@dataclass(frozen=True)
class Prepared:
    """A prompt as one model is asked. request: None where it is skipped, for `skip_reason`."""

    prompt: Prompt
    request: Request | None
    skip_reason: str = ""
    fitting: str = ""


def prepare(task: TaskSpec, prompts: Sequence[Prompt], renderer: Renderer, context: int) -> list[Prepared]:
    """The prompts fitted to `context` tokens, room for the answer left, and rendered; in their order.

    MedevalError where a prompt has documents that cannot be fitted by any rule, BadInput where the chat template
    refuses the conversation.
    """
    return [_prepared(task, prompt, renderer, context) for prompt in prompts]


def generate(
    task: TaskSpec,
    prompts: Sequence[Prompt],
    engine: Engine,
    renderer: Renderer,
    *,
    request_salt: str,
    on_batch: Callable[[int], None],
) -> list[Generation]:
    """One generation for every prompt, in their order.

    request_salt: identity of the model, the engine's name and dtype: with another one the same prompt is other work.
    on_batch: told how many more prompts are done, the skipped ones first.
    """
    prepared = prepare(task, prompts, renderer, engine.context)
    requests = [one.request for one in prepared if one.request is not None]
    if len(requests) < len(prepared):
        on_batch(len(prepared) - len(requests))
    answers = {}
    for batch in engine.answer(requests):
        answers.update({answer.example_id: answer for answer in batch})
        on_batch(len(batch))

    rows = []
    for one in prepared:
        if one.request is None:
            rows.append(_skipped(one))
            continue
        answer = answers[one.request.example_id]
        rows.append(
            Generation(
                example_id=answer.example_id,
                prompt_sha256=one.prompt.prompt_sha256,
                text=answer.text,
                finish_reason=answer.finish_reason,
                prompt_tokens=len(one.request.token_ids),
                generated_tokens=answer.generated_tokens,
                option_logprobs=answer.option_logprobs,
                option_tokens=tuple(len(option) for option in one.request.options),
                fitting=one.fitting,
                request_sha256=request_sha256(one.request, request_salt),
            )
        )
    return rows


def request_sha256(request: Request, salt: str) -> str:
    """The hash of all that decides an answer: the model and engine (salt), the tokens, the decoding, the options."""
    work = {
        "salt": salt,
        "token_ids": request.token_ids,
        "max_new_tokens": request.decoding.max_new_tokens,
        "stop": request.decoding.stop,
        "option_context": request.option_context,
        "options": request.options,
    }
    return hashlib.sha256(json.dumps(work, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _prepared(task: TaskSpec, prompt: Prompt, renderer: Renderer, context: int) -> Prepared:
    answers = list(prompt.options.values())
    # An option's tokens take the answer's place, and a special token may follow them.
    room = max([task.decoding.max_new_tokens, *(renderer.count(f" {answer}") + 1 for answer in answers)])
    fitted = fit(prompt, task.documents, renderer.counter(prompt.cue), context - room)
    if isinstance(fitted, Skipped):
        return Prepared(prompt, None, skip_reason=fitted.reason)
    rendered = renderer.render(fitted.messages, prompt.cue)
    option_context, options = renderer.option_tokens(rendered, answers) if answers else ((), ())
    request = Request(
        example_id=prompt.example_id,
        token_ids=rendered.token_ids,
        decoding=Decoding(task.decoding.max_new_tokens, (*task.decoding.stop, *rendered.stop)),
        options=options,
        option_context=option_context,
    )
    fitting = json.dumps(fitted.fitting, sort_keys=True) if fitted.fitting else ""
    return Prepared(prompt, request, fitting=fitting)


def _skipped(one: Prepared) -> Generation:
    return Generation(
        example_id=one.prompt.example_id,
        prompt_sha256=one.prompt.prompt_sha256,
        text="",
        finish_reason="skipped",
        skip_reason=one.skip_reason,
    )
