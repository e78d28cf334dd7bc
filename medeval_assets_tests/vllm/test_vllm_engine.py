"""On vLLM a model says and scores what it says and scores on transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from medeval_assets.catalog.task_spec import Decoding
from medeval_assets.engines.protocol import Answer, Key, Request
from medeval_assets.engines.transformers_engine import TransformersEngine
from medeval_assets.engines.vllm_engine import READ_AT_ONCE, VllmEngine
from medeval_assets.errors import BadInput
from medeval_assets_tests.vllm.asking import answers_of, shortened
from medeval_assets_tests.vllm.conftest import CONTEXT, RequestsOf

pytestmark = pytest.mark.vllm

TIE = 1e-4
NEAR = 1e-3


def text_request(tokenizer: Any, text: str, most: int, stop: Sequence[str] = (), name: str = "a") -> Request:
    turns = [{"role": "user", "content": text}]
    tokens = tokenizer.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
    return Request(name, tuple(tokens), Decoding(most, tuple(stop)), task="made-up")


def gap(plain: TransformersEngine, tokens: Sequence[int], one: int, other: int) -> float:
    """By how much the model prefers one of two next tokens, in log-probability."""
    with torch.inference_mode():
        logprobs = plain._model(torch.tensor([list(tokens)])).logits[0, -1].double().log_softmax(-1)
    return abs(float(logprobs[one] - logprobs[other]))


def assert_same_answer(plain: TransformersEngine, request: Request, ours: Answer, theirs: Answer) -> None:
    """The same tokens and text, or the first difference is a tie."""
    pairs = zip(ours.token_ids, theirs.token_ids, strict=False)
    differing = next((place for place, (one, other) in enumerate(pairs) if one != other), None)
    if differing is None:
        assert ours.token_ids == theirs.token_ids
        assert (ours.text, ours.finish_reason, ours.generated_tokens) == (
            theirs.text,
            theirs.finish_reason,
            theirs.generated_tokens,
        )
        return
    before = [*request.token_ids, *theirs.token_ids[:differing]]
    assert gap(plain, before, ours.token_ids[differing], theirs.token_ids[differing]) < TIE, request.key


def assert_same_scores(requests: Sequence[Request], ours: dict[Key, Answer], theirs: dict[Key, Answer]) -> None:
    scored = [one for one in requests if one.options]
    assert scored
    for one in scored:
        assert len(ours[one.key].option_logprobs) == len(one.options)
        assert ours[one.key].option_logprobs == pytest.approx(theirs[one.key].option_logprobs, abs=NEAR), one.key


def test_a_hundred_prompts_of_nine_tasks_in_one_call(
    engine: VllmEngine, plain: TransformersEngine, hundred: Sequence[tuple[Request, Answer]]
) -> None:
    requests, theirs = [one for one, _ in hundred], {one.key: answer for one, answer in hundred}
    assert any(len(option) > 1 for one in requests for option in one.options)
    ours = answers_of(engine, requests)
    for one in requests:
        assert_same_answer(plain, one, ours[one.key], theirs[one.key])
        assert ours[one.key].option_logprobs == () or one.options
    assert_same_scores(requests, ours, theirs)


def test_options_of_any_length_and_number(engine: VllmEngine, plain: TransformersEngine, tokenizer: Any) -> None:
    base = text_request(tokenizer, "Which drug lowers blood pressure? " + "Think of the kidneys too. " * 40, 1)
    texts = [
        "Lisinopril, an inhibitor of the angiotensin-converting enzyme",
        "Lisinopril, an inhibitor of the angiotensin-converting enzyme, taken daily",
        "Lisinopril, an inhibitor of the angiotensin-converting protein",
        "No",
        "Salbutamol",
        "Salbutamol",
    ]
    long = tuple(tuple(tokenizer(text)["input_ids"]) for text in texts)
    many = tuple((token,) for token in range(1000, 1000 + READ_AT_ONCE + 40))
    requests = [
        replace(base, example_id="long", options=long, option_context=base.token_ids),
        # The tokenizer merged across the border: what all options share ends before the prompt does.
        replace(base, example_id="merged", options=long, option_context=base.token_ids[:-2]),
        replace(base, example_id="one token", options=((314,), (2,)), option_context=base.token_ids[:-1]),
        replace(base, example_id="many", options=many, option_context=base.token_ids),
        replace(base, example_id="many, long", options=(*many, *long), option_context=base.token_ids[:-2]),
    ]
    theirs = answers_of(plain, requests)
    assert_same_scores(requests, answers_of(engine, requests), theirs)
    # And where all of them is in the cache already.
    assert_same_scores(requests, answers_of(engine, requests), theirs)


def test_stop_strings_and_stop_tokens(engine: VllmEngine, plain: TransformersEngine, tokenizer: Any) -> None:
    free = text_request(tokenizer, "List three symptoms of asthma with a short explanation each.", 60)
    text = answers_of(plain, [free])[free.key].text
    middle = len(text) // 2
    stops = {
        "inside words": (text[middle : middle + 9],),
        "one letter": (text[middle],),
        "line break": ("\n",),
        "the earliest of several": (text[middle : middle + 4], text[10:14], "never said"),
        "a special token": ("<|im_end|>",),
        "never said": ("☤ never said",),
        "the very start": (text[:3],),
        "with what is not ASCII": ("é", text[20:25]),
    }
    requests = [
        replace(free, example_id=name, decoding=replace(free.decoding, stop=stop)) for name, stop in stops.items()
    ]
    ours, theirs = answers_of(engine, requests), answers_of(plain, requests)
    assert {one.finish_reason for one in theirs.values()} == {"stop", "length"}
    for one in requests:
        assert ours[one.key] == theirs[one.key], one.example_id


def test_an_answer_ends_with_the_checkpoints_own_end_token(
    engine: VllmEngine, plain: TransformersEngine, tokenizer: Any
) -> None:
    request = text_request(tokenizer, "Say the single word yes and nothing else.", 80)
    theirs = answers_of(plain, [request])[request.key]
    assert theirs.finish_reason == "stop"
    ours = answers_of(engine, [request])[request.key]
    assert ours == theirs
    assert ours.token_ids[-1] == tokenizer.eos_token_id
    assert "<|im_end|>" not in ours.text


def test_prompts_and_answers_that_fill_the_context(
    engine: VllmEngine, plain: TransformersEngine, tokenizer: Any
) -> None:
    words = tuple(tokenizer("The patient was seen and sent home with advice. " * 400)["input_ids"])
    option = tuple(tokenizer(" in good health")["input_ids"])
    room = 6
    requests = [
        Request("to the last token", words[: CONTEXT - room], Decoding(room), task="made-up"),
        Request(
            "options too",
            words[: CONTEXT - len(option)],
            Decoding(1),
            (option, option[:-1]),
            words[: CONTEXT - len(option)],
            task="made-up",
        ),
    ]
    ours, theirs = answers_of(engine, requests), answers_of(plain, requests)
    for one in requests:
        assert_same_answer(plain, one, ours[one.key], theirs[one.key])
    assert ours["made-up", "to the last token"].generated_tokens == room
    assert_same_scores(requests[1:], ours, theirs)


def test_what_is_done_is_not_asked_again(engine: VllmEngine, requests_of: RequestsOf) -> None:
    requests = shortened([*requests_of("nejm", 4), *requests_of("jama", 4)], 2)
    done = {requests[0].key, requests[5].key}
    answered = [asked.key for batch in engine.answer(requests, done) for asked, _ in batch]
    assert sorted(answered) == sorted(one.key for one in requests if one.key not in done)
    assert list(engine.answer(requests, {one.key for one in requests})) == []
    assert list(engine.answer([])) == []


def test_equal_example_ids_of_two_tasks_are_two_requests(engine: VllmEngine, tokenizer: Any) -> None:
    one = text_request(tokenizer, "What is a fever?", 3)
    other = replace(text_request(tokenizer, "What is a cough?", 4), task="another")
    answers = answers_of(engine, [one, other])
    assert [answers["made-up", "a"].generated_tokens, answers["another", "a"].generated_tokens] == [3, 4]


def test_short_answers_are_handed_on_while_long_ones_run(engine: VllmEngine, tokenizer: Any) -> None:
    long = replace(text_request(tokenizer, "Write a long story about a hospital.", 250, name="long"))
    short = text_request(tokenizer, "Say yes.", 1, name="short")
    batches = [[asked.example_id for asked, _ in batch] for batch in engine.answer([long, short])]
    assert [batch for batch in batches if batch] == [["short"], ["long"]]


def test_who_stops_asking_leaves_nothing_behind(engine: VllmEngine, tokenizer: Any) -> None:
    long = text_request(tokenizer, "Write a long story about a hospital.", 500, name="long")
    answering = engine.answer([long, text_request(tokenizer, "Say yes.", 1, name="short")])
    next(answering)
    answering.close()  # type: ignore[attr-defined]
    assert not engine._engine.has_unfinished_requests()
    again = text_request(tokenizer, "What is a fever?", 3, name="again")
    assert answers_of(engine, [again])[again.key].generated_tokens == 3


def test_a_prompt_that_vllm_refuses_is_told_in_words_and_harms_no_other(engine: VllmEngine, tokenizer: Any) -> None:
    good = text_request(tokenizer, "What is a fever?", 3)
    for tokens in ((7,) * (CONTEXT + 5), (len(tokenizer) + 5_000_000,)):
        with pytest.raises(BadInput, match="it refuses a prompt"):
            list(engine.answer([good, replace(good, example_id="bad", token_ids=tokens)]))
        assert answers_of(engine, [good])[good.key].generated_tokens == 3


def test_the_identity_names_what_answered(engine: VllmEngine) -> None:
    import tokenizers
    import transformers
    import vllm

    assert engine.identity.name == "vllm"
    assert engine.identity.dtype == "float32"
    assert engine.identity.device == "cpu"
    assert engine.identity.versions == {
        "vllm": vllm.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
    }
