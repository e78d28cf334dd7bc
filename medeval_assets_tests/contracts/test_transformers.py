"""What the engines rely on in `transformers`. Where an upgrade changes one of these, it fails here."""

from __future__ import annotations

import copy
import shutil
import traceback
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from jinja2 import TemplateError, TemplateSyntaxError
from transformers import AutoTokenizer
from transformers.cache_utils import DynamicCache, DynamicLayer

from medeval_assets_tests.checkpoints import CHATML

LIBRARY: Any = transformers
PROMPT = torch.arange(20, 44)[None]
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_checkpoint, local_files_only=True)


@pytest.fixture
def model(tiny_checkpoint: Path) -> Any:
    """Its weights are made larger, so that a wrong position or a padding token that is seen shows in the logits."""
    model = LIBRARY.AutoModelForCausalLM.from_pretrained(tiny_checkpoint, dtype="float32").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    return model


def greedy(**given: Any) -> Any:
    return LIBRARY.GenerationConfig(
        do_sample=False, pad_token_id=2, return_dict_in_generate=True, **{"max_new_tokens": 8, **given}
    )


def generate(model: Any, ids: torch.Tensor, mask: torch.Tensor, **given: Any) -> Any:
    settings = given.pop("settings", greedy())
    return model.generate(ids, attention_mask=mask, generation_config=settings, **given)


def test_a_rendered_template_tokenised_as_usual_would_have_two_bos(tokenizer: Any) -> None:
    text = tokenizer.apply_chat_template(HELLO, tokenize=False, add_generation_prompt=True)
    bos = tokenizer.bos_token_id
    assert tokenizer(text)["input_ids"].count(bos) == 2
    assert tokenizer(text, add_special_tokens=False)["input_ids"].count(bos) == 1


def test_a_given_template_stands_for_the_tokenizers_own(tokenizer: Any) -> None:
    given = {"chat_template": "{{ messages[0].content }}", "tokenize": False}
    assert tokenizer.chat_template == CHATML
    assert tokenizer.apply_chat_template(HELLO, **given) == "hello"


def test_a_macro_in_a_template_shadows_the_clock(tokenizer: Any) -> None:
    macro = "{% macro strftime_now(format) %}then{% endmacro %}{{ '' }}"
    template = "\n{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% endif %}"
    assert tokenizer.apply_chat_template(HELLO, chat_template=macro + template, tokenize=False) == "\nthen"


def test_a_failing_template_tells_its_line(tokenizer: Any) -> None:
    with pytest.raises(TemplateSyntaxError) as syntax:
        tokenizer.apply_chat_template(HELLO, chat_template="\n\n{{ one }", tokenize=False)
    assert syntax.value.lineno == 3
    with pytest.raises(TemplateError) as refusal:
        tokenizer.apply_chat_template(HELLO, chat_template="\n{{ raise_exception('no') }}", tokenize=False)
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(refusal.value.__traceback__)]
    assert ("<template>", 2) in frames


def test_offsets_count_characters(tokenizer: Any) -> None:
    text = "µm the 😷"
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ends = [end for _, end in encoded["offset_mapping"]]
    # µ is two bytes and the face four, each byte a token here; " the" is one token.
    assert ends == [1, 1, 2, 6, 7, 8, 8, 8, 8]


def test_a_logits_processor_sees_the_models_own_logits_first(model: Any) -> None:
    seen: list[torch.Tensor] = []

    def keep(_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        seen.append(scores)
        return scores

    generate(model, PROMPT, torch.ones_like(PROMPT), logits_processor=[keep])
    with torch.no_grad():
        own = model(PROMPT).logits[:, -1]
    assert seen[0].dtype == torch.float32
    torch.testing.assert_close(seen[0], own, atol=1e-4, rtol=0)


def test_unset_settings_are_taken_from_the_checkpoint(model: Any) -> None:
    """The reason why the engine clears `model.generation_config`."""
    ones = torch.ones_like(PROMPT)
    plain = generate(model, PROMPT, ones).sequences
    model.generation_config.suppress_tokens = plain[0, PROMPT.shape[1] :].tolist()
    assert not torch.equal(generate(model, PROMPT, ones).sequences, plain)
    model.generation_config = LIBRARY.GenerationConfig()
    assert torch.equal(generate(model, PROMPT, ones).sequences, plain)


@pytest.mark.parametrize("before", [0, 10], ids=["left", "between"])
def test_padding_with_its_positions_changes_nothing(model: Any, before: int) -> None:
    """On the left of a prompt, or between its beginning and the rest."""
    gap = 5
    ids = torch.cat([PROMPT[:, :before], torch.full((1, gap), 2), PROMPT[:, before:]], dim=1)
    mask = torch.ones_like(ids)
    mask[:, before : before + gap] = 0
    with torch.no_grad():
        alone = model(PROMPT).logits[:, -1]
        padded = model(
            ids, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(min=0), logits_to_keep=1
        ).logits
    assert padded.shape[1] == 1
    torch.testing.assert_close(padded[:, -1], alone, atol=1e-4, rtol=0)
    one = generate(model, ids, mask, settings=greedy(eos_token_id=None)).sequences[:, ids.shape[1] :]
    other = generate(model, PROMPT, torch.ones_like(PROMPT), settings=greedy(eos_token_id=None)).sequences
    assert torch.equal(one, other[:, PROMPT.shape[1] :])


def test_generation_goes_on_from_the_cache_it_returned(model: Any) -> None:
    model.generation_config = LIBRARY.GenerationConfig()
    ids = torch.cat([PROMPT, PROMPT + 30, PROMPT + 60])
    whole = generate(model, ids, torch.ones_like(ids), settings=greedy(max_new_tokens=12)).sequences
    first = generate(model, ids, torch.ones_like(ids), settings=greedy(max_new_tokens=5))
    cache, staying = first.past_key_values, torch.tensor([2, 0])
    assert cache.get_seq_length() == first.sequences.shape[1] - 1
    cache.batch_select_indices(staying)
    ids = first.sequences[staying]
    seen: list[int] = []
    model.register_forward_pre_hook(
        lambda _module, _args, given: seen.append(given["input_ids"].shape[1]), with_kwargs=True
    )
    rest = generate(
        model, ids, torch.ones_like(ids), settings=greedy(max_new_tokens=7), past_key_values=cache
    ).sequences
    assert torch.equal(rest, whole[staying])
    assert seen == [1] * 7


def test_a_cache_grows_by_new_tensors(model: Any) -> None:
    """A copied row can be extended without touching what it was copied from."""
    cache: Any = DynamicCache(config=model.config)
    assert {type(layer) for layer in cache.layers} == {DynamicLayer}
    with torch.no_grad():
        model(PROMPT, past_key_values=cache, use_cache=True)
    before = copy.deepcopy(cache)
    beside: Any = DynamicCache(config=model.config)
    for place, layer in enumerate(cache.layers):
        beside.update(layer.keys[[0, 0]], layer.values[[0, 0]], place)
    with torch.no_grad():
        model(torch.tensor([[7], [8]]), past_key_values=beside, use_cache=True)
    assert beside.get_seq_length() == PROMPT.shape[1] + 1
    for now, then in zip(cache.layers, before.layers, strict=True):
        assert torch.equal(now.keys, then.keys)
        assert torch.equal(now.values, then.values)


def test_layers_with_a_window_are_told_from_whole_ones() -> None:
    config = LIBRARY.MistralConfig(num_hidden_layers=2, sliding_window=8)
    assert DynamicLayer not in {type(layer) for layer in DynamicCache(config=config).layers}


def test_missing_weights_are_reported_but_do_not_fail(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """The reason why the engine reads the report."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _, report = LIBRARY.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert set(report["missing_keys"]) == {"model.norm.weight"}
    assert not report["mismatched_keys"]


def test_an_adapter_in_a_checkpoints_folder_is_applied_unasked(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """The reason why such a folder is refused: whether peft is installed would decide what the model answers."""
    import peft

    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint, folder)
    plain = LIBRARY.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    lora: Any = peft
    adapted = lora.get_peft_model(plain, lora.LoraConfig(target_modules=["q_proj"], init_lora_weights=False))
    adapted.save_pretrained(folder)
    loaded = LIBRARY.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    assert any("lora_" in name for name, _ in loaded.named_parameters())


def test_a_special_token_that_is_unknown_gets_an_id_beyond_the_vocabulary(tiny_checkpoint: Path) -> None:
    """The reason why ids are held against the config: nothing is said, and the model has no row for it."""
    before = len(AutoTokenizer.from_pretrained(tiny_checkpoint, local_files_only=True))
    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint, local_files_only=True, pad_token="<new>")
    assert tokenizer.pad_token_id == before


def test_a_pad_token_that_is_text_is_lost_in_answers(tiny_checkpoint: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_checkpoint, local_files_only=True, pad_token="!")
    assert tokenizer.decode(tokenizer("x!y", add_special_tokens=False)["input_ids"], skip_special_tokens=True) == "xy"
