"""BERTScore: the numbers of the package that the field reports where it works, and right ones where it fails."""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bert_score
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from medeval_assets.catalog.task_spec import Example
from medeval_assets.errors import BadInput
from medeval_assets.metrics import loaded_encoder
from medeval_assets.metrics.bertscore import Matcher, ReferenceMemory, bertscore_metrics
from medeval_assets.metrics.encoder_folder import Encoder, encoder_at, place_demo_encoder
from medeval_assets.metrics.loaded_encoder import Embedded, LoadedEncoder
from medeval_assets.metrics.metric import Response, Score
from medeval_assets.metrics.score import score
from medeval_assets_tests.core.metrics.cases import generation, task
from medeval_assets_tests.encoders import POSITIONS, make_tiny_bert, make_tiny_roberta, needs_real_encoder

LIBRARY: Any = transformers
MEMORY = 2**24
LAYER = 2
WORDS = ["the", "patient", "has", "fever,", "pain", "and", "no", "renal", "failure.", "treat", "treatments", "COVID-19"]
WORDS += ["µg", "naïve", "(β)", "2.5mg/day!", "발열", "חם"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home") / "encoders"


@pytest.fixture(scope="module")
def bert(home: Path) -> Encoder:
    return Encoder("bert", make_tiny_bert(home / "bert"), LAYER)


@pytest.fixture(scope="module")
def roberta(home: Path) -> Encoder:
    return Encoder("roberta", make_tiny_roberta(home / "roberta"), LAYER)


@pytest.fixture(scope="module")
def loaded(bert: Encoder) -> LoadedEncoder:
    return LoadedEncoder(bert)


def random_texts(count: int, seed: int, lengths: Sequence[int] = (1, 2, 3, 8, 20, 40, 60)) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.choice(lengths))) for _ in range(count)]


def ours(encoder: Encoder, answers: Sequence[str], references: Sequence[str]) -> list[list[float]]:
    """Precision, recall and F1, each of all pairs."""
    found = Matcher(LoadedEncoder(encoder), ReferenceMemory(MEMORY)).matches(zip(answers, references, strict=True))
    matches = [found[pair] for pair in zip(answers, references, strict=True)]
    assert None not in matches
    return [list(values) for values in zip(*(match for match in matches if match), strict=True)]


def theirs(encoder: Encoder, answers: Sequence[str], references: Sequence[Any]) -> list[list[float]]:
    scored = bert_score.score(
        list(answers), list(references), model_type=str(encoder.folder), num_layers=encoder.layer, device="cpu"
    )
    return [values.tolist() for values in scored]


def assert_equal_to_bert_score(encoder: Encoder, answers: Sequence[str], references: Sequence[str]) -> None:
    for mine, other in zip(ours(encoder, answers, references), theirs(encoder, answers, references), strict=True):
        assert mine == pytest.approx(other, abs=1e-6, rel=0)


def response(text: str, *references: str) -> Response:
    return Response(Example("e1", "e1", {}, references), text)


def all_scores(encoder: Encoder, responses: Sequence[Response]) -> list[list[Score | None]]:
    """F1, precision and recall, each of all responses."""
    return [metric.scores(responses) for metric in bertscore_metrics(encoder)]


def f1_values(encoder: Encoder, *responses: Response) -> list[float]:
    return [one.numerator for one in all_scores(encoder, responses)[0] if one]


ODD = [
    "a",
    "A",
    ".",
    "  fever\n",
    "fever fever fever",
    "pain " * 300,
    "x" * 150,
    "fever",
    "\u202eחם fever",
    "😷🩺",
    "\x00 pain",
]


def test_equal_to_bert_score_for_bert(bert: Encoder) -> None:
    assert_equal_to_bert_score(bert, [*ODD, *random_texts(80, 1)], [*ODD[::-1], *random_texts(80, 2)])


def test_equal_to_bert_score_for_roberta_with_the_prefix_space_it_asks_for(roberta: Encoder, home: Path) -> None:
    folder = home / "spaced"
    shutil.copytree(roberta.folder, folder)
    LIBRARY.RobertaTokenizer.from_pretrained(folder, add_prefix_space=True).save_pretrained(folder)
    answers, references = [*ODD, *random_texts(80, 3)], [*ODD[::-1], *random_texts(80, 4)]
    spaced = Encoder("spaced", folder, LAYER)
    assert ours(spaced, answers, references) == ours(roberta, answers, references)
    assert_equal_to_bert_score(spaced, answers, references)
    without = theirs(roberta, answers, references)[2]
    assert ours(roberta, answers, references)[2] != pytest.approx(without, abs=1e-3)


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "albert", "embedding_size": 16},
        {"model_type": "deberta", "relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
        {
            "model_type": "deberta-v2",
            "relative_attention": True,
            "pos_att_type": ["c2p", "p2c"],
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "position_buckets": 16,
            "conv_kernel_size": 3,
        },
        {"model_type": "distilbert", "dim": 32, "hidden_dim": 64, "n_heads": 4, "n_layers": 3},
        {"model_type": "electra", "embedding_size": 16},
        {"model_type": "ernie"},
        {"model_type": "megatron-bert"},
        {"model_type": "modernbert", "global_attn_every_n_layers": 2, "local_attention": 16},
    ],
    ids=lambda config: config["model_type"],
)
def test_equal_to_bert_score_for_other_architectures(tmp_path: Path, config: dict[str, Any]) -> None:
    folder = make_tiny_bert(tmp_path / "encoder", **config)
    (folder / "medeval.yaml").write_text(f"layer: {LAYER}")
    assert_equal_to_bert_score(encoder_at(folder), random_texts(12, 5), random_texts(12, 6))


@pytest.mark.parametrize("kind", ["camembert", "mpnet", "xlm-roberta"])
def test_equal_to_bert_score_where_positions_follow_the_padding_token(tmp_path: Path, kind: str) -> None:
    """The tokenizer is BERT's, whose padding token is 0; MPNet takes 1 for it, whatever the config says."""
    lost = 2 if kind == "mpnet" else 1
    folder = make_tiny_bert(tmp_path / "encoder", model_type=kind, max_position_embeddings=POSITIONS + lost)
    encoder = Encoder("encoder", folder, LAYER)
    long = "pain " * 300
    assert_equal_to_bert_score(encoder, [long, *random_texts(12, 7)], ["pain", *random_texts(12, 8)])
    LIBRARY.BertTokenizer.from_pretrained(folder, model_max_length=1000).save_pretrained(folder)
    loaded = LoadedEncoder(encoder)
    assert loaded.most_tokens == POSITIONS
    assert vectors_of(loaded, long) == vectors_of(loaded, "pain " * (POSITIONS - 2))


@needs_real_encoder
def test_equal_to_bert_score_for_a_real_encoder(tmp_path: Path) -> None:
    folder = place_demo_encoder(tmp_path)
    assert folder is not None
    encoder = encoder_at(folder)
    short = [text for text in ODD if len(text) < 100]
    assert_equal_to_bert_score(
        encoder, [*short, *random_texts(30, 9, [1, 5, 12])], [*short[::-1], *random_texts(30, 10, [1, 5, 12])]
    )
    assert_equal_to_bert_score(encoder, ["fever and pain, " * 300], ["no pain, no fever " * 300])
    same, alike, other = f1_values(
        encoder,
        response("She has a high temperature.", "She has a high temperature."),
        response("She is running a fever.", "She has a high temperature."),
        response("Stocks rose on Monday.", "She has a high temperature."),
    )
    assert same == pytest.approx(1, abs=1e-6)
    assert same > alike > other


def test_of_several_references_each_value_is_the_highest_as_in_bert_score(bert: Encoder) -> None:
    answers = random_texts(6, 11)
    references = [random_texts(3, seed) for seed in range(12, 18)]
    responses = [response(answer, *group) for answer, group in zip(answers, references, strict=True)]
    precision, recall, f1 = theirs(bert, answers, references)
    for mine, other in zip(all_scores(bert, responses), [f1, precision, recall], strict=True):
        assert [one.numerator for one in mine if one] == pytest.approx(other, abs=1e-6, rel=0)


def with_known_vectors(folder: Path, vectors: dict[str, list[float]]) -> Encoder:
    """A BERT whose layers change nothing: a token's vector is its embedding, centred and scaled by the norms.

    The vectors given sum to 0, so cosines between them stay as they are.
    """
    make_tiny_bert(folder, hidden_size=4, num_attention_heads=1, intermediate_size=4)
    tokenizer = LIBRARY.BertTokenizer.from_pretrained(folder)
    weights = {
        name: torch.ones_like(tensor) if name.endswith("LayerNorm.weight") else torch.zeros_like(tensor)
        for name, tensor in load_file(folder / "model.safetensors").items()
    }
    for token, vector in vectors.items():
        weights["embeddings.word_embeddings.weight"][tokenizer.convert_tokens_to_ids(token)] = torch.tensor(vector)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return Encoder(folder.name, folder, 1)


def test_worked_by_hand(tmp_path: Path) -> None:
    frame = [1.0, 1.0, -1.0, -1.0]
    vectors = {"fever": [1.0, -1.0, 0.0, 0.0], "pain": [0.0, 0.0, 1.0, -1.0], "cough": [1.0, -1.0, 1.0, -1.0]}
    encoder = with_known_vectors(tmp_path / "known", {"[CLS]": frame, "[SEP]": frame, **vectors})
    # cos(fever, cough) = 2 / (√2·2) = √½; fever and pain, and each of the three and the frame, are at right angles.
    # Precision: fever's best is cough, √½. Recall: cough's best is fever, √½; pain's best is 0; their mean is √½/2.
    # F1 = 2·√½·(√½/2) / (√½ + √½/2) = √2/3.
    f1, precision, recall = all_scores(encoder, [response("fever", "cough pain")])
    half = math.sqrt(0.5)
    assert [one.numerator for (one,) in (f1, precision, recall) if one] == pytest.approx(
        [math.sqrt(2) / 3, half, half / 2]
    )


def test_what_resembles_nothing_counts_0_and_not_less(tmp_path: Path) -> None:
    frame, opposite = [3.0, -1.0, -1.0, -1.0], [-3.0, 1.0, 1.0, 1.0]
    encoder = with_known_vectors(
        tmp_path / "known", {"[CLS]": frame, "[SEP]": frame, "fever": opposite, "pain": [1.0, 1.0, -1.0, -1.0]}
    )
    # cos(fever, frame) = -1, and cos(fever, pain) = -4 / (√12·2) is negative too: fever counts 0.
    # cos(pain, frame) = 4 / (√12·2) = 1/√3, so pain's best in "fever" is 1/√3, and in "pain" it is 1.
    answered = all_scores(encoder, [response("fever", "pain"), response("fever pain", "pain")])
    f1, precision, recall = [[one.numerator for one in column if one] for column in answered]
    assert precision == pytest.approx([0, 1 / 2])
    assert recall == pytest.approx([1 / math.sqrt(3), 1])
    assert f1 == pytest.approx([0, 2 / 3])


def test_identical_texts_give_1_and_nothing_gives_more(bert: Encoder) -> None:
    texts = random_texts(40, 18)
    for column in all_scores(bert, [response(text, text) for text in texts]):
        values = [one.numerator for one in column if one]
        assert values == pytest.approx([1.0] * 40, abs=1e-6)
        assert max(values) <= 1


EMPTIES = ["", " \n\t\u2003", "\x00\x01\x1f", "\ud800", "\ufffd", "[SEP]", "[CLS] [SEP]"]


def test_an_answer_without_a_token_is_a_failure_and_its_neighbours_are_scored(bert: Encoder) -> None:
    responses = [
        response("fever", "fever"),
        *(response(text, "fever", "pain") for text in EMPTIES),
        response("pain", "fever"),
    ]
    alone = [all_scores(bert, [responses[place]]) for place in (0, -1)]
    for column, first, last in zip(all_scores(bert, responses), *alone, strict=True):
        assert column == [*first, *[Score(0.0, failure="empty")] * len(EMPTIES), *last]


def test_a_reference_without_a_token_gives_0(bert: Encoder) -> None:
    assert f1_values(bert, response("fever", ""), response("fever", "[SEP]"), response("fever")) == [0, 0, 0]
    assert f1_values(bert, response("fever", "", "fever")) == f1_values(bert, response("fever", "fever"))
    assert all_scores(bert, [response("fever")]) == [[Score(0.0)]] * 3
    assert all_scores(bert, [response(" ")]) == [[Score(0.0, failure="empty")]] * 3
    assert all_scores(bert, []) == [[], [], []]


def test_lone_surrogates_are_read_as_the_replacement_character(roberta: Encoder) -> None:
    values = f1_values(roberta, response("\ud800fever \udfff", "fever"), response("\ufffdfever \ufffd", "fever"))
    assert values[0] == values[1]


@pytest.mark.parametrize(("stated", "expected"), [(None, 61), (32, 32), (1000, 61)])
def test_a_text_is_read_up_to_what_tokenizer_and_model_allow(tmp_path: Path, stated: int | None, expected: int) -> None:
    """`bert-score` fails where the tokenizer states no limit or more than the model has positions."""
    folder = make_tiny_bert(tmp_path / "encoder", max_position_embeddings=61)
    limits = {"model_max_length": stated, "truncation_side": "left"}
    LIBRARY.BertTokenizer.from_pretrained(folder, **limits).save_pretrained(folder)
    encoder = Encoder("encoder", folder, LAYER)
    # One place is the first special token, one the last.
    read = " ".join(["pain"] * (expected - 2))
    within, beyond, other = f1_values(
        encoder, response(read, "fever"), response(f"{read} fever", "fever"), response(read[:-5], "fever")
    )
    assert within == beyond != other


def test_512_tokens_where_no_limit_is_stated(tmp_path: Path) -> None:
    folder = make_tiny_bert(tmp_path / "encoder", max_position_embeddings=700)
    LIBRARY.BertTokenizer.from_pretrained(folder, model_max_length=None).save_pretrained(folder)
    assert LoadedEncoder(Encoder("encoder", folder, LAYER)).most_tokens == 512


def vectors_of(encoder: LoadedEncoder, text: str) -> list[list[float]] | None:
    (embedded,) = encoder.embed([text])
    return None if embedded is None else embedded.vectors.tolist()


PIECE = st.sampled_from(
    [
        "fever ",
        "pain",
        " ",
        "  ",
        "\n",
        "[SEP]",
        "[MASK] ",
        "<mask>",
        "</s>",
        "x" * 130,
        "é",
        "e\u0301",
        "熱",
        ".",
        "2.5",
        "'re",
    ]
)


@pytest.mark.parametrize("make", [make_tiny_bert, make_tiny_roberta])
def test_a_long_text_is_cut_without_changing_what_is_read(make: Callable[[Path], Path], tmp_path: Path) -> None:
    """The first part is made so short that the cut goes through words, letters and special tokens."""
    encoder = LoadedEncoder(Encoder("encoder", make(tmp_path / "encoder"), LAYER))

    @settings(max_examples=60)
    @given(
        st.lists(PIECE, max_size=30).map("".join),
        st.lists(PIECE, min_size=1, max_size=8).map("".join),
        st.integers(180, 400),
    )
    def check(start: str, repeated: str, part: int) -> None:
        text = start + repeated * (1500 // len(repeated))
        whole = vectors_of(encoder, text)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loaded_encoder, "_FIRST_PART", part)
            patch.setattr(loaded_encoder, "_PART_GROWTH", 2)
            assert vectors_of(encoder, text) == whole

    check()


def test_a_cut_through_a_long_special_token_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its place stand as many other tokens as it has letters."""
    special = "(!.?.!.?.!.?.!.?)"
    folder = make_tiny_bert(tmp_path / "encoder", vocab_size=150)
    tokenizer = LIBRARY.BertTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([special])
    tokenizer.save_pretrained(folder)
    encoder = LoadedEncoder(Encoder("encoder", folder, LAYER))
    sure = "a " * (POSITIONS - 10)
    text = sure + special * 100
    whole = vectors_of(encoder, text)
    for part in range(len(sure), len(sure) + 8 * len(special)):
        monkeypatch.setattr(loaded_encoder, "_FIRST_PART", part)
        assert vectors_of(encoder, text) == whole


@pytest.mark.parametrize("piece", ["fever pain, ", "熱"])
def test_of_ten_million_letters_only_the_beginning_is_tokenised(
    loaded: LoadedEncoder, monkeypatch: pytest.MonkeyPatch, piece: str
) -> None:
    text = piece * (10_000_000 // len(piece))
    seen: list[int] = []
    tokenizer = type(loaded._tokenizer)
    original = tokenizer.__call__

    def counting(self: Any, given: Any, **options: Any) -> Any:
        seen.append(sum(map(len, [given] if isinstance(given, str) else given)))
        return original(self, given, **options)

    monkeypatch.setattr(tokenizer, "__call__", counting)
    assert vectors_of(loaded, text) == vectors_of(loaded, text[:4000])
    assert max(seen) < 10_000


class Recording(LoadedEncoder):
    """Also writes down what it is asked to encode."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.encoded: list[str] = []

    def embed(self, texts: Sequence[str]) -> list[Embedded | None]:
        self.encoded += texts
        return super().embed(texts)


def test_references_are_encoded_for_the_first_model_only_and_no_text_twice(bert: Encoder) -> None:
    encoder = Recording(bert)
    matcher = Matcher(encoder, ReferenceMemory(MEMORY))
    references = random_texts(300, 20, [6])
    first = matcher.matches([("no fever", reference) for reference in references] + [(references[0], "pain")])
    assert sorted(encoder.encoded) == sorted({"no fever", "pain", *references})
    encoder.encoded.clear()
    matcher.matches([("cough", reference) for reference in references])
    assert encoder.encoded == ["cough"]
    assert matcher.matches([("no fever", reference) for reference in references]).items() <= first.items()


def test_a_match_does_not_depend_on_company_order_or_memory(loaded: LoadedEncoder) -> None:
    """To the last bit on a CPU, so that tables made again have the same hash."""
    pairs = list(zip(random_texts(150, 21), random_texts(150, 22), strict=True))
    whole = Matcher(loaded, ReferenceMemory(MEMORY)).matches(pairs)
    forgetful = Matcher(loaded, ReferenceMemory(0))
    assert forgetful.matches(reversed(pairs)) == whole
    mindful = Matcher(loaded, ReferenceMemory(MEMORY))
    for start in range(0, 150, 7):
        assert mindful.matches(pairs[start : start + 7]).items() <= whole.items()


def test_an_embedding_holds_no_more_memory_than_its_own(loaded: LoadedEncoder) -> None:
    for one in loaded.embed(["pain", "no pain", "fever"]):
        assert one is not None
        assert one.vectors.untyped_storage().nbytes() == one.vectors.nbytes


def embedded(tokens: int) -> Embedded:
    return Embedded(torch.zeros(tokens, 4), torch.ones(tokens))


def test_the_memory_is_bounded_and_forgets_what_was_not_used_for_longest() -> None:
    memory = ReferenceMemory(3 * 4 * 4 * 2)
    one, two, three = embedded(2), embedded(2), embedded(2)
    for text, kept in (("one", one), ("two", two), ("three", three)):
        memory.keep(text, kept)
    assert memory.get("one") is one
    memory.keep("four", embedded(1))
    assert [memory.get(text) for text in ("one", "two", "three")] == [one, None, three]
    memory.keep("four", embedded(2))
    assert memory.get("one") is one
    memory.keep("huge", embedded(7))
    assert [memory.get(text) for text in ("one", "three", "four", "huge")] == [None] * 4


def test_the_metrics_of_an_encoder(bert: Encoder, home: Path) -> None:
    metrics = bertscore_metrics(bert)
    assert [(one.name, one.title) for one in metrics] == [
        ("bertscore_f1.bert.l2", "BERTScore F1 (bert, layer 2)"),
        ("bertscore_precision.bert.l2", "BERTScore precision (bert, layer 2)"),
        ("bertscore_recall.bert.l2", "BERTScore recall (bert, layer 2)"),
    ]
    assert {(one.profile, one.reads_likelihood) for one in metrics} == {("corrected", False)}
    examples = [Example("e1", "p1", {}, ("fever",)), Example("e2", "p2", {}, ("pain", "no fever"))]
    before = sorted(home.rglob("*"))
    rows = score(task(metrics), metrics, examples, [generation("e1", "fever"), generation("e2", "")])
    assert [(row["metric"], row["value"], row["failure"]) for row in rows] == [
        row for metric in metrics for row in ((metric.name, pytest.approx(1, abs=1e-6), ""), (metric.name, 0, "empty"))
    ]
    assert sorted({*home.rglob("*")} - {*before}) in ([], [home / "sha256.json"]), "embeddings must not be written"


def test_one_computation_serves_the_three_metrics(bert: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    original = LoadedEncoder.embed

    def recording(self: LoadedEncoder, texts: Sequence[str]) -> list[Embedded | None]:
        asked.extend(texts)
        return original(self, texts)

    monkeypatch.setattr(LoadedEncoder, "embed", recording)
    metrics = bertscore_metrics(bert)
    responses = [response("one answer", "one reference"), response("another answer", "one reference")]
    scored = [metric.scores(list(responses)) for metric in metrics]
    assert sorted(asked) == ["another answer", "one answer", "one reference"]
    f1, precision, recall = [column[0].numerator for column in scored if column[0]]
    assert f1 == pytest.approx(2 * precision * recall / (precision + recall))
    assert metrics[0].scores(responses[::-1]) == scored[0][::-1]
    metrics[0].scores([responses[0], response("a cut answer", "one reference")])
    assert asked[3:] == ["a cut answer"], "what did not change is not computed again"


def change_weights(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    return spoil


def test_loading_leaves_the_random_state_and_reads_half_precision_as_single(bert: Encoder, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    shutil.copytree(bert.folder, folder)
    LIBRARY.AutoModel.from_pretrained(bert.folder).half().save_pretrained(folder)
    change_weights(lambda weights: weights.pop("pooler.dense.weight"))(folder)
    state = torch.get_rng_state()
    (embedded,) = LoadedEncoder(Encoder("half", folder, LAYER)).embed(["fever"])
    assert torch.equal(torch.get_rng_state(), state)
    assert embedded is not None
    assert embedded.vectors.dtype == torch.float32


def another_vocabulary(folder: Path) -> None:
    tokenizer = LIBRARY.BertTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["fever-free"])
    tokenizer.save_pretrained(folder)


def no_frame(folder: Path) -> None:
    tokenizer = LIBRARY.BertTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.post_processor = None
    LIBRARY.PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, pad_token="[PAD]").save_pretrained(
        folder
    )


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (
            change_weights(lambda weights: weights.pop("encoder.layer.1.output.dense.weight")),
            "the weights lack 1 tensors that the config asks for: encoder.layer.1.output.dense.weight",
        ),
        (
            change_weights(lambda weights: weights["embeddings.word_embeddings.weight"].fill_(math.nan)),
            "its weights give vectors that are 0 or not finite",
        ),
        (
            change_weights(lambda weights: weights.update({"embeddings.LayerNorm.weight": torch.zeros(7)})),
            "cannot be loaded",
        ),
        (another_vocabulary, "the tokenizer has tokens up to"),
        (no_frame, "the tokenizer does not frame a text with a first and a last special token"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "cannot be loaded"),
    ],
)
def test_an_encoder_that_fails_when_it_is_loaded_is_told(
    bert: Encoder, tmp_path: Path, spoil: Callable[[Path], object], expected: str
) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(bert.folder, folder)
    spoil(folder)
    with pytest.raises(BadInput) as told:
        all_scores(Encoder("odd", folder, LAYER), [response("confidential", "fever")])
    assert str(told.value).startswith(f"encoders/odd: {expected}")
    assert "confidential" not in str(told.value)
