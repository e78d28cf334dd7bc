"""Encoders score options by pseudo-log-likelihood."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from medeval_assets.catalog.model_spec import EngineNeeds
from medeval_assets.catalog.task_spec import Decoding
from medeval_assets.engines.encoder_engine import EncoderEngine
from medeval_assets.engines.engine_setup import engine_setup
from medeval_assets.engines.loaded_engines import load_engine
from medeval_assets.engines.protocol import Request
from medeval_assets.engines.rendering import Renderer
from medeval_assets.prompts.prompt import Message

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fever", "?", "answer", ":", "yes", "no", "maybe", "##be"]
CLS, SEP, MASK = 2, 3, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library: Any = transformers
    folder = tmp_path_factory.mktemp("encoder")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = library.BertConfig(
            vocab_size=len(WORDS),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            initializer_range=0.5,
        )
        library.BertForMaskedLM(config).save_pretrained(folder)
    library.BertTokenizer(vocab={word: place for place, word in enumerate(WORDS)}).save_pretrained(folder)
    return folder


def test_options_are_scored_by_masking_each_token(folder: Path) -> None:
    setup = engine_setup("bert", folder, "encoder", EngineNeeds(gpus=0))
    engine = load_engine(setup)
    assert isinstance(engine, EncoderEngine)
    assert (engine.identity.name, setup.context) == ("transformers-encoder", 64)
    prompt = (CLS, 5, 6, 7, 8)
    request = Request("e", prompt, Decoding(5), options=((9,), (10, 11, 12)), option_context=prompt)
    ((answered,),) = engine.answer([request])
    answer = answered[1]

    library: Any = transformers
    model = library.BertForMaskedLM.from_pretrained(folder).eval()

    def log_probability(sequence: list[int], place: int, token: int) -> float:
        with torch.no_grad():
            return float(model(torch.tensor([sequence])).logits[0, place].log_softmax(-1)[token])

    assert answer.option_logprobs == pytest.approx(
        [
            log_probability([*prompt, MASK, SEP], 5, 9),
            log_probability([*prompt, MASK, 11, 12, SEP], 5, 10)
            + log_probability([*prompt, 10, MASK, 12, SEP], 6, 11)
            + log_probability([*prompt, 10, 11, MASK, SEP], 7, 12),
        ],
        abs=1e-4,
    )
    assert (answer.text, answer.finish_reason, answer.generated_tokens) == ("", "stop", 0)


def test_prompts_are_rendered_open_ended(folder: Path) -> None:
    library: Any = transformers
    renderer = Renderer(library.AutoTokenizer.from_pretrained(folder), None)
    rendered = renderer.render([Message("user", "fever?")], cue="answer:")
    assert rendered.token_ids == (CLS, 5, 6, 7, 8)
    assert renderer.option_tokens(rendered, ["yes", "no"]) == ((CLS, 5, 6, 7, 8), ((9,), (10,)))
