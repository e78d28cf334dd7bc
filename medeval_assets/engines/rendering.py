"""Rendering: a prompt's messages as the text and the tokens that one model sees."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from medeval_assets.errors import BadInput, Problem
from medeval_assets.prompts.fitting import TokenCounter
from medeval_assets.prompts.prompt import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

EXAMPLE_BORDER = "\n###\n"
"""Stands between two worked examples where there is no chat template."""

# Some templates write the date into the prompt. So that a prompt is the same tomorrow, it is pinned to the day
# that Llama's template falls back to.
_PINNED_DATE = (
    "{% macro strftime_now(format) %}{{ {'%d %b %Y': '26 Jul 2024', '%d %B %Y': '26 July 2024', "
    "'%B %d, %Y': 'July 26, 2024'}.get(format, '2024-07-26') }}{% endmacro %}{{ '' }}"
)

_PROBE = (
    Message("system", "medeval-system-probe"),
    Message("user", "medeval-user-probe"),
    Message("assistant", "medeval-answer-probe"),
    Message("user", "medeval-question-probe"),
)


@dataclass(frozen=True)
class Rendered:
    """One prompt as one model sees it.

    token_ids: the whole prompt, special tokens included.
    stop: the strings that end an answer in this form of prompt, besides the task's own.
    """

    text: str
    token_ids: tuple[int, ...]
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Form:
    """What a chat template makes of a conversation, learnt from a probe.

    takes_system: it shows a system turn.
    lead: the white space it writes between the generation prompt and an answer.
    stop: what it writes after an answer, if anything. Not every checkpoint names it among the tokens that end an
        answer, least of all under another model's template.
    """

    takes_system: bool
    lead: str
    stop: tuple[str, ...]


_NO_TEMPLATE = _Form(takes_system=True, lead=" ", stop=(EXAMPLE_BORDER.rstrip(),))


class PromptRenderer(Protocol):
    """What prompts need to be fitted to a model and asked."""

    def render(self, messages: Sequence[Message], cue: str) -> Rendered: ...

    def option_tokens(
        self, rendered: Rendered, options: Sequence[str]
    ) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]: ...

    def counter(self, cue: str) -> TokenCounter: ...

    def count(self, text: str) -> int: ...


class Renderer:
    """Renders messages for one model.

    With a chat template it is applied once and nothing is added to what it writes. A system text that the
    template refuses or drops opens the first user turn. Without one, examples and question stand in one text,
    each answer after its cue.
    name: what error messages call the template, e.g. `chat template of meditron-7b`.
    BadInput where the template cannot render a conversation with a worked example.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, chat_template: str | None, name: str = "chat template"
    ) -> None:
        self._tokenizer: Any = tokenizer
        # Documents and options recur in many prompts.
        self._counted = lru_cache(maxsize=4096)(self._count)
        self._name = name
        self._template = chat_template
        if chat_template is not None and "strftime_now" in chat_template:
            self._template = _PINNED_DATE + chat_template
        self._form = _NO_TEMPLATE if chat_template is None else self._probe()

    def render(self, messages: Sequence[Message], cue: str) -> Rendered:
        """The prompt up to where the answer begins. `cue` is only used where there is no chat template."""
        text = _plain_text(messages, cue) if self._template is None else self.conversation(messages)
        return Rendered(text, tuple(self._tokens([text])[0]), self._form.stop)

    def conversation(self, messages: Sequence[Message], generation_prompt: bool = True) -> str:
        """What the chat template makes of the messages, with or without what it opens the next answer with."""
        turns = messages if self._form.takes_system else _without_system_turn(messages)
        return self._apply(turns, generation_prompt)

    @property
    def takes_system(self) -> bool:
        """Whether a system text has a turn of its own."""
        return self._form.takes_system

    def option_tokens(
        self, rendered: Rendered, options: Sequence[str]
    ) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
        """The tokens that the prompt shares with prompt + answer for every option, and what follows in each.

        Prompt and answer are tokenised as one text, because a token may span the border. Every option keeps a
        token at least.
        """
        whole = self._tokens([rendered.text + self._form.lead + option for option in options])
        shared = min((len(tokens) - 1 for tokens in whole), default=len(rendered.token_ids))
        for tokens in (rendered.token_ids, *whole):
            shared = shared_prefix(rendered.token_ids[:shared], tokens)
        return rendered.token_ids[:shared], tuple(tuple(tokens[shared:]) for tokens in whole)

    def counter(self, cue: str) -> RenderedTokens:
        """Counts tokens for fitting prompts that have this cue."""
        return RenderedTokens(self, cue)

    def count(self, text: str) -> int:
        """Tokens of the text alone, without special tokens."""
        return self._counted(text)

    def truncate(self, text: str, most: int) -> str:
        """The longest prefix of `text` found to have at most `most` tokens."""
        if most < 1:
            return ""
        ends = self._token_ends(text)
        if len(ends) <= most:
            return text
        # Cut inside a merge or a character, a prefix can have more tokens than it has inside the whole text.
        for end in reversed(ends[:most]):
            if self._count(text[:end]) <= most:
                return text[:end]
        return ""

    def _count(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _token_ends(self, text: str) -> list[int]:
        """For each token of `text` the character where it ends."""
        if self._tokenizer.is_fast:
            encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            return [end for _, end in encoded["offset_mapping"]]
        # Tokenizers written in Python know no offsets: word ends come close, and the caller counts again.
        ends: list[int] = []
        for end in range(1, len(text) + 1):
            if end == len(text) or (text[end].isspace() and not text[end - 1].isspace()):
                ends += [end] * max(0, self._count(text[ends[-1] if ends else 0 : end]))
        return ends

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        plain = self._template is None
        encoded = self._tokenizer(list(texts), add_special_tokens=plain, verbose=False)["input_ids"]
        return [self._without_extra_special_tokens(list(tokens), plain) for tokens in encoded]

    def _without_extra_special_tokens(self, tokens: list[int], plain: bool) -> list[int]:
        """The tokens with one BOS at most, and none that closes the text: the answer is to follow."""
        bos = self._tokenizer.bos_token_id
        closing = (self._tokenizer.eos_token_id, self._tokenizer.sep_token_id)
        while len(tokens) > 1 and tokens[0] == tokens[1] == bos:
            del tokens[0]
        while plain and len(tokens) > 1 and tokens[-1] in closing:
            del tokens[-1]
        return tokens

    def _probe(self) -> _Form:
        system, *turns = _PROBE
        folded = _without_system_turn(_PROBE)
        takes_system = False
        try:
            takes_system = system.content in self._apply(_PROBE, generation_prompt=True)
        except BadInput:
            self._apply(folded, generation_prompt=True)
        shown = _PROBE if takes_system else folded
        text = self._apply(shown, generation_prompt=True)
        for turn in turns:
            if turn.content not in text:
                raise BadInput([self._problem(0, f"it leaves out the {turn.role} turns")])
        answer = "medeval-lead-probe"
        answered = self._apply([*shown, Message("assistant", answer)], generation_prompt=False)
        lead, found, closing = answered.removeprefix(text).partition(answer)
        if not answered.startswith(text) or not found or lead.strip():
            return _Form(takes_system, lead="", stop=())
        return _Form(takes_system, lead, tuple(closing.split()[:1]))

    def _apply(self, messages: Sequence[Message], generation_prompt: bool) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    turns,
                    chat_template=self._template,
                    tokenize=False,
                    add_generation_prompt=generation_prompt,
                )
            )
        except Exception as error:
            # A template can fail in any way that Python can. Its message may quote the prompt: drop it.
            raise BadInput([self._problem(_template_line(error), _fault(error))]) from None

    def _problem(self, line: int, what: str) -> Problem:
        where = f"{self._name}:{line}" if line else self._name
        return Problem(where, what, "Mend the template, or give the model another one in the catalog.")


@dataclass(frozen=True)
class RenderedTokens:
    """The token counter of one model for prompts with one cue."""

    renderer: Renderer
    cue: str

    def count_messages(self, messages: Sequence[Message]) -> int:
        return len(self.renderer.render(messages, self.cue).token_ids)

    def count(self, text: str) -> int:
        return self.renderer.count(text)

    def truncate(self, text: str, most: int) -> str:
        return self.renderer.truncate(text, most)


def _plain_text(messages: Sequence[Message], cue: str) -> str:
    system = "".join(message.content + "\n\n" for message in messages if message.role == "system")
    examples: list[str] = []
    for message in messages:
        if message.role == "user":
            examples.append(f"{message.content}\n{cue}")
        elif message.role == "assistant":
            examples[-1] += f" {message.content}"
    return system + EXAMPLE_BORDER.join(examples)


def _without_system_turn(messages: Sequence[Message]) -> list[Message]:
    """The messages with the system text at the front of the first user turn."""
    system = [message.content for message in messages if message.role == "system"]
    first, *rest = (message for message in messages if message.role != "system")
    return [replace(first, content="\n\n".join([*system, first.content])), *rest]


def shared_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return index
    return min(len(one), len(other))


def _template_line(error: Exception) -> int:
    """The line of the template where it failed; 0 where that is not known."""
    line = getattr(error, "lineno", None)
    if line is not None:
        return int(line)
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 0 for frame in reversed(frames) if frame.filename in ("<template>", "<unknown>")), 0)


def _fault(error: Exception) -> str:
    from jinja2 import TemplateError, TemplateSyntaxError, UndefinedError

    if isinstance(error, TemplateSyntaxError):
        return f"it is not valid Jinja ({error.message})"
    if type(error) is TemplateError:
        return "it refuses the conversation"
    if isinstance(error, UndefinedError):
        return "it uses something that is not there"
    return f"it fails with {type(error).__name__}"
