"""The `vllm` engine: greedy answers and option likelihoods, continuously batched over all tasks."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medeval_assets.engines.checkpoint import load_config, load_tokenizer
from medeval_assets.engines.ending import Ending, end_tokens
from medeval_assets.engines.engine_setup import EngineSetup
from medeval_assets.engines.protocol import Batch, EngineDied, EngineIdentity, Key, Request
from medeval_assets.errors import BadInput, Problem

TOGETHER = 0.5
"""Seconds for which answers are gathered before they are handed on, so that keeping them costs little."""

CACHE_ON_CPU = 2 * 2**30
"""Bytes for keys and values on a CPU, where VLLM_CPU_KVCACHE_SPACE (GiB) says nothing else."""

READ_AT_ONCE = 128
"""Most tokens whose log-probabilities vLLM gives after one prompt (`logprob_token_ids`)."""

_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


@dataclass(frozen=True)
class _Sequence:
    """What vLLM is asked at once: to go on from a prompt.

    ending: of the answer; None where only log-probabilities are wanted.
    beyond: how many of the prompt's last tokens belong to options.
    last: by option the token that ends it, to be read where the prompt ends.
    """

    prompt: tuple[int, ...]
    ending: Ending | None = None
    beyond: int = 0
    last: Mapping[int, int] = field(default_factory=dict)

    def parameters(self) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        ending = self.ending
        return SamplingParams(
            temperature=0.0,
            max_tokens=ending.most if ending else 1,
            # The checkpoint's own end tokens are among ours: what vLLM knows of them is not asked.
            ignore_eos=True,
            stop_token_ids=sorted(ending.tokens) if ending else [],
            stop=list(ending.strings) if ending else [],
            detokenize=bool(ending and ending.strings),
            logprob_token_ids=list(dict.fromkeys(self.last.values())) or None,
            prompt_logprobs=0 if self.beyond else None,
            # By default whoever asks for a prompt's log-probabilities has all of it encoded again.
            skip_reading_prefix_cache=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            skip_clone=True,
        )

    def log_likelihoods(self, output: Any) -> dict[int, float]:
        """Of its options, from what vLLM returned."""
        if not self.last:
            return {}
        common = 0.0
        if self.beyond:
            # From the end: for what was in the prefix cache there are no rows, or rows that mean nothing.
            rows = output.prompt_logprobs[-self.beyond :]
            tokens = self.prompt[-self.beyond :]
            common = sum(row[token].logprob for row, token in zip(rows, tokens, strict=True))
        after = output.outputs[0].logprobs[0]
        return {option: common + after[token].logprob for option, token in self.last.items()}


@dataclass
class _Asked:
    """A request in the queue: how many of its sequences are not finished, and what the others gave."""

    request: Request
    ending: Ending
    open: int
    tokens: Sequence[int] = ()
    logprobs: dict[int, float] = field(default_factory=dict)


class VllmEngine:
    """Answers requests with vLLM, which runs the model in a process of its own."""

    def __init__(self, llm: Any, tokenizer: Any, stopping: frozenset[int], adapter: Path | None = None) -> None:
        self._llm = llm
        self._engine = llm.llm_engine
        self._tokenizer = tokenizer
        self._stopping = stopping
        self._adapter = _lora_request(adapter)
        self._names = 0

    @classmethod
    def load(cls, setup: EngineSetup) -> VllmEngine:
        """The engine of a checkpoint folder. BadInput where it cannot be loaded."""
        tokenizer: Any = load_tokenizer(setup.folder, setup.needs)
        stopping = end_tokens(_generation_config(setup), tokenizer)
        return cls(_load(setup), tokenizer, stopping, setup.adapter)

    @property
    def identity(self) -> EngineIdentity:
        import tokenizers
        import torch
        import transformers
        import vllm
        from vllm.platforms import current_platform

        return EngineIdentity(
            name="vllm",
            dtype=str(self._llm.model_config.dtype).removeprefix("torch."),
            device=str(current_platform.get_device_name()),
            versions={
                "vllm": vllm.__version__,
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "tokenizers": tokenizers.__version__,
            },
        )

    def answer(self, requests: Sequence[Request], done: Container[Key] = ()) -> Iterator[Batch]:
        """Answers in the order in which they are finished; all tasks are in the queue together."""
        from vllm.v1.engine.exceptions import EngineDeadError

        left = iter(sorted((request for request in requests if request.key not in done), key=_order))
        # So many that none that could run ever waits for us; more would only take memory.
        most = 2 * self._engine.vllm_config.scheduler_config.max_num_seqs
        queue: dict[str, tuple[_Asked, _Sequence]] = {}
        finished: Batch = []
        since = time.monotonic()
        try:
            while True:
                while len(queue) < most and (request := next(left, None)) is not None:
                    self._ask(request, queue)
                if not queue:
                    break
                for output in self._engine.step():
                    if output.finished:
                        finished += _taken(output, *queue.pop(output.request_id))
                if finished and (not queue or time.monotonic() - since >= TOGETHER):
                    yield finished
                    finished, since = [], time.monotonic()
        except EngineDeadError as error:
            queue.clear()
            raise EngineDied("the process in which vLLM held the model is gone") from error
        finally:
            if queue:
                self._engine.abort_request(list(queue))

    def close(self) -> None:
        self._engine.engine_core.shutdown()

    def _ask(self, request: Request, queue: dict[str, tuple[_Asked, _Sequence]]) -> None:
        """Put the request's sequences into the queue, the answer itself first: it encodes the prompt."""
        from vllm.inputs import tokens_input

        ending = Ending.of(request.decoding, self._tokenizer, self._stopping)
        sequences = _sequences(request, ending)
        asked = _Asked(request, ending, len(sequences))
        for sequence in sequences:
            name = str(self._names)
            self._names += 1
            prompt = tokens_input(list(sequence.prompt))
            self._engine.add_request(name, prompt, sequence.parameters(), lora_request=self._adapter)
            queue[name] = (asked, sequence)


def _sequences(request: Request, ending: Ending) -> list[_Sequence]:
    """The answer and the options. Options that differ in their last token only are one sequence."""
    by_start: dict[tuple[int, ...], dict[int, int]] = {}
    for option, tokens in enumerate(request.options):
        by_start.setdefault(tokens[:-1], {})[option] = tokens[-1]
    first = by_start.get((), {}) if request.option_context == request.token_ids else {}
    if first and len(first) <= READ_AT_ONCE:
        del by_start[()]
    else:
        first = {}
    readings = [
        _Sequence((*request.option_context, *start), beyond=len(start), last=dict(some))
        for start, last in by_start.items()
        for some in _chunks(list(last.items()), READ_AT_ONCE)
    ]
    return [_Sequence(request.token_ids, ending, last=first), *readings]


def _taken(output: Any, asked: _Asked, sequence: _Sequence) -> Batch:
    """The request and its answer where this output was the last that it lacked."""
    asked.open -= 1
    asked.logprobs |= sequence.log_likelihoods(output)
    if sequence.ending:
        asked.tokens = asked.ending.cut(output.outputs[0].token_ids)
    if asked.open:
        return []
    logprobs = tuple(asked.logprobs[option] for option in range(len(asked.request.options)))
    return [(asked.request, asked.ending.answer(asked.request, asked.tokens, logprobs))]


def _order(request: Request) -> tuple[int, str, tuple[int, ...]]:
    """Long answers first, so that none is left over alone; within a task prompts with the same start together."""
    return (-request.decoding.max_new_tokens, request.task, request.token_ids)


def _load(setup: EngineSetup) -> Any:
    """The loaded model. BadInput where that is not possible."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    # Standard output is for what was asked for.
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    os.environ["VLLM_NO_USAGE_STATS"] = "1"
    from vllm import LLM
    from vllm.platforms import current_platform

    on_cpu = current_platform.is_cpu()
    try:
        return LLM(
            str(setup.folder),
            dtype=setup.dtype,
            max_model_len=setup.context,
            tensor_parallel_size=setup.needs.tensor_parallel,
            trust_remote_code=setup.needs.remote_code,
            load_format="safetensors",
            generation_config="vllm",
            enable_prefix_caching=True,
            enforce_eager=on_cpu,
            kv_cache_memory_bytes=CACHE_ON_CPU if on_cpu else None,
            **_lora_settings(setup.adapter),
        )
    except Exception as error:
        raise BadInput(
            [Problem(f"models.{setup.key}", f"vLLM cannot load it ({error})", "See what vLLM says above.")]
        ) from error


def _generation_config(setup: EngineSetup) -> Any:
    """The checkpoint's generation config, or what its config says of generation where it has none."""
    import transformers

    library: Any = transformers
    if (setup.folder / "generation_config.json").is_file():
        return library.GenerationConfig.from_pretrained(setup.folder, local_files_only=True)
    return library.GenerationConfig.from_model_config(load_config(setup.folder, setup.needs))


def _lora_settings(adapter: Path | None) -> dict[str, Any]:
    if adapter is None:
        return {}
    rank = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["r"]
    fitting = next((one for one in _LORA_RANKS if one >= rank), _LORA_RANKS[-1])
    return {"enable_lora": True, "max_loras": 1, "max_lora_rank": fitting}


def _lora_request(adapter: Path | None) -> Any:
    if adapter is None:
        return None
    from vllm.lora.request import LoRARequest

    return LoRARequest("adapter", 1, str(adapter))


def _chunks(items: list[tuple[int, int]], most: int) -> Iterator[list[tuple[int, int]]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]
