"""What is shown of an example is all of it, and nothing in it acts on the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from medeval_assets.trace.example import Asked, ExampleTrace
from medeval_assets.trace.tree import example_tree

HOSTILE = "\x1b[2J\x1b]8;;http://example.org\x07[red]bold[/red]\u202e \r\x00"


def printed(**fields: Any) -> str:
    given: dict[str, Any] = {
        "raw_files": [{"name": "test.jsonl", "sha256": "c" * 64, "size": 7}],
        "raw": "the same row",
        "row": {
            "example_id": "e1",
            "inputs": {"premise": "He is well."},
            "options": {},
            "targets": ["a"],
            "documents": [],
        },
        "prompt": {"messages": [{"role": "user", "content": "Is he?"}], "options": {"A": "yes", "B": "no"}},
        "asked": Asked("<s>Is he?", "d" * 64, True),
        "generation": {
            "text": "yes",
            "finish_reason": "stop",
            "generated_tokens": 2,
            "option_logprobs": [-1.0, -2.5],
        },
        "scores": [
            {"metric": "accuracy", "profile": "corrected", "value": 1.0, "parse_rule": "strict", "failure": ""},
            {"metric": "accuracy", "profile": "clue", "value": None, "parse_rule": "", "failure": "no_answer"},
        ],
    }
    console = Console(width=200, force_terminal=True, color_system="truecolor", legacy_windows=False)
    with console.capture() as capture:
        console.print(example_tree(ExampleTrace(**(given | fields))))
    return capture.get()


def test_every_step_is_shown() -> None:
    told = printed()
    for part in (
        "raw files, read again: the same row",
        "test.jsonl",
        "premise: He is well.",
        "user: Is he?",
        "what was asked, token for token",
        "<s>Is he?",
        "output (stop, 2 tokens)",
        "A: -1.0000; B: -2.5000",
        "accuracy (corrected): 1; read by strict",
        "accuracy (clue): says nothing here; not read: no_answer",
    ):
        assert part in told


def test_what_a_model_wrote_does_nothing() -> None:
    asked = Asked(HOSTILE, "d" * 64, False, HOSTILE)
    told = printed(
        generation={"text": HOSTILE, "finish_reason": "stop", "generated_tokens": 1, "option_logprobs": []},
        prompt={"messages": [{"role": HOSTILE, "content": HOSTILE}], "options": {}},
        asked=asked,
        raw_files=[{"name": HOSTILE, "sha256": "c" * 64, "size": 7}],
    )
    for character in ("\x1b[2J", "\x1b]", "\x07", "\u202e", "\r", "\x00"):
        assert character not in told
    assert told.count("[red]bold[/red]") == 6
    assert "not what was asked then" in told


def test_a_long_text_is_cut_and_says_how_long_it_is() -> None:
    text = "word " * 200_000
    told = printed(generation={"text": text, "finish_reason": "length", "generated_tokens": 1, "option_logprobs": []})
    assert len(told) < 20_000
    assert "(1000000 characters)" in " ".join(told.split())
