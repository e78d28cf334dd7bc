from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from medeval_assets.catalog.model_spec import EngineNeeds, ModelSpec, is_key

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


SERVED = {"checkpoint": "served:gpt-x", "engine": {"name": "openai", "server": "https://api.example.org/v1/"}}


def engine(**fields: object) -> EngineNeeds:
    return EngineNeeds.model_validate({"name": "openai", "server": "http://127.0.0.1:8000/v1", **fields})


def test_a_served_model_needs_nothing_here() -> None:
    served = spec(**SERVED)
    assert (served.chat_template, served.engine.gpus, served.served_name) == ("none", 0, "gpt-x")
    assert served.checkpoint_name == "served:gpt-x"
    assert served.engine.server_name == "api.example.org/v1"
    assert spec(engine=SERVED["engine"]).served_name == "m"
    assert spec(engine={**SERVED["engine"], "served_name": "else"}).served_name == "else"  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"engine": {}}, "without a server"),
        ({"engine": {"name": "vllm"}}, "without a server"),
        ({"chat_template": "tokenizer"}, "the server has the chat template"),
        ({"adapter": "hub:org/lora"}, "an adapter without weights here"),
        ({"kind": "encoder"}, "servers do not score encoders"),
        ({"checkpoint": "served:"}, "says no place"),
        ({"checkpoint": "served:a b"}, "says no place"),
        ({"revision": "main"}, "a revision without"),
        ({"engine": {"name": "openai", "server": "http://h/v1", "served_name": "x"}}, "a second name"),
    ],
)
def test_a_served_model_is_a_name_and_a_server(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        spec(**{**SERVED, **fields})


@pytest.mark.parametrize(
    "server",
    [
        "http://h",
        "https://h:8443/a/v1",
        "http://127.0.0.1:8000/v1",
        "http://[::1]:8000/v1",
        "HTTPS://API.Example.org/v1",
    ],
)
def test_addresses_of_servers(server: str) -> None:
    assert engine(server=server).server == server


@pytest.mark.parametrize(
    "server",
    [
        "h:8000/v1",
        "ftp://h/v1",
        "file:///etc/passwd",
        "http://",
        "http:///v1",
        "http://me:pa55word@h/v1",
        "http://me@h/v1",
        "http://h/v1?api_key=pa55word",
        "http://h/v1?",
        "http://h/v1#a",
        "http://h:port/v1",
        "http://h:99999/v1",
        "http://h/v 1",
        "http://h/v1\n",
        "http://h\\@e/v1",
        "http://[::1/v1",
    ],
)
def test_what_is_no_address_is_refused_and_not_shown(server: str) -> None:
    with pytest.raises(ValidationError, match="not the address of a server") as told:
        engine(server=server)
    assert "pa55word" not in str(told.value)


def test_a_server_and_its_engine_belong_together() -> None:
    with pytest.raises(ValidationError, match="without a server"):
        EngineNeeds(name="openai")
    with pytest.raises(ValidationError, match="a server for the engine `vllm`"):
        engine(name="vllm")
    assert (engine().gpus, engine(gpus=2).gpus, engine().concurrency) == (0, 2, 16)
    with pytest.raises(ValidationError):
        engine(concurrency=0)
