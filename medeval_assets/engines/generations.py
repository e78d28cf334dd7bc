"""Generations: a task's prompts, fitted to one model and rendered for it, and the rows that its answers make."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from medeval_assets.catalog.task_spec import Decoding, TaskSpec
from medeval_assets.engines.protocol import Answer, Request
from medeval_assets.engines.rendering import PromptRenderer
from medeval_assets.prompts.fitting import Fitted, Skipped, fit
from medeval_assets.prompts.prompt import Prompt


@dataclass(frozen=True)
class Generation:
    """One row of the generations table: what one model returned for one prompt.

    prompt_sha256: "" where it is not known what was asked.
    prompt_tokens, generated_tokens: 0 where nothing of it was tokenized here and no server said it.
    finish_reason: "stop", "length", "skipped" where the prompt cannot be fitted to the model's context, or "refused"
        where a server will not answer it.
    skip_reason: why it was skipped or refused, else "".
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


def prepare(task: TaskSpec, prompts: Sequence[Prompt], renderer: PromptRenderer, context: int) -> list[Prepared]:
    """The prompts fitted to `context` tokens, room for the answer left, and rendered; in their order.

    MedevalError where a prompt has documents that cannot be fitted by any rule, BadInput where the chat template
    refuses the conversation.
    """
    return [_prepared(task, prompt, renderer, context) for prompt in prompts]


def fit_prompt(task: TaskSpec, prompt: Prompt, renderer: PromptRenderer, context: int) -> Fitted | Skipped:
    """The prompt with as many documents as `context` tokens hold beside the answer."""
    # An option's tokens take the answer's place, and a special token may follow them.
    options = (renderer.count(f" {answer}") + 1 for answer in prompt.options.values())
    room = max([task.decoding.max_new_tokens, *options])
    return fit(prompt, task.documents, renderer.counter(prompt.cue), context - room)


def generation_of(one: Prepared, answer: Answer | None, request_sha256: str) -> Generation:
    """The row of a prompt; answer: None where it was skipped."""
    if one.request is None or answer is None:
        return Generation(
            example_id=one.prompt.example_id,
            prompt_sha256=one.prompt.prompt_sha256,
            text="",
            finish_reason="skipped",
            skip_reason=one.skip_reason,
        )
    return Generation(
        example_id=one.prompt.example_id,
        prompt_sha256=one.prompt.prompt_sha256,
        text=answer.text,
        finish_reason=answer.finish_reason,
        skip_reason=answer.reason,
        prompt_tokens=len(one.request.token_ids) or answer.prompt_tokens,
        generated_tokens=answer.generated_tokens,
        option_logprobs=answer.option_logprobs,
        option_tokens=tuple(len(option) for option in one.request.options),
        fitting=one.fitting,
        request_sha256=request_sha256,
    )


def request_sha256(request: Request, salt: str) -> str:
    """The hash of all that decides an answer: the model and engine (salt), what is asked, the decoding, the options."""
    work = {
        "salt": salt,
        "token_ids": request.token_ids,
        # Where tokens are known, they are all that the model sees of the messages.
        "messages": [] if request.token_ids else [(one.role, one.content) for one in request.messages],
        "max_new_tokens": request.decoding.max_new_tokens,
        "stop": request.decoding.stop,
        "option_context": request.option_context,
        "options": request.options,
    }
    return hashlib.sha256(json.dumps(work, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _prepared(task: TaskSpec, prompt: Prompt, renderer: PromptRenderer, context: int) -> Prepared:
    answers = list(prompt.options.values())
    fitted = fit_prompt(task, prompt, renderer, context)
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
        task=task.name,
        messages=tuple(fitted.messages),
    )
    fitting = json.dumps(fitted.fitting, sort_keys=True) if fitted.fitting else ""
    return Prepared(prompt, request, fitting=fitting)
