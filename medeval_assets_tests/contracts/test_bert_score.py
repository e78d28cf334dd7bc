"""What `bert-score` does under the transformers installed, as the metric relies on it or mends it.

Where an upgrade changes one of these, it fails here, and the wrapper may become simpler.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import bert_score
import pytest
import torch
import transformers
from bert_score.utils import get_model, get_tokenizer, greedy_cos_idf, model2layers, sent_encode
from huggingface_hub.errors import StrictDataclassError

from medeval_assets.metrics.encoder_folder import encoder_at
from medeval_assets_tests.encoders import make_tiny_bert, make_tiny_roberta

LIBRARY: Any = transformers


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_bert(tmp_path_factory.mktemp("contract") / "bert"))


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_roberta(tmp_path_factory.mktemp("contract") / "roberta"))


def score(answers: list[str], references: Any, folder: str) -> list[list[float]]:
    """Precision, recall and F1, each of all pairs."""
    return [values.tolist() for values in bert_score.score(answers, references, model_type=folder, num_layers=2)]


def test_an_empty_answer_fails(bert: str) -> None:
    with pytest.raises(AttributeError, match="build_inputs_with_special_tokens"):
        score(["", "fever"], ["fever", "fever"], bert)


def test_a_lone_surrogate_fails(bert: str) -> None:
    with pytest.raises(TypeError):
        score(["\ud800 fever"], ["fever"], bert)


def test_a_tokenizer_without_a_limit_fails(bert: str, tmp_path: Path) -> None:
    tokenizer = LIBRARY.BertTokenizer.from_pretrained(bert, model_max_length=None)
    tokenizer.save_pretrained(tmp_path / "encoder")
    get_model(bert, 2).save_pretrained(tmp_path / "encoder")
    assert get_tokenizer(str(tmp_path / "encoder")).model_max_length > 10**9
    with pytest.raises(OverflowError):
        score(["fever"], ["fever"], str(tmp_path / "encoder"))


def test_a_folder_needs_its_layer(bert: str) -> None:
    with pytest.raises(KeyError):
        bert_score.score(["fever"], ["fever"], model_type=bert)


def test_robertas_prefix_space_is_ignored(roberta: str) -> None:
    tokenizer = get_tokenizer(roberta)
    assert isinstance(tokenizer, LIBRARY.RobertaTokenizer)
    assert sent_encode(tokenizer, "fever") == tokenizer("fever")["input_ids"] != tokenizer(" fever")["input_ids"]
    spaced = LIBRARY.RobertaTokenizer.from_pretrained(roberta, add_prefix_space=True)
    assert sent_encode(spaced, "fever") == tokenizer(" fever")["input_ids"]


def test_an_answer_of_special_tokens_has_no_precision(bert: str) -> None:
    precision, _, f1 = score(["[SEP]", "fever"], ["fever", "fever"], bert)
    assert math.isnan(precision[0])
    assert f1[0] == 0


def test_of_several_references_each_value_is_the_highest(bert: str) -> None:
    answer = "the patient has fever and cough"
    references = ["patient has fever and cough", "the patient has fever and no cough, no pain"]
    each = score([answer] * len(references), references, bert)
    assert len({values.index(max(values)) for values in each[:2]}) == 2, "one reference is best in both"
    assert score([answer], [references], bert) == [[pytest.approx(max(values), abs=1e-6)] for values in each]


def test_a_model_in_half_precision_stays_so(bert: str, tmp_path: Path) -> None:
    get_model(bert, 2).half().save_pretrained(tmp_path)
    assert get_model(str(tmp_path), 2).dtype == torch.float16


def test_the_path_of_the_folder_may_change_the_model_that_is_read(
    bert: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "report5"
    get_model(bert, 2).save_pretrained(folder)
    with pytest.raises(StrictDataclassError):
        get_model(str(folder), 2)
    assert "instantiate a model of type `t5`" in caplog.text


def test_a_negative_similarity_counts_0_where_the_batch_is_padded() -> None:
    """And the function writes into what it is given: vectors get length 1, weights the sum 1."""

    def values(padding: int) -> list[float]:
        frame, answer, reference = [3.0, -1.0, -1.0, -1.0], [-2.0, 0.0, 0.0, 2.0], [2.0, 0.0, 0.0, -2.0]
        sides = []
        for word in (reference, answer):
            vectors = torch.tensor([[frame, word, frame] + [[1.0] * 4] * padding])
            mask = torch.tensor([[1.0] * 3 + [0.0] * padding])
            sides.append((vectors, mask, torch.tensor([[0.0, 4.0, 0.0] + [0.0] * padding])))
        found = [value.item() for value in greedy_cos_idf(*sides[0], *sides[1])]
        assert sides[1][0][0, 1].norm().item() == pytest.approx(1)
        assert sides[1][2].sum().item() == 1
        return found

    # The answer's word is opposite to the reference's, and its cosine with the frame is -8 / √(8·12).
    # The reference's word has +8 / √(8·12) with the frame.
    assert values(padding=0)[:2] == pytest.approx([-math.sqrt(2 / 3), math.sqrt(2 / 3)])
    assert values(padding=1) == pytest.approx([0, math.sqrt(2 / 3), 0])


def test_its_layers_can_be_read_without_importing_it(bert: str, tmp_path: Path) -> None:
    """The two models of the table with no more layers than the tiny one."""
    for name in ("google/bert_uncased_L-2_H-128_A-2", "google/bert_uncased_L-4_H-128_A-2"):
        folder = tmp_path / name.partition("/")[2]
        folder.symlink_to(bert)
        assert encoder_at(folder).layer == model2layers[name]
    assert model2layers["allenai/scibert_scivocab_uncased"] == 8
    by_name = [(name.rpartition("/")[2], layer) for name, layer in model2layers.items()]
    assert len(dict(by_name)) == len(by_name), "two organisations have a model of one name"
