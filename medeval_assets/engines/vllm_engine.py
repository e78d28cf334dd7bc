"""The `vllm` engine: greedy answers and option likelihoods, continuously batched over all tasks."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import multiprocessing.connection
import os
import re
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medeval_assets.engines.checkpoint import load_config, load_tokenizer, require_whole
from medeval_assets.engines.ending import Ending, end_tokens
from medeval_assets.engines.engine_setup import EngineSetup
from medeval_assets.engines.overheard import Overheard
from medeval_assets.engines.protocol import Batch, EngineDied, EngineIdentity, Key, Request
from medeval_assets.errors import BadInput, Problem

TOGETHER = 0.5
"""Seconds for which answers are gathered before they are handed on, so that keeping them costs little."""

CACHE_ON_CPU = 2 * 2**30
"""Bytes for keys and values on a CPU, where VLLM_CPU_KVCACHE_SPACE (GiB) says nothing else."""

READ_AT_ONCE = 128
"""Most tokens whose log-probabilities vLLM gives after one prompt (`logprob_token_ids`)."""

PATIENCE = 30.0
"""Seconds in which vLLM's processes are to end when they are told to; after them they are killed."""

_MEMORY = re.compile(r"out of memory|OutOfMemory|\bmemory\b|KV cache", re.IGNORECASE)
_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


@dataclass(frozen=True)
class _Sequence:
    """What vLLM is asked at once: to go on from a prompt.

    ending: of the answer; None where only log-probabilities are wanted.
    beyond: how many of the prompt's last tokens belong to options and are read as well.
    next: by option its token where the prompt ends, whose log-probability is read.
    """

    prompt: tuple[int, ...]
    ending: Ending | None = None
    beyond: int = 0
    next: Mapping[int, int] = field(default_factory=dict)

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
            logprob_token_ids=list(dict.fromkeys(self.next.values())) or None,
            prompt_logprobs=0 if self.beyond else None,
            # By default whoever asks for a prompt's log-probabilities has all of it encoded again.
            skip_reading_prefix_cache=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            skip_clone=True,
        )

    def log_likelihoods(self, output: Any) -> dict[int, float]:
        """Of its options, from what vLLM returned."""
        if not self.next:
            return {}
        common = 0.0
        if self.beyond:
            # From the end: for what was in the prefix cache there are no rows, or rows that mean nothing.
            rows = output.prompt_logprobs[-self.beyond :]
            tokens = self.prompt[-self.beyond :]
            common = sum(row[token].logprob for row, token in zip(rows, tokens, strict=True))
        after = output.outputs[0].logprobs[0]
        return {option: common + after[token].logprob for option, token in self.next.items()}


@dataclass
class _Asked:
    """A request in the queue: how many of its sequences are not finished, and what the others gave."""

    request: Request
    ending: Ending
    open: int
    tokens: Sequence[int] = ()
    logprobs: dict[int, float] = field(default_factory=dict)


class VllmEngine:
    """Answers requests with vLLM, which runs the model in a process of its own.

    processes: that one and those below it.
    overheard: what they write to standard error.

    How options are scored: each is one sequence, the context and all of the option but its last token, whose logits are
    read where the prompt ends; options that differ only there are one sequence. The context is found in the prefix
    cache up to its last whole block of tokens, so that only the rest of it is encoded again, together with the option
    and in one step. Forced decoding (`trace_decode_token_ids`, or a logits processor) takes a step for each token; it
    and `prompt_logprob_token_ids` need a model runner that not every platform has. One-token options right after the
    prompt cost nothing: they are read off the first step of the answer. Under an adapter every token of an option is a
    sequence.
    """

    def __init__(
        self,
        llm: Any,
        tokenizer: Any,
        stopping: frozenset[int],
        *,
        processes: _Processes,
        overheard: Overheard,
        adapter: Path | None = None,
    ) -> None:
        self._llm = llm
        self._engine = llm.llm_engine
        self._tokenizer = tokenizer
        self._stopping = stopping
        self._adapter = _lora_request(adapter)
        self._processes = processes
        self._overheard = overheard
        self._names = 0

    @classmethod
    def load(cls, setup: EngineSetup) -> VllmEngine:
        """The engine of a checkpoint folder. BadInput where it cannot be loaded."""
        tokenizer: Any = load_tokenizer(setup.folder, setup.needs)
        stopping = end_tokens(_generation_config(setup), tokenizer)
        # vLLM leaves weights that no file has as they lie in memory.
        require_whole(setup, "AutoModelForCausalLM")
        with Overheard() as overheard, _Processes() as processes:
            llm = _load(setup, overheard)
        processes.when_one_ends(llm.llm_engine.engine_core.outputs_queue.put)
        return cls(llm, tokenizer, stopping, processes=processes, overheard=overheard, adapter=setup.adapter)

    @property
    def llm(self) -> Any:
        """vLLM's own object."""
        return self._llm

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
        """Answers in the order in which they are finished; all tasks are in the queue together.

        A batch may be empty: whoever asks has a turn every half second, also where no answer is finished.
        """
        from vllm.exceptions import VLLMValidationError
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
                    finished += _taken(output, *queue.pop(output.request_id))
                if time.monotonic() - since >= TOGETHER:
                    yield finished
                    finished, since = [], time.monotonic()
            if finished:
                yield finished
        except EngineDeadError as error:
            queue.clear()
            if finished:
                yield finished
            raise EngineDied(self._last_words()) from error
        except VLLMValidationError as error:
            reason = next(iter(str(error).splitlines()), "").rstrip(".")
            remedy = "Check that tokenizer and weights are of the same release and that `engine.context` suits them."
            raise BadInput([Problem("vLLM", f"it refuses a prompt ({reason})", remedy)]) from error
        finally:
            if queue:
                self._engine.abort_request(list(queue))

    def close(self) -> None:
        self._engine.engine_core.shutdown(timeout=PATIENCE)
        self._processes.wait()

    def _last_words(self) -> str:
        reasons = self._overheard.reasons()
        return "the process in which vLLM held the model is gone" + (f" ({reasons[0]})" if reasons else "")

    def _ask(self, request: Request, queue: dict[str, tuple[_Asked, _Sequence]]) -> None:
        """Put the request's sequences into the queue, the answer itself first: it encodes the prompt."""
        from vllm.inputs import tokens_input

        ending = Ending.of(request.decoding, self._tokenizer, self._stopping)
        # Under an adapter vLLM fails where it is asked for the log-probabilities of a prompt.
        sequences = _sequences(request, ending, stepwise=self._adapter is not None)
        asked = _Asked(request, ending, len(sequences))
        for sequence in sequences:
            name = str(self._names)
            self._names += 1
            prompt = tokens_input(list(sequence.prompt))
            self._engine.add_request(name, prompt, sequence.parameters(), lora_request=self._adapter)
            queue[name] = (asked, sequence)


class _Processes:
    """The processes that are started while it is entered, and those below them."""

    def __enter__(self) -> _Processes:
        self._before = set(multiprocessing.active_children())
        return self

    def __exit__(self, *_: object) -> None:
        import psutil

        self._started = [one for one in multiprocessing.active_children() if one not in self._before]
        self._below: list[Any] = []
        for one in self._started:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._below += psutil.Process(one.pid).children(recursive=True)

    def when_one_ends(self, tell: Callable[[Exception], None]) -> None:
        """Tell whoever waits for its answers: of a process that was killed vLLM lets them wait for ever."""
        from vllm.v1.engine.exceptions import EngineDeadError

        def watch() -> None:
            multiprocessing.connection.wait([one.sentinel for one in self._started])
            tell(EngineDeadError())

        threading.Thread(target=watch, name="vllm-processes", daemon=True).start()

    def wait(self) -> None:
        """Until all have ended, so that their memory is free; those that do not end are killed."""
        import psutil

        for one in self._started:
            one.join(PATIENCE)
        _, staying = psutil.wait_procs(self._below, timeout=PATIENCE)
        for below in staying:
            below.kill()


def _sequences(request: Request, ending: Ending, stepwise: bool) -> list[_Sequence]:
    """The answer, and the options: those that differ in their last token only are one sequence.

    stepwise: a sequence for every token of an option instead, and none asks for log-probabilities of its prompt.
    """
    by_start: dict[tuple[int, ...], dict[int, int]] = {}
    for option, tokens in enumerate(request.options):
        for place in range(0 if stepwise else len(tokens) - 1, len(tokens)):
            by_start.setdefault(tokens[:place], {})[option] = tokens[place]
    first: dict[int, int] = {}
    if request.option_context == request.token_ids and len(by_start.get((), {})) <= READ_AT_ONCE:
        first = by_start.pop((), {})
    readings = [
        _Sequence((*request.option_context, *start), beyond=0 if stepwise else len(start), next=dict(some))
        for start, following in by_start.items()
        for some in _chunks(list(following.items()), READ_AT_ONCE)
    ]
    return [_Sequence(request.token_ids, ending, next=first), *readings]


def _taken(output: Any, asked: _Asked, sequence: _Sequence) -> Batch:
    """The request and its answer where this output was the last that it lacked."""
    asked.open -= 1
    for option, value in sequence.log_likelihoods(output).items():
        asked.logprobs[option] = asked.logprobs.get(option, 0.0) + value
    if sequence.ending:
        asked.tokens = asked.ending.cut(output.outputs[0].token_ids)
    if asked.open:
        return []
    logprobs = tuple(asked.logprobs[option] for option in range(len(asked.request.options)))
    return [(asked.request, asked.ending.answer(asked.request, asked.tokens, logprobs))]


def _order(request: Request) -> tuple[int, str, tuple[int, ...]]:
    """Long answers first, so that none is left over alone; within a task prompts with the same start together."""
    return (-request.decoding.max_new_tokens, request.task, request.token_ids)


def _load(setup: EngineSetup, overheard: Overheard) -> Any:
    """The loaded model. BadInput where that is not possible."""
    os.environ["VLLM_NO_USAGE_STATS"] = "1"
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    # Standard output is for what was asked for.
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    # Whoever looks whether there is a GPU may have touched it, and is not to be forked then.
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    from vllm import LLM
    from vllm.platforms import current_platform

    on_cpu = current_platform.is_cpu()
    if on_cpu:
        # Log-probabilities are compiled even where the model is not: half a minute, and a C++ compiler has to be there.
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    elif not setup.on_gpu:
        remedy = "Give the model GPUs (`engine.gpus`), or write `transformers` for `engine.name`."
        raise BadInput([Problem(f"models.{setup.key}.engine", "the vLLM that is installed needs a GPU", remedy)])
    try:
        return LLM(
            str(setup.folder),
            dtype=setup.dtype,
            max_model_len=setup.context,
            tensor_parallel_size=setup.needs.tensor_parallel,
            gpu_memory_utilization=setup.needs.gpu_memory,
            kv_cache_memory_bytes=CACHE_ON_CPU if on_cpu else None,
            trust_remote_code=setup.needs.remote_code,
            load_format="safetensors",
            # Of the checkpoint's own generation settings nothing but the end tokens counts.
            generation_config="vllm",
            language_model_only=True,
            enable_prefix_caching=True,
            enforce_eager=on_cpu,
            **_lora_settings(setup.adapter),
        )
    except Exception as error:
        # What the child processes said comes first: of them the error itself only tells that they failed.
        raise BadInput([_problem(setup, on_cpu, [*overheard.reasons(), str(error)])]) from error


def _problem(setup: EngineSetup, on_cpu: bool, reasons: Sequence[str]) -> Problem:
    """Why the model cannot be loaded, in words that say what to do."""
    memory = next((reason for reason in reasons if _MEMORY.search(reason)), None)
    if memory is None:
        reason = next(iter(reasons[0].splitlines()), "").rstrip(".")
        remedy = "Check that this version of vLLM knows the model, or write `transformers` for `engine.name`."
        return Problem(f"models.{setup.key}", f"vLLM cannot load it ({reason})", remedy)
    more = (
        "give its cache more with VLLM_CPU_KVCACHE_SPACE (GiB)"
        if on_cpu
        else "raise `engine.gpu_memory`, spread it over more GPUs with `engine.gpus` and `engine.tensor_parallel`, "
        "or end what else is on the GPU"
    )
    # What follows are vLLM's own words for the settings below.
    reason = memory.partition(". Try ")[0].rstrip(".")
    what = f"it does not fit into memory ({reason})"
    return Problem(f"models.{setup.key}.engine", what, f"Lower `engine.context`, or {more}.")


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
