from __future__ import annotations

import json
from pathlib import Path

import pytest

from medeval_assets.catalog.chat_template import chat_template_text
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.errors import BadInput
from medeval_assets.settings import Settings
from medeval_assets_tests.checkpoints import CHATML, make_tiny_checkpoint


@pytest.fixture
def models(tiny_checkpoint: Path, tmp_path: Path) -> dict[str, ModelSpec]:
    (tmp_path / "good.jinja").write_text("{{ messages }}\r\n", newline="")
    (tmp_path / "bad.jinja").write_text("{{ messages")
    plain = make_tiny_checkpoint(tmp_path / "plain", chat_template=None)
    templates = {
        "chat": (tiny_checkpoint, "tokenizer"),
        "silent": (plain, "none"),
        "bare": (plain, "tokenizer"),
        "borrowing": (plain, "as:chat"),
        "borrowing-twice": (plain, "as:borrowing"),
        "borrowing-none": (tiny_checkpoint, "as:silent"),
        "borrowing-bare": (tiny_checkpoint, "as:bare"),
        "from-file": (plain, f"file:{tmp_path / 'good.jinja'}"),
        "from-bad-file": (plain, f"file:{tmp_path / 'bad.jinja'}"),
        "from-absent-file": (plain, f"file:{tmp_path / 'absent.jinja'}"),
        "nowhere": (plain, "as:chatt"),
        "round": (plain, "as:robin"),
        "robin": (plain, "as:round"),
    }
    return {
        key: ModelSpec(key=key, checkpoint=f"folder:{folder}", role="generalist", chat_template=template)
        for key, (folder, template) in templates.items()
    }


def text(key: str, models: dict[str, ModelSpec]) -> str | None:
    spec = models[key]
    home = Path("unused")
    return chat_template_text(spec, models, Settings(home, home), Path(spec.checkpoint.removeprefix("folder:")))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("chat", CHATML),
        ("silent", None),
        ("borrowing", CHATML),
        ("borrowing-twice", CHATML),
        ("borrowing-none", None),
        ("from-file", "{{ messages }}\n"),
    ],
)
def test_the_template_is_the_one_asked_for(models: dict[str, ModelSpec], key: str, expected: str | None) -> None:
    assert text(key, models) == expected


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("bare", "bare: the checkpoint brings no chat template. Set `chat_template` to `none`, `file:path` or `as:"),
        ("borrowing-bare", "bare: the checkpoint brings no chat template"),
        ("from-bad-file", "from-bad-file bad.jinja: broken chat template, line 1"),
        ("from-absent-file", "from-absent-file absent.jinja: cannot be read"),
        ("nowhere", "models.nowhere.chat_template: no model `chatt`. Did you mean `chat`?"),
        ("round", "models.robin.chat_template: goes in a circle"),
    ],
)
def test_a_template_that_cannot_be_used_says_why(models: dict[str, ModelSpec], key: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        text(key, models)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("{{ one }}", "{{ one }}"),
        ([{"name": "tool", "template": "{{ a }}"}, {"name": "default", "template": "{{ b }}"}], "{{ b }}"),
    ],
)
def test_older_checkpoints_keep_it_in_the_tokenizer_config(tmp_path: Path, stored: object, expected: str) -> None:
    folder = make_tiny_checkpoint(tmp_path / "m", chat_template=None)
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"chat_template": stored}))
    spec = ModelSpec(key="m", checkpoint=f"folder:{folder}", role="generalist")
    assert text("m", {"m": spec}) == expected

    # transformers reads a chat_template.jinja first.
    (folder / "chat_template.jinja").write_text("{{ file }}")
    assert text("m", {"m": spec}) == "{{ file }}"


def test_it_is_the_text_that_transformers_would_use(tiny_checkpoint: Path, models: dict[str, ModelSpec]) -> None:
    from transformers import AutoTokenizer

    assert text("chat", models) == AutoTokenizer.from_pretrained(tiny_checkpoint).chat_template
