"""A checkpoint small enough to make in a test: real files, random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

CHATML = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""Writes the BOS token itself while the tokenizer adds one too: whoever applies both gets two."""

CONTEXT = 512

_SPECIAL = ("<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>")
_WORDS = (
    " the",
    " of",
    " and",
    " patient",
    " answer",
    " is",
    " question",
    "user",
    "system",
    "assistant",
    "Answer",
)


def make_tiny_checkpoint(folder: Path, seed: int = 0, chat_template: str | None = CHATML) -> Path:
    """Write a 2-layer Llama (hidden 64, context 512, float32) and a tokenizer into `folder`; returns it.

    seed: another seed gives other weights, the same seed the same bytes.
    chat_template: None leaves it out.
    The tokenizer is byte-level, so it encodes any text; a few common words are one token each.
    """
    import torch
    import transformers

    library: Any = transformers  # most of its functions are not annotated
    tokenizer = library.PreTrainedTokenizerFast(
        tokenizer_object=_byte_level_tokenizer(),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = chat_template
    special = {
        "bos_token_id": _SPECIAL.index("<s>"),
        "eos_token_id": [_SPECIAL.index("</s>"), _SPECIAL.index("<|im_end|>")],
        "pad_token_id": _SPECIAL.index("<pad>"),
    }
    config = library.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        **special,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = library.LlamaForCausalLM(config).float()
    model.generation_config = library.GenerationConfig(**special)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _byte_level_tokenizer() -> Tokenizer:
    vocabulary = [*_SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges: list[tuple[str, str]] = []
    for word in _WORDS:
        letters = word.replace(" ", "\u0120")
        for end in range(1, len(letters)):
            pair = (letters[:end], letters[end])
            if pair not in merges:
                merges.append(pair)
                vocabulary.append("".join(pair))
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(vocabulary)}, merges=merges))
    tokenizer.add_special_tokens(list(_SPECIAL))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return tokenizer
