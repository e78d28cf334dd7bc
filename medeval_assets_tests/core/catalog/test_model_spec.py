from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from medeval_assets.catalog.model_spec import ModelSpec, is_key

SLUG_LETTERS = string.ascii_lowercase + string.digits + "._-"


def spec(**fields: object) -> ModelSpec:
    return ModelSpec.model_validate({"key": "m", "checkpoint": "hub:org/m", "role": "generalist", **fields})


@given(
    st.text(SLUG_LETTERS, max_size=99),
    st.sampled_from(string.ascii_lowercase + string.digits),
)
def test_slugs_are_keys(rest: str, first: str) -> None:
    assert spec(key=first + rest).key == first + rest


@given(st.text())
def test_whatever_is_a_key_is_a_safe_partition_key_and_folder_name(text: str) -> None:
    if is_key(text):
        assert set(text) <= set(SLUG_LETTERS)
        assert 1 <= len(text) <= 100
        assert text[0] not in "._-"


@pytest.mark.parametrize(
    "key", ["", ".", "..", "a|b", "a/b", "a\\b", "A", "-a", ".a", "a b", "a\n", "é", "a" * 101, "a\0"]
)
def test_other_keys_are_refused(key: str) -> None:
    with pytest.raises(ValidationError, match="not a usable key"):
        spec(key=key)


@pytest.mark.parametrize(
    "checkpoint",
    [
        "org/m",
        "hub:m",
        "hub:../m",
        "hub:org/m/x",
        "hub:org/..",
        "folder:",
        "s3:bucket",
        "gguf-package:file.gguf",
        "gguf-package:a.b/file.gguf",
        "gguf-package:module/../file.gguf",
        "gguf-package:module/.hidden.gguf",
        "gguf-package:module/file.bin",
        "baseline:best",
        "baseline:",
        "generations:",
    ],
)
def test_checkpoints_that_say_no_place_are_refused(checkpoint: str) -> None:
    with pytest.raises(ValidationError, match="says no place"):
        spec(checkpoint=checkpoint)


def test_a_model_without_a_title_is_called_by_its_key() -> None:
    assert (spec(key="m-1").title, spec(title="M").title) == ("m-1", "M")


def test_the_name_of_a_checkpoint_holds_no_folder_of_this_machine() -> None:
    assert spec(checkpoint="folder:/home/someone/models/m-7b/").checkpoint_name == "folder:m-7b"
    assert spec(checkpoint="generations:/home/someone/my-gpt").checkpoint_name == "generations:my-gpt"
    assert spec(checkpoint="hub:org/m").checkpoint_name == "hub:org/m"


def test_what_is_not_loaded_needs_no_gpu_and_has_no_template_unless_it_says_so() -> None:
    for model in (spec(checkpoint="baseline:copy", role="baseline"), spec(checkpoint="generations:my-gpt")):
        assert (model.engine.gpus, model.chat_template) == (0, "none")
    assert spec(checkpoint="generations:my-gpt", engine={"gpus": 2}).engine.gpus == 2
    assert (spec().engine.gpus, spec().chat_template) == (1, "tokenizer")


@pytest.mark.parametrize("fields", [{"checkpoint": "baseline:copy"}, {"role": "baseline"}])
def test_only_baselines_have_the_role_baseline(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="do not agree"):
        spec(**fields)


def test_specs_are_frozen_and_know_their_fields() -> None:
    with pytest.raises(ValidationError):
        spec().title = "other"
    with pytest.raises(ValidationError):
        spec(adapter="x")
