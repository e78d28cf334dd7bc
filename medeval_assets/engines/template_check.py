"""Whether chat template, tokenizer and config fit together, found before a model is asked anything.

A wrong chat template is the commonest reason why a model looks worse than it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from medeval_assets.catalog.quoted import quoted
from medeval_assets.engines.rendering import Renderer
from medeval_assets.errors import BadInput
from medeval_assets.prompts.prompt import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

VERSION = "1"
"""Raised when the same files would give other findings."""

Severity = Literal["blocking", "warning"]

_SYSTEM = Message("system", "medeval-first-probe")
_QUESTION = Message("user", "medeval-last-probe")
_ANSWER = "medeval-answer-probe"
_EXAMPLES = [Message(role, f"medeval-{role}-probe-{number}") for number in range(4) for role in ("user", "assistant")]
_CONVERSATIONS: Sequence[Sequence[Message]] = ((_QUESTION,), (_SYSTEM, _QUESTION), (*_EXAMPLES, _QUESTION))
"""As the tasks ask: a bare question, one under a system text, one after worked examples."""

# What templates write around turns and tokenizers hold as one token. `[INST]` and its kin are plain text by design.
_MARKER = re.compile(r"<\|[^\s<>|]{1,40}\|>|<(?:start|end)_of_turn>|<\uff5c[^\s<>\uff5c]{1,60}\uff5c>")
# Models that know these were trained on them as one token. Zephyr and its kin read `<|user|>` in pieces.
_ALWAYS_ONE_TOKEN = frozenset(
    {
        "<|im_start|>",
        "<|im_end|>",
        "<|begin_of_text|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
        "<start_of_turn>",
        "<end_of_turn>",
        "<|start_of_role|>",
        "<|end_of_role|>",
        "<|end|>",
    }
)
_OPENED_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning)>(?!.*</\1>)|\[THINK\](?!.*\[/THINK\])", re.DOTALL)
# `<pad>`, `[PAD]`, `<|endoftext|>`: no text that an answer would hold.
_NO_CONTENT = re.compile(r"<[^\s]+>|\[[^\s]+\]")

_OTHER_TEMPLATE = "Mend the template, or give the model another one: `chat_template` in its catalog entry."
_OTHER_FILES = "Get tokenizer, config and weights from the same release."


@dataclass(frozen=True)
class Finding:
    """One way in which the template does not fit. Blocking: answers under it would say nothing about the model.

    name: what kind it is, such as `two_bos`.
    what: a short sentence without a final stop, that says what the platform does about it, if anything.
    """

    name: str
    severity: Severity
    what: str
    remedy: str


@dataclass(frozen=True)
class Templated:
    """A model as far as its prompts are concerned; nothing of its weights.

    name: what messages call it.
    template: Jinja text of the template it runs under; None for none.
    own: the template that its checkpoint brings, if any.
    base: key of the generalist of its pair, where that one's template is known, else "".
    base_template: what that one runs under; None for none.
    named_chat: its name says that it was tuned to chat.
    vocabulary: how many token ids the model knows.
    end_tokens: ids that end an answer by config or generation config.
    generates: it writes answers, and does not only score options.
    """

    name: str
    tokenizer: PreTrainedTokenizerBase
    template: str | None
    own: str | None
    base: str
    base_template: str | None
    named_chat: bool
    vocabulary: int
    end_tokens: frozenset[int]
    generates: bool = True

    @cached_property
    def tokens(self) -> Mapping[str, int]:
        """Every token of the tokenizer with its id."""
        return dict(self.tokenizer.get_vocab())


def template_findings(model: Templated) -> list[Finding]:
    """Everything found, what blocks first."""
    found = [*_choice(model), *_vocabulary(model), *(_ending(model) if model.generates else ())]
    if model.template is not None:
        try:
            renderer = Renderer(model.tokenizer, model.template, f"chat template of {model.name}")
            found += _rendering(model, renderer)
        except BadInput as error:
            found += [Finding("turns", "blocking", problem.what, _OTHER_TEMPLATE) for problem in error.problems]
    return sorted(found, key=lambda finding: finding.severity != "blocking")


def _choice(model: Templated) -> Iterator[Finding]:
    """Whether this is the template that it should run under."""
    if model.template is None:
        reasons = [
            *(["its checkpoint brings one"] if model.own is not None else []),
            *(["its name is that of a chat model"] if model.named_chat else []),
            *([f"{model.base}, its pair, has one"] if model.base and model.base_template is not None else []),
        ]
        if reasons:
            what = f"it runs without a chat template, while {', and '.join(reasons)}"
            yield Finding("missing", "warning", what, "Set `chat_template`, unless this is meant.")
    elif model.base and model.base_template != model.template:
        other = "runs without one" if model.base_template is None else "runs under another one"
        what = f"{model.base}, its pair, {other}: a difference may come from the templates"
        remedy = f"Unless each was tuned on its own, add a variant with `chat_template: as:{model.base}`."
        yield Finding("differs_from_pair", "warning", what, remedy)


def _vocabulary(model: Templated) -> Iterator[Finding]:
    tokenizer: Any = model.tokenizer
    largest = max(model.tokens.values(), default=0)
    pad = tokenizer.pad_token_id
    if pad is not None and pad >= model.vocabulary:
        what = f"the pad token {quoted(tokenizer.pad_token)} is {pad}, and the model knows {model.vocabulary} tokens"
        yield Finding("pad", "blocking", what, _OTHER_FILES)
    elif pad is not None and not _NO_CONTENT.fullmatch(str(tokenizer.pad_token)):
        what = f"the pad token {quoted(tokenizer.pad_token)} is text: answers lose it when they are decoded"
        yield Finding("pad", "warning", what, "Set `pad_token` in tokenizer_config.json to a token that is no text.")
    if largest >= model.vocabulary:
        what = f"the tokenizer has tokens up to {largest}, and the model knows only {model.vocabulary}"
        yield Finding("small_embedding", "warning", what, _OTHER_FILES)


def _ending(model: Templated) -> Iterator[Finding]:
    tokenizer: Any = model.tokenizer
    ends = model.end_tokens | ({tokenizer.eos_token_id} if tokenizer.eos_token_id is not None else set())
    remedy = "Set `eos_token` in tokenizer_config.json, or `eos_token_id` in generation_config.json."
    if not ends:
        yield Finding("no_end", "warning", "no token is known to end an answer: answers run to their length", remedy)
    known = set(model.tokens.values())
    strange = sorted(token for token in ends if token not in known or token >= model.vocabulary)
    if strange:
        what = f"tokens that are said to end an answer do not exist: {', '.join(map(str, strange))}"
        yield Finding("no_end", "warning", what, remedy)


def _rendering(model: Templated, renderer: Renderer) -> Iterator[Finding]:
    tokenizer: Any = model.tokenizer
    if not renderer.takes_system:
        what = "it has no system turn: the platform opens the first user turn with the system text"
        yield Finding("system_folded", "warning", what, "Nothing, where the model was tuned that way.")
    rendered = [renderer.render(messages, cue="") for messages in _CONVERSATIONS]
    for messages, one in zip(_CONVERSATIONS, rendered, strict=True):
        lost = sorted({message.role for message in messages if message.content not in one.text})
        if lost:
            what = f"of a conversation of {len(messages)} turns it leaves out {' and '.join(lost)} turns"
            yield Finding("turns", "blocking", what, _OTHER_TEMPLATE)
    longest = renderer.conversation([*_CONVERSATIONS[-1], Message("assistant", _ANSWER)], generation_prompt=False)
    ids = {token for one in rendered for token in one.token_ids}
    ids |= set(tokenizer(longest, add_special_tokens=False, verbose=False)["input_ids"])
    beyond = sorted(token for token in ids if token >= model.vocabulary)
    if beyond:
        names = ", ".join(quoted(tokenizer.convert_ids_to_tokens(token), 40) for token in beyond[:3])
        what = f"it writes tokens that the model does not know ({names}): only {model.vocabulary} are known"
        yield Finding("beyond_vocabulary", "blocking", what, _OTHER_FILES)
    yield from _beginning(model, rendered[0].text, rendered[0].token_ids)
    yield from _markers(model, "".join(one.text for one in rendered) + longest, ids)
    yield from _answer(model, renderer)


def _beginning(model: Templated, text: str, ids: Sequence[int]) -> Iterator[Finding]:
    """How often the token stands there that begins a text. `text`, `ids`: a prompt that was rendered."""
    tokenizer: Any = model.tokenizer
    bos = tokenizer.bos_token_id
    if bos is None:
        return
    added = tokenizer("x", verbose=False)["input_ids"][0] == bos
    written = ids[0] == bos
    rest = text.removeprefix(tokenizer.bos_token)
    if written and rest.lstrip().startswith(tokenizer.bos_token):
        what = f"it begins a prompt with {quoted(tokenizer.bos_token)} twice"
        if rest.startswith(tokenizer.bos_token):
            yield Finding("two_bos", "warning", f"{what}: the platform leaves one", _OTHER_TEMPLATE)
        else:
            yield Finding("two_bos", "blocking", f"{what}, with white space between", _OTHER_TEMPLATE)
    elif written and added:
        what = f"template and tokenizer each begin a prompt with {quoted(tokenizer.bos_token)}: the platform leaves one"
        yield Finding("two_bos", "warning", what, "Nothing here; other tools may ask the model with two.")
    elif added:
        what = f"the tokenizer begins texts with {quoted(tokenizer.bos_token)}, the template does not: it is left out"
        yield Finding("no_bos", "warning", what, "Begin the template with `{{ bos_token }}`, unless this is meant.")


def _markers(model: Templated, text: str, ids: set[int]) -> Iterator[Finding]:
    split = [marker for marker in dict.fromkeys(_MARKER.findall(text)) if model.tokens.get(marker, -1) not in ids]
    blocking = [marker for marker in split if marker in _ALWAYS_ONE_TOKEN]
    if split:
        shown = ", ".join(quoted(marker) for marker in blocking or split)
        what = f"the tokenizer does not know what it writes around turns ({shown}): the model reads it in pieces"
        remedy = "Use the template that the tokenizer was made for, or the tokenizer that the model was tuned with."
        yield Finding("split_markers", "blocking" if blocking else "warning", what, remedy)


def _answer(model: Templated, renderer: Renderer) -> Iterator[Finding]:
    """Where an answer begins and ends, by how the template itself writes one."""
    asked = renderer.conversation([_QUESTION])
    closed = renderer.conversation([_QUESTION], generation_prompt=False)
    answered = renderer.conversation([_QUESTION, Message("assistant", _ANSWER)], generation_prompt=False)
    if _OPENED_THOUGHT.search(asked.rpartition(_QUESTION.content)[2]):
        what = "an answer begins inside a thought: it may be cut before it says anything else"
        yield Finding("thinking", "warning", what, "Use a template that does not think, or expect long answers.")
    elif "enable_thinking" in str(model.template):
        what = "the template can make the model think, or not: it is used as it stands by default"
        yield Finding("thinking", "warning", what, "Set what you want at the template's top, as a template of its own.")
    else:
        yield from _opening(model.tokenizer, asked, closed, answered)
    yield from _turn_end(model, renderer)


def _opening(tokenizer: Any, asked: str, closed: str, answered: str) -> Iterator[Finding]:
    """asked, closed: a question with and without what the template opens an answer with; answered: with an answer."""
    header = answered.removeprefix(closed).partition(_ANSWER)[0]
    if asked == closed and answered.startswith(closed) and header.strip():
        what = f"`add_generation_prompt` changes nothing, so nothing says that an answer begins ({quoted(header)})"
        yield Finding("generation_prompt", "blocking", what, _OTHER_TEMPLATE)
        return
    between = answered.removeprefix(asked).partition(_ANSWER)[0]
    bare = asked.rstrip()
    if answered.startswith(asked) and between.strip():
        what = f"an answer of its own begins with more than the generation prompt: {quoted(between)}"
        yield Finding("generation_prompt", "warning", what, _OTHER_TEMPLATE)
    elif answered.startswith(asked) and between and (asked[-1:].isspace() or "\n" in between):
        what = f"white space that it writes before an answer ({between!r}) is missing from the generation prompt"
        yield Finding("white_space", "warning", what, _OTHER_TEMPLATE)
    elif not answered.startswith(asked) and answered.removeprefix(bare).lstrip().startswith(_ANSWER):
        what = (
            f"the generation prompt ends in {asked[len(bare) :]!r}, which it does not write before an answer of its own"
        )
        yield Finding("white_space", "warning", what, _OTHER_TEMPLATE)
    elif not answered.startswith(asked):
        what = f"the generation prompt ({quoted(asked.rpartition(_QUESTION.content)[2])}) is not how it opens an answer"
        yield Finding("generation_prompt", "warning", what, _OTHER_TEMPLATE)
    elif asked.endswith(" ") and not _begins_with(tokenizer, answered, asked):
        what = "the generation prompt ends in a blank, which belongs to the first token of an answer"
        yield Finding("white_space", "warning", what, "Let the template end without it.")


def _begins_with(tokenizer: Any, text: str, start: str) -> bool:
    """Whether the tokens of `text` begin with those of `start`."""
    whole, part = (tokenizer(one, add_special_tokens=False, verbose=False)["input_ids"] for one in (text, start))
    return bool(whole[: len(part)] == part)


def _turn_end(model: Templated, renderer: Renderer) -> Iterator[Finding]:
    tokenizer: Any = model.tokenizer
    ends = model.end_tokens | {tokenizer.eos_token_id}
    for stop in renderer.render((_QUESTION,), cue="").stop:
        if model.tokens.get(stop) not in ends:
            what = f"an answer ends with {quoted(stop)}, which is none of the model's end tokens: the platform adds it"
            yield Finding("turn_end", "warning", what, "Add it to `eos_token_id` in generation_config.json.")
