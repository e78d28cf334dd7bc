"""The engine gives what a model says one prompt at a time, however prompts are batched."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoTokenizer

from medeval_assets.catalog.model_spec import EngineNeeds
from medeval_assets.catalog.task_spec import Decoding
from medeval_assets.engines.engine_setup import engine_setup
from medeval_assets.engines.protocol import Answer, Request
from medeval_assets.engines.transformers_engine import TransformersEngine, batches
from medeval_assets.errors import BadInput

LIBRARY: Any = transformers
ON_CPU = EngineNeeds(gpus=0)
TINY = {
    "vocab_size": 300,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
START = tuple(range(20, 60))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads cost more than they give on models this small, most of all where other tests run beside these."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny_model(kind: str) -> Any:
    """A random model whose answers depend on every token and its place."""
    configs = {
        "llama": lambda: LIBRARY.LlamaConfig(**TINY, intermediate_size=64, num_key_value_heads=2),
        "gpt2": lambda: LIBRARY.GPT2Config(**TINY),
        "biogpt": lambda: LIBRARY.BioGptConfig(**TINY, intermediate_size=64),
        "window": lambda: LIBRARY.MistralConfig(**TINY, intermediate_size=64, num_key_value_heads=2, sliding_window=8),
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LIBRARY.AutoModelForCausalLM.from_config(configs[kind](), attn_implementation="sdpa")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    model.generation_config = LIBRARY.GenerationConfig(eos_token_id=1)
    return model.eval()


@pytest.fixture(scope="module")
def tokenizer(tiny_checkpoint: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_checkpoint, local_files_only=True)


@pytest.fixture(params=["llama", "gpt2", "biogpt", "window"])
def model(request: pytest.FixtureRequest) -> Any:
    return tiny_model(request.param)


def tokens(seed: int, count: int) -> tuple[int, ...]:
    drawn = torch.randint(10, 260, (count,), generator=torch.Generator().manual_seed(seed))
    return tuple(drawn.tolist())


def request_of(
    number: int, prompt: tuple[int, ...], options: Sequence[Sequence[int]] = (), shorter: int = 0
) -> Request:
    """shorter: by how many tokens the options' context ends before the prompt."""
    return Request(
        example_id=f"e{number}",
        token_ids=prompt,
        decoding=Decoding(max_new_tokens=20),
        options=tuple(map(tuple, options)),
        option_context=prompt[: len(prompt) - shorter] if options else (),
    )


MIXED = [
    request_of(0, (*START, *tokens(0, 30)), [tokens(1, 1), tokens(2, 1)]),
    request_of(1, (*START, *tokens(3, 7)), [tokens(4, 3), tokens(5, 1), tokens(6, 6)]),
    request_of(2, (*START, *tokens(7, 19)), [tokens(8, 2), tokens(9, 4)], shorter=3),
    request_of(3, (*START, *tokens(10, 2))),
    request_of(4, START, [tokens(11, 5)]),
]
APART = [request_of(number, tokens(number, 3 + 9 * number), [tokens(50, 2), tokens(51, 4)]) for number in range(5)]
LONE = [request_of(0, (5,), [(6, 7), (8,)])]


@torch.inference_mode()
def plain_likelihood(model: Any, context: tuple[int, ...], option: tuple[int, ...]) -> float:
    """One sequence, no padding, no cache."""
    logits = model(torch.tensor([[*context, *option]])).logits[0].log_softmax(-1)
    return sum(float(logits[len(context) - 1 + place, token]) for place, token in enumerate(option))


@torch.inference_mode()
def plain_tokens(model: Any, prompt: tuple[int, ...], most: int, ends: Sequence[int]) -> list[int]:
    """Greedy decoding of one sequence, everything computed anew for each token."""
    produced: list[int] = []
    while len(produced) < most and not (produced and produced[-1] in ends):
        produced.append(int(model(torch.tensor([[*prompt, *produced]])).logits[0, -1].argmax()))
    return produced


def answers_of(engine: TransformersEngine, requests: Sequence[Request]) -> dict[str, Answer]:
    return {request.example_id: answer for batch in engine.answer(requests) for request, answer in batch}


@pytest.mark.parametrize("budget", [1, 170, 100_000], ids=["one by one", "some", "together"])
@pytest.mark.parametrize("requests", [MIXED, APART, LONE], ids=["mixed", "apart", "lone"])
def test_answers_are_those_of_the_model_alone(model: Any, tokenizer: Any, requests: list[Request], budget: int) -> None:
    answers = answers_of(TransformersEngine(model, tokenizer, token_budget=budget), requests)
    assert sorted(answers) == [request.example_id for request in requests]
    for request in requests:
        answer = answers[request.example_id]
        produced = plain_tokens(model, request.token_ids, 20, ends=[1])
        assert answer.text == tokenizer.decode(produced, skip_special_tokens=True)
        assert answer.generated_tokens == len(produced)
        expected = [plain_likelihood(model, request.option_context, option) for option in request.options]
        assert answer.option_logprobs == pytest.approx(expected, abs=1e-4)


def test_same_requests_same_bytes(tokenizer: Any) -> None:
    first, second = (list(TransformersEngine(tiny_model("llama"), tokenizer).answer(MIXED)) for _ in range(2))
    assert first == second


def test_a_prompt_is_encoded_once_whatever_its_options(tokenizer: Any) -> None:
    model = tiny_model("llama")
    seen: list[int] = []
    model.register_forward_pre_hook(
        lambda _module, _args, given: seen.append(given["input_ids"].numel()), with_kwargs=True
    )
    requests = [
        replace(request_of(number, (*START, *tokens(number, 10)), [tokens(1, 2)] * 5), decoding=Decoding(1))
        for number in range(4)
    ]
    engine = TransformersEngine(model, tokenizer)
    answers_of(engine, LONE)  # the first time it finds out whether options can be packed
    seen.clear()
    answers_of(engine, requests)
    # The shared start once; the rest of four prompts but its last token; that token and five options but for the last
    # token of each; the prompt's last token again to generate.
    assert sum(seen) == len(START) + 4 * 9 + 4 * (1 + 5) + 4


@pytest.mark.parametrize(("place", "ends"), [(0, [7]), (5, [7, 9]), (17, [9])])
def test_any_end_token_ends_an_answer(tokenizer: Any, place: int, ends: list[int]) -> None:
    model = tiny_model("llama")
    prompts = [MIXED[0], MIXED[1]]
    free = plain_tokens(model, prompts[0].token_ids, 20, ends=[1])
    end = free[place]
    length = free.index(end) + 1
    model.generation_config.eos_token_id = [1, *ends, end]
    answers = answers_of(TransformersEngine(model, tokenizer), prompts)
    assert answers["e0"].finish_reason == "stop"
    assert answers["e0"].generated_tokens == length
    assert answers["e0"].text == tokenizer.decode(free[:length], skip_special_tokens=True)
    alone = plain_tokens(model, prompts[1].token_ids, 20, ends=[1, *ends, end])
    assert answers["e1"].generated_tokens == len(alone)


@pytest.mark.parametrize("pad", ["<pad>", "</s>", None])
@pytest.mark.parametrize("start", [0, 9, 16])
def test_a_stop_string_ends_an_answer_and_is_cut(tiny_checkpoint: Path, start: int, pad: str | None) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_checkpoint, local_files_only=True)
    tokenizer.pad_token = pad
    model = tiny_model("llama")
    prompt = MIXED[0].token_ids
    free = plain_tokens(model, prompt, 20, ends=[1])
    texts = [tokenizer.decode(free[:count]) for count in range(len(free) + 1)]
    stop = texts[-1][start : start + 3]
    needed = next(count for count, text in enumerate(texts) if stop in text)
    requests = [replace(request, decoding=Decoding(max_new_tokens=20, stop=("never", stop))) for request in MIXED]
    answer = answers_of(TransformersEngine(model, tokenizer), requests)["e0"]
    assert answer.text == texts[-1][: texts[-1].index(stop)]
    assert answer.finish_reason == "stop"
    assert answer.generated_tokens == needed


def test_a_stop_string_that_is_a_token_ends_by_token(tokenizer: Any) -> None:
    model = tiny_model("llama")
    turn_end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    with torch.no_grad():
        model.lm_head.weight[turn_end] = model.lm_head.weight[plain_tokens(model, START, 1, ends=[])[0]] * 1.01
    request = replace(request_of(0, START), decoding=Decoding(20, stop=("<|im_end|>",)))
    answer = answers_of(TransformersEngine(model, tokenizer), [request])["e0"]
    assert (answer.text, answer.finish_reason, answer.generated_tokens) == ("", "stop", 1)


def test_an_answer_that_does_not_end_says_so(tokenizer: Any) -> None:
    model = tiny_model("llama")
    model.generation_config.eos_token_id = None
    request = replace(request_of(0, START), decoding=Decoding(18))
    answer = answers_of(TransformersEngine(model, tokenizer), [request])["e0"]
    assert (answer.finish_reason, answer.generated_tokens) == ("length", 18)


def test_decoding_may_differ_between_requests(tokenizer: Any) -> None:
    model = tiny_model("llama")
    model.generation_config.eos_token_id = None
    requests = [
        replace(request_of(number, (*START, number)), decoding=Decoding(most)) for number, most in enumerate((3, 18, 3))
    ]
    answers = answers_of(TransformersEngine(model, tokenizer), requests)
    assert [answers[f"e{number}"].generated_tokens for number in range(3)] == [3, 18, 3]


def test_the_checkpoints_own_sampling_is_ignored(tokenizer: Any) -> None:
    plain, loud = tiny_model("llama"), tiny_model("llama")
    loud.generation_config = LIBRARY.GenerationConfig(
        eos_token_id=1,
        do_sample=True,
        temperature=9.0,
        top_k=3,
        repetition_penalty=3.0,
        no_repeat_ngram_size=1,
        suppress_tokens=plain_tokens(plain, MIXED[0].token_ids, 3, ends=[]),
        min_new_tokens=20,
    )
    engines = [TransformersEngine(model, tokenizer) for model in (plain, loud)]
    assert answers_of(engines[0], MIXED) == answers_of(engines[1], MIXED)


def test_batches_keep_budget_and_order() -> None:
    lengths = [5, 40, 12, 40, 7]
    requests = [
        replace(request_of(number, tokens(number, length)), decoding=Decoding(10))
        for number, length in enumerate(lengths)
    ]
    made = batches(list(reversed(requests)), budget=100, step=1000)
    # (40 + 10) twice is 100; then (12 + 10) three times is 66.
    assert [[request.example_id for request in batch] for batch in made] == [["e1", "e3"], ["e2", "e4", "e0"]]


def test_a_batch_closes_when_padding_costs_more_than_decoding_again() -> None:
    requests = [
        replace(request_of(number, tokens(number, length)), decoding=Decoding(10))
        for number, length in enumerate([50, 45, 30, 29])
    ]
    # Padding to 50 costs 5 and then 20 tokens; another batch of 10 steps costs 20.
    made = batches(requests, budget=10_000, step=2)
    assert [[request.example_id for request in batch] for batch in made] == [["e0", "e1"], ["e2", "e3"]]


def test_loading_a_checkpoint(tiny_checkpoint: Path) -> None:
    engine = TransformersEngine.load(engine_setup("tiny", tiny_checkpoint, "causal", ON_CPU))
    assert (engine.identity.name, engine.identity.dtype, engine.identity.device) == (
        "transformers",
        "float32",
        "cpu",
    )
    engine.close()


def truncated(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def without_a_layer(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: value for name, value in weights.items() if "layers.1." not in name},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )


def of_another_size(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"hidden_size": 64', '"hidden_size": 128'))


def with_own_code(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(
        config.read_text().replace(
            '"model_type": "llama"',
            '"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}',
        )
    )
    (folder / "own.py").write_text("raise SystemExit('own code was run')")


@pytest.mark.parametrize(
    "spoil",
    [
        truncated,
        pickled,
        without_a_layer,
        of_another_size,
        with_own_code,
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: (folder / "config.json").write_text("{"),
        lambda folder: (folder / "tokenizer.json").unlink(),
        lambda folder: (folder / "tokenizer.json").write_text("{}"),
    ],
    ids=["truncated", "pickled", "layer", "size", "code", "config", "json", "tokenizer", "empty tokenizer"],
)
def test_a_checkpoint_that_cannot_be_used_is_refused(tiny_checkpoint: Path, tmp_path: Path, spoil: Any) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(tiny_checkpoint, folder)
    spoil(folder)
    with pytest.raises(BadInput) as caught:
        TransformersEngine.load(engine_setup("tiny", folder, "causal", ON_CPU))
    (problem,) = caught.value.problems
    assert problem.where == str(folder)
