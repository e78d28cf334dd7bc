"""What we rely on in vLLM and did not expect."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import pytest

from medeval_assets.engines.vllm_engine import VllmEngine

pytestmark = pytest.mark.vllm

PROMPT = [1, *range(1000, 1300)]


def run(engine: VllmEngine, name: str, prompt: list[int], **settings: Any) -> Any:
    from vllm import SamplingParams
    from vllm.inputs import tokens_input

    inner = engine._engine
    inner.add_request(name, tokens_input(prompt), SamplingParams(temperature=0.0, **settings))
    while inner.has_unfinished_requests():
        outputs = [output for output in inner.step() if output.finished]
    (output,) = outputs
    return output


def at(rows: Any, prompt: list[int], place: int) -> float:
    """Log-probability of the prompt's token at this place, counted from the end."""
    return float(rows[place][prompt[place]].logprob)


def test_asking_for_a_prompts_log_probabilities_has_it_encoded_again_unless_told_otherwise(engine: VllmEngine) -> None:
    run(engine, "first", PROMPT, max_tokens=1)
    assert run(engine, "again", PROMPT, max_tokens=1).num_cached_tokens > 0
    afresh = run(engine, "afresh", PROMPT, max_tokens=1, prompt_logprobs=0, detokenize=False)
    assert afresh.num_cached_tokens == 0
    cached = run(
        engine, "cached", PROMPT, max_tokens=1, prompt_logprobs=0, detokenize=False, skip_reading_prefix_cache=False
    )
    known = cached.num_cached_tokens
    assert 0 < known < len(PROMPT)
    # The last rows are right, however many there are and whatever the first of them hold.
    for place in range(-1, known - len(PROMPT), -1):
        assert at(cached.prompt_logprobs, PROMPT, place) == pytest.approx(
            at(afresh.prompt_logprobs, PROMPT, place), abs=1e-4
        )


def test_an_output_bears_the_name_that_was_given(engine: VllmEngine) -> None:
    assert run(engine, "a name of ours", PROMPT, max_tokens=1).request_id == "a name of ours"


def test_an_end_token_that_is_asked_for_ends_an_answer_though_end_tokens_are_ignored(engine: VllmEngine) -> None:
    free = run(engine, "free", PROMPT, max_tokens=8, ignore_eos=True).outputs[0].token_ids
    end = free[2]
    ended = run(engine, "ended", PROMPT, max_tokens=8, ignore_eos=True, stop_token_ids=[end]).outputs[0]
    assert list(ended.token_ids) == list(free[: list(free).index(end) + 1])
    assert ended.finish_reason == "stop"


def test_likelihoods_of_given_tokens_need_what_the_cpu_lacks(engine: VllmEngine) -> None:
    from vllm.exceptions import VLLMValidationError

    with pytest.raises(VLLMValidationError, match="V2 model runner"):
        run(engine, "scored", PROMPT, max_tokens=1, prompt_logprob_token_ids=[[5]] * (len(PROMPT) - 1))
    with pytest.raises(VLLMValidationError, match="trace replay is not enabled"):
        run(engine, "forced", PROMPT, max_tokens=3, trace_decode_token_ids=[5, 6, 7])


def test_the_version_is_the_modules_not_a_distributions() -> None:
    import vllm

    names = [one for one in metadata.packages_distributions()["vllm"] if one.startswith("vllm")]
    assert len(names) == 1
    assert metadata.version(names[0]) == vllm.__version__
