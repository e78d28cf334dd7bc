"""A prompt reaches every model in its own form, with every token once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from medeval_assets.engines.rendering import Renderer
from medeval_assets.errors import BadInput
from medeval_assets.prompts.prompt import Message
from medeval_assets_tests.checkpoints import CHATML

SYSTEM = Message("system", "Read the note.")
SHOT = (Message("user", "Fever?"), Message("assistant", "yes"))
QUESTION = Message("user", "Cough?")
CONVERSATION = (SYSTEM, *SHOT, QUESTION)

ALTERNATING = (
    "{{ bos_token }}{% for message in messages %}\n"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('turns must alternate, got ' + message['content']) }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[Q] ' + message['content'] + ' [/Q]' }}"
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)
"""In the manner of Mistral: no system turn, a BOS of its own, a blank before each answer."""

DEAF = CHATML.replace("messages %}", "messages if message['role'] != 'system' %}")
"""Drops the system turn without a word."""


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_checkpoint, local_files_only=True)


def test_chat_template_is_applied_once(tokenizer: Any) -> None:
    rendered = Renderer(tokenizer, CHATML).render(CONVERSATION, cue="Answer:")
    assert rendered.text == (
        "<s><|im_start|>system\nRead the note.<|im_end|>\n"
        "<|im_start|>user\nFever?<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n"
        "<|im_start|>user\nCough?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert rendered.token_ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(rendered.token_ids) == rendered.text


@pytest.mark.parametrize("template", [CHATML, CHATML.removeprefix("{{ bos_token }}")])
def test_a_template_decides_alone_whether_there_is_a_bos(tokenizer: Any, template: str) -> None:
    token_ids = Renderer(tokenizer, template).render([QUESTION], cue="").token_ids
    assert token_ids.count(tokenizer.bos_token_id) == template.count("bos_token")


def test_a_second_bos_is_removed(tokenizer: Any) -> None:
    token_ids = Renderer(tokenizer, "{{ bos_token }}" + CHATML).render([QUESTION], cue="").token_ids
    assert token_ids.count(tokenizer.bos_token_id) == 1


def test_without_a_template_the_examples_stand_in_one_text(tokenizer: Any) -> None:
    rendered = Renderer(tokenizer, None).render(CONVERSATION, cue="Answer:")
    assert rendered.text == "Read the note.\n\nFever?\nAnswer: yes\n###\nCough?\nAnswer:"
    assert rendered.token_ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(rendered.token_ids[1:]) == rendered.text


def test_no_end_token_stands_before_the_answer(tiny_checkpoint: Path) -> None:
    from tokenizers import processors

    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint, local_files_only=True)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    assert tokenizer("x")["input_ids"][-1] == tokenizer.eos_token_id
    rendered = Renderer(tokenizer, None).render([QUESTION], cue="Answer:")
    assert tokenizer.eos_token_id not in rendered.token_ids


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (ALTERNATING, "<s>[Q] Read the note.\n\nFever? [/Q] yes</s>[Q] Cough? [/Q]"),
        (
            DEAF,
            (
                "<s><|im_start|>user\nRead the note.\n\nFever?<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n"
                "<|im_start|>user\nCough?<|im_end|>\n<|im_start|>assistant\n"
            ),
        ),
    ],
    ids=["refused", "dropped"],
)
def test_system_text_is_never_lost(tokenizer: Any, template: str, text: str) -> None:
    assert Renderer(tokenizer, template).render(CONVERSATION, cue="").text == text


@pytest.mark.parametrize(
    ("template", "place"),
    [
        ("fine\n{% for message in messages %}{{ message.content }", "clinic:2"),
        ("\n\n{{ raise_exception('no: ' + messages[-1].content) }}", "clinic:3"),
        ("\n{{ messages[0].content.nothing.more }}", "clinic:2"),
        ("\n{{ messages | map(attribute='content') | sum }}", "clinic:2"),
        ("{{ messages[-1].content }}", "clinic"),
    ],
    ids=["syntax", "refusal", "undefined", "crash", "one turn only"],
)
def test_broken_templates_are_named_with_their_line(tokenizer: Any, template: str, place: str) -> None:
    with pytest.raises(BadInput) as caught:
        Renderer(tokenizer, template, name="clinic")
    assert caught.value.problems[0].where == place


def test_an_error_says_nothing_of_the_prompt(tokenizer: Any) -> None:
    template = CHATML + "\n{% if messages | length > 6 %}{{ raise_exception(messages[-1].content) }}{% endif %}"
    renderer = Renderer(tokenizer, template, name="clinic")
    with pytest.raises(BadInput) as caught:
        renderer.render((*SHOT, *SHOT, *SHOT, Message("user", "Mr Doe, 44")), cue="")
    assert caught.value.problems[0].where == "clinic:2"
    assert "Doe" not in str(caught.value)


THINKING = CHATML.replace(
    "message['content'] + '<|im_end|>",
    "('<think></think>' if message['role'] == 'assistant' else '') + message['content'] + '<|im_end|>",
)


@pytest.mark.parametrize(
    ("template", "stop"),
    [(CHATML, ("<|im_end|>",)), (ALTERNATING, ("</s>",)), (THINKING, ()), (None, ("\n###",))],
    ids=["chatml", "alternating", "thinking", "none"],
)
def test_what_follows_an_answer_ends_it(tokenizer: Any, template: str | None, stop: tuple[str, ...]) -> None:
    assert Renderer(tokenizer, template).render([QUESTION], cue="Answer:").stop == stop


def test_the_date_in_a_template_is_pinned(tokenizer: Any) -> None:
    template = "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% endif %}\n" + CHATML
    assert Renderer(tokenizer, template).render([QUESTION], cue="").text.startswith("26 Jul 2024")


@pytest.mark.parametrize(
    ("template", "lead"),
    [(CHATML, ""), (ALTERNATING, " "), (THINKING, ""), (None, " ")],
    ids=["chatml", "alternating", "thinking", "none"],
)
def test_options_follow_as_the_template_writes_answers(tokenizer: Any, template: str | None, lead: str) -> None:
    renderer = Renderer(tokenizer, template)
    rendered = renderer.render(CONVERSATION, cue="Answer:")
    context, options = renderer.option_tokens(rendered, ["A", "no change"])
    assert context == rendered.token_ids
    assert [tokenizer.decode(option) for option in options] == [lead + "A", lead + "no change"]


def test_a_token_across_the_border_belongs_to_the_option(tokenizer: Any) -> None:
    template = CHATML.replace("assistant\\n", "assistant: ")
    renderer = Renderer(tokenizer, template)
    rendered = renderer.render([QUESTION], cue="")
    context, options = renderer.option_tokens(rendered, ["the", "of", "x"])
    # The prompt ends in a blank, and " the" and " of" are one token: the blank leaves the context.
    assert context == rendered.token_ids[:-1]
    assert [tokenizer.decode(option) for option in options] == [" the", " of", " x"]
    assert [len(option) for option in options] == [1, 1, 2]


def test_every_option_keeps_a_token(tokenizer: Any) -> None:
    renderer = Renderer(tokenizer, CHATML)
    rendered = renderer.render([QUESTION], cue="")
    context, options = renderer.option_tokens(rendered, ["", "A"])
    assert context == rendered.token_ids[:-1]
    assert options[0] == rendered.token_ids[-1:]
    assert options[1][:-1] == options[0]


@pytest.mark.parametrize("text", ["the patient is well", "Größe: 3 µm «naïve» 😷😷", "", " \n\n "])
@pytest.mark.parametrize("fast", [True, False])
def test_truncating_gives_a_prefix_that_fits(tokenizer: Any, text: str, fast: bool) -> None:
    class Slow:
        """A tokenizer without offsets, like those written in Python."""

        is_fast = False
        bos_token_id = eos_token_id = sep_token_id = None

        def __call__(self, text: str, **options: Any) -> Any:
            assert "return_offsets_mapping" not in options
            return tokenizer(text, **options)

    slow: Any = Slow()
    renderer = Renderer(tokenizer if fast else slow, None)
    total = renderer.count(text)
    pieces = [renderer.truncate(text, most) for most in range(total + 2)]
    assert pieces[0] == ""
    assert pieces[-2:] == [text, text]
    for most, piece in enumerate(pieces):
        assert text.startswith(piece)
        assert renderer.count(piece) <= most
    assert [len(piece) for piece in pieces] == sorted(len(piece) for piece in pieces)


def test_counting_matches_what_is_rendered(tokenizer: Any) -> None:
    renderer = Renderer(tokenizer, None)
    rendered = renderer.render(CONVERSATION, cue="Answer:")
    assert renderer.counter("Answer:").count_messages(CONVERSATION) == len(rendered.token_ids)
    assert renderer.count(rendered.text) == len(rendered.token_ids) - 1  # without the BOS
