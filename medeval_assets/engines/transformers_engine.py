"""The `transformers` engine: greedy answers and option likelihoods from a causal model, batch by batch."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Container, Iterator, Sequence
from functools import cached_property, partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

from medeval_assets.catalog.task_spec import Decoding
from medeval_assets.engines.checkpoint import load_model, load_tokenizer
from medeval_assets.engines.ending import Ending, end_tokens
from medeval_assets.engines.engine_setup import EngineSetup
from medeval_assets.engines.out_of_memory import is_out_of_memory
from medeval_assets.engines.packed_options import packed_likelihoods, packed_options, packed_width
from medeval_assets.engines.protocol import Answer, Batch, EngineIdentity, Key, Request
from medeval_assets.engines.rendering import shared_prefix

if TYPE_CHECKING:
    from torch import Tensor

_T = TypeVar("_T")

ROUND = 16
"""Tokens decoded before the rows that have ended leave the batch."""

SMALLEST_SHARED = 16
"""Tokens at the start of all prompts from which it pays to encode them once."""

LOGITS_AT_ONCE = 2**27
"""Most numbers in one tensor of option logits: 512 MB."""

# Tokens of a context on which packing is tried, and how far its log-likelihoods may be from those of one pass each.
_PROBE = 12
_CLOSE = 1e-3
_CLOSE_IN_HALF = 0.3

TOKENS_ON_CPU = 16_384
TOKENS_ON_GPU = 32_768

# How many prompt tokens are encoded in the time of one decoding step: what another batch costs, told in padding.
_STEP_ON_CPU = 40
_STEP_ON_GPU = 400


class TransformersEngine:
    """Answers requests with a causal model from `transformers`.

    token_budget: most tokens of a batch, padding and room for the answers included.
    Nothing of the checkpoint's own generation settings is used except the tokens that end an answer.
    """

    def __init__(self, model: Any, tokenizer: Any, token_budget: int | None = None) -> None:
        import transformers
        from transformers.cache_utils import DynamicCache, DynamicLayer

        library: Any = transformers
        self._model = model
        self._tokenizer = tokenizer
        self._device = model.device
        self._end_tokens = end_tokens(model.generation_config, tokenizer)
        self._pad = next(token for token in (tokenizer.pad_token_id, *sorted(self._end_tokens), 0) if token is not None)
        model.generation_config = library.GenerationConfig()
        self._vocabulary = int(model.config.get_text_config().vocab_size)
        self._accepted = inspect.signature(model.forward).parameters
        # Where layers only keep a window or a state, part of a sequence cannot be taken back out of the cache.
        layers = DynamicCache(config=model.config).layers
        self._cache_is_whole = "past_key_values" in self._accepted and all(
            type(layer) is DynamicLayer for layer in layers
        )
        on_cpu = self._device.type == "cpu"
        self._budget = token_budget or (TOKENS_ON_CPU if on_cpu else TOKENS_ON_GPU)
        self._step = _STEP_ON_CPU if on_cpu else _STEP_ON_GPU

    @classmethod
    def load(cls, setup: EngineSetup) -> TransformersEngine:
        """The engine of a checkpoint folder. BadInput where it cannot be loaded."""
        return cls(load_model(setup, "AutoModelForCausalLM"), load_tokenizer(setup.folder, setup.needs))

    @property
    def identity(self) -> EngineIdentity:
        return identity_of("transformers", self._model)

    def answer(self, requests: Sequence[Request], done: Container[Key] = ()) -> Iterator[Batch]:
        """Answers task by task in batches of like length, the longest first, so that too little memory shows at once.

        Which requests share a batch does not depend on what is done.
        """
        for (_, decoding), group in groupby(sorted(requests, key=_order), key=lambda one: (one.task, one.decoding)):
            alike = list(group)
            if all(request.key in done for request in alike):
                continue
            ending = Ending.of(decoding, self._tokenizer, self._end_tokens)
            start = self._if_it_fits(partial(self._shared_start, alike))
            for batch in batches(alike, self._budget, self._step):
                yield from self._answered(batch, done, ending, start)

    def close(self) -> None:
        self._model = None
        self._free_memory()

    def _answered(self, batch: list[Request], done: Container[Key], ending: Ending, start: Any) -> Iterator[Batch]:
        """The batch's answers, by halves where it does not fit into memory. What fitted once sets the budget."""
        parts = [batch]
        while parts:
            part = parts.pop(0)
            left = [request for request in part if request.key not in done]
            if not left:
                continue
            answers = None
            if len(part) == 1 or tokens_of(part) <= self._budget:
                answers = self._if_it_fits(partial(self._answer, left, ending, start))
                if answers is None and len(left) > 1:
                    self._budget = min(self._budget, tokens_of(part)) // 2
            if answers is None and len(part) > 1:
                parts[:0] = [part[: len(part) // 2], part[len(part) // 2 :]]
                continue
            if answers is None:
                reason = f"there is not enough memory for its {len(part[0].token_ids)} tokens and its answer"
                answers = [Answer("", "failed", 0, reason=reason)]
            yield list(zip(left, answers, strict=True))

    def _if_it_fits(self, make: Callable[[], _T]) -> _T | None:
        """What `make` gives; None where there is not enough memory for it."""
        import torch

        try:
            # Not held over a yield: the caller's own work must not run in inference mode.
            with torch.inference_mode():
                return make()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Not before here has the error let go of what was in memory.
        self._free_memory()
        return None

    def _free_memory(self) -> None:
        import torch

        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _answer(self, batch: list[Request], ending: Ending, start: Any) -> list[Answer]:
        """One batch. Its columns are: the shared start, padding, and the rest of each prompt."""
        shared = 0 if start is None else start.get_seq_length()
        ids, mask = self._padded([request.token_ids[shared:] for request in batch])
        if shared:
            ids = _beside(ids.new_tensor([batch[0].token_ids[:shared]]).expand(len(batch), -1), ids)
            mask = _beside(mask.new_ones(len(batch), shared), mask)
        cache = start.rows([0] * len(batch)) if shared else self._empty_cache()

        logprobs: dict[int, tuple[float, ...]] = {}
        scored = [row for row, request in enumerate(batch) if request.options and not _is_first_step(request)]
        if scored and self._packs:
            if ids.shape[1] - 1 > shared:
                self._logits(ids[:, shared:-1], mask[:, :-1], cache, 1)
            logprobs |= self._score_packed(cache, mask[:, :-1], batch, scored)
        elif scored:
            logprobs |= self._score_whole(batch, scored)

        first = _FirstStep()
        produced = self._generate(ids, mask, cache, ending, first)
        for row, request in enumerate(batch):
            if request.options and _is_first_step(request):
                logprobs[row] = first.read(row, [option[0] for option in request.options])
        return [
            ending.answer(request, tokens, logprobs.get(row, ()))
            for row, (request, tokens) in enumerate(zip(batch, produced, strict=True))
        ]

    def _generate(self, ids: Tensor, mask: Tensor, cache: Any, ending: Ending, first: _FirstStep) -> list[list[int]]:
        """Greedy tokens of each row, the ending one included."""
        import torch
        import transformers

        library: Any = transformers
        start, left = ids.shape[1], ending.most
        produced: list[list[int]] = [[] for _ in range(len(ids))]
        alive = list(range(len(ids)))
        while alive and left > 0:
            settings = library.GenerationConfig(
                max_new_tokens=min(ROUND, left),
                do_sample=False,
                use_cache=True,
                eos_token_id=sorted(ending.tokens) or None,
                pad_token_id=self._pad,
                return_dict_in_generate=True,
            )
            given = {} if cache is None else {"past_key_values": cache}
            done = self._model.generate(
                ids,
                attention_mask=mask,
                generation_config=settings,
                logits_processor=[first],
                stopping_criteria=[_Stopping(ending, start)] if ending.strings else [],
                **given,
            )
            new = done.sequences[:, ids.shape[1] :]
            staying = []
            for index, (row, tokens) in enumerate(zip(alive, new.tolist(), strict=True)):
                for token in tokens:
                    produced[row].append(token)
                    if ending.reached(produced[row]):
                        break
                else:
                    staying.append(index)
            left -= new.shape[1]
            alive = [alive[index] for index in staying]
            rows = torch.tensor(staying, dtype=torch.long, device=self._device)
            ids = done.sequences[rows]
            mask = _beside(mask[rows], mask.new_ones(len(rows), new.shape[1]))
            cache = done.past_key_values
            if cache is not None and 0 < len(rows) < len(new):
                cache.batch_select_indices(rows)
        return produced

    def _shared_start(self, requests: Sequence[Request]) -> Any:
        """The cache of what all prompts begin with (system text, worked examples); None where that is too little."""
        if len(requests) < 2 or not self._cache_is_whole:
            return None
        contexts = [request.option_context for request in requests if request.options]
        prompts = [*(request.token_ids for request in requests), *contexts]
        # What the first and the last of a sorted list begin with, all between them do too.
        shared = min(shared_prefix(min(prompts), max(prompts)), min(len(prompt) for prompt in prompts) - 1)
        if shared < SMALLEST_SHARED:
            return None
        ids, mask = self._padded([prompts[0][:shared]])
        cache = self._empty_cache()
        self._logits(ids, mask, cache, 1)
        return cache

    def _score_packed(
        self, cache: Any, mask: Tensor, batch: Sequence[Request], scored: Sequence[int]
    ) -> dict[int, tuple[float, ...]]:
        """Log-likelihoods of the options of some rows, their prompts but for the last token being in the cache.

        The options of a row stand side by side behind the last token of its context. Each sees the context and itself
        and continues the context's positions, so the numbers are those of one pass per option.
        """
        import torch

        found: dict[int, tuple[float, ...]] = {}
        widest = max(packed_width(batch[row]) for row in scored)
        for some in _chunks(scored, LOGITS_AT_ONCE // (widest * self._vocabulary)):
            packed = packed_options([batch[row] for row in some], self._pad)
            known = mask[some].clone()
            for index, row in enumerate(some):
                beyond = len(batch[row].token_ids) - len(batch[row].option_context)
                known[index, known.shape[1] - beyond :] = 0
            all_rows = len(some) == len(mask)
            width = packed.token_ids.shape[1]
            sees = [known[:, None].expand(-1, width, -1).bool(), packed.seen.to(self._device)]
            logits = self._model(
                input_ids=packed.token_ids.to(self._device),
                attention_mask=torch.cat(sees, dim=2)[:, None],
                position_ids=known.sum(1, keepdim=True) + packed.depth.to(self._device),
                past_key_values=cache if all_rows else cache.rows(some),
                use_cache=True,
            ).logits
            if all_rows:
                cache.crop(-width)
            for row, predicted in zip(some, logits, strict=True):
                found[row] = packed_likelihoods(predicted, batch[row].options)
        return found

    def _score_whole(self, batch: list[Request], scored: list[int]) -> dict[int, tuple[float, ...]]:
        """The same without a cache: every option is encoded with its prompt."""
        pairs = [(row, place) for row in scored for place in range(len(batch[row].options))]
        found: dict[tuple[int, int], float] = {}
        sequences = {(row, place): (*batch[row].option_context, *batch[row].options[place]) for row, place in pairs}
        longest = max(len(sequence) for sequence in sequences.values())
        width = 1 + max(len(batch[row].options[place]) for row, place in pairs)
        most = min(self._budget // longest, LOGITS_AT_ONCE // (width * self._vocabulary))
        for some in _chunks(pairs, most):
            ids, mask = self._padded([sequences[pair] for pair in some])
            options = [batch[row].options[place] for row, place in some]
            logits = self._logits(ids, mask, None, 1 + max(len(option) for option in options))
            found |= dict(zip(some, _log_likelihoods(logits, options), strict=True))
        return {row: tuple(found[row, place] for place in range(len(batch[row].options))) for row in scored}

    def _logits(self, ids: Tensor, mask: Tensor, cache: Any, keep: int) -> Tensor:
        """Logits after the last `keep` columns of `ids`; `mask` covers what is in the cache as well."""
        given = {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :],
            "past_key_values": cache,
            "use_cache": cache is not None,
            "logits_to_keep": keep,
        }
        output = self._model(**{name: value for name, value in given.items() if name in self._accepted})
        logits: Tensor = output.logits[:, -keep:]
        return logits

    def _padded(self, sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Token ids and attention mask, padded on the left."""
        import torch

        width = max(len(sequence) for sequence in sequences)
        ids = torch.full((len(sequences), width), self._pad, dtype=torch.long)
        mask = torch.zeros((len(sequences), width), dtype=torch.long)
        for row, sequence in enumerate(sequences):
            ids[row, width - len(sequence) :] = torch.tensor(sequence, dtype=torch.long)
            mask[row, width - len(sequence) :] = 1
        return ids.to(self._device), mask.to(self._device)

    def _empty_cache(self) -> Any:
        """None where the model keeps what it needs in a way of its own."""
        if not self._cache_is_whole:
            return None
        from medeval_assets.engines.growing_cache import GrowingCache

        return GrowingCache(self._model.config)

    @cached_property
    def _packs(self) -> bool:
        """Whether options can be packed: the model heeds positions and a mask of its rows' own. Tried, not assumed."""
        if not self._cache_is_whole or "position_ids" not in self._accepted:
            return False
        context = tuple(range(1, 1 + _PROBE))
        options = tuple((token, context[token]) for token in context[:3])
        request = Request("", context, Decoding(1), options, context)
        ids, mask = self._padded([context[:-1]])
        cache = self._empty_cache()
        try:
            self._logits(ids, mask, cache, 1)
            packed = self._score_packed(cache, mask, [request], [0])[0]
        except Exception as error:  # whatever a model raises that knows no such mask
            if is_out_of_memory(error):
                raise
            return False
        apart = max(abs(one - other) for one, other in zip(packed, self._score_whole([request], [0])[0], strict=True))
        return apart < (_CLOSE if self._model.dtype.itemsize >= 4 else _CLOSE_IN_HALF)


class _FirstStep:
    """A logits processor that keeps the log-probabilities of the first generated token and changes nothing."""

    def __init__(self) -> None:
        self._logprobs: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self._logprobs is None:
            self._logprobs = scores.float().log_softmax(-1)
        return scores

    def read(self, row: int, tokens: Sequence[int]) -> tuple[float, ...]:
        if self._logprobs is None:
            raise RuntimeError("read before the first token was generated")
        return tuple(self._logprobs[row, list(tokens)].tolist())


class _Stopping:
    """A stopping criterion: ends a row as soon as its generated tokens say so."""

    def __init__(self, ending: Ending, start: int) -> None:
        self._ending = ending
        self._start = start

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        import torch

        rows = input_ids[:, self._start :].tolist()
        return torch.tensor([self._ending.reached(tokens) for tokens in rows], device=input_ids.device)


def batches(requests: Sequence[Request], budget: int, step: int) -> list[list[Request]]:
    """Requests of one decoding in batches of like length, the longest first.

    budget: most tokens of a batch, padding and answers included; a request that exceeds it is alone.
    step: how many tokens are encoded in the time of one decoding step. A batch is closed when its padding would cost
        more than decoding another batch.
    """
    done: list[list[Request]] = []
    padding = 0
    for request in sorted(requests, key=lambda one: (-len(one.token_ids), one.example_id)):
        if done:
            padding += len(done[-1][0].token_ids) - len(request.token_ids)
            if tokens_of([*done[-1], request]) <= budget and padding <= step * request.decoding.max_new_tokens:
                done[-1].append(request)
                continue
        done.append([request])
        padding = 0
    return done


def tokens_of(batch: Sequence[Request]) -> int:
    """Tokens of a batch, padding and room for answers and options included."""
    room = max(max(request.decoding.max_new_tokens, packed_width(request)) for request in batch)
    return (max(len(request.token_ids) for request in batch) + room) * len(batch)


def identity_of(name: str, model: Any) -> EngineIdentity:
    import tokenizers
    import torch
    import transformers

    device = model.device
    return EngineIdentity(
        name=name,
        dtype=str(model.dtype).removeprefix("torch."),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else str(device.type),
        versions={
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
    )


def _order(request: Request) -> tuple[str, int, tuple[str, ...]]:
    return (request.task, -request.decoding.max_new_tokens, request.decoding.stop)


def _is_first_step(request: Request) -> bool:
    """Whether its options' likelihoods can be read where the first token of the answer is chosen."""
    return request.option_context == request.token_ids and all(len(option) == 1 for option in request.options)


def _log_likelihoods(logits: Tensor, options: Sequence[Sequence[int]]) -> list[float]:
    """Summed log-probability of each row's option, whose tokens end the row; the last column predicts beyond it."""
    import torch

    predicted = logits[:, :-1].float().log_softmax(-1)
    values = []
    for row, option in zip(predicted, options, strict=True):
        tokens = torch.tensor(option, dtype=torch.long, device=row.device)
        values.append(row[-len(option) :].gather(1, tokens[:, None]).double().sum().item())
    return values


def _beside(left: Tensor, right: Tensor) -> Tensor:
    import torch

    return torch.cat([left, right], dim=1)


def _chunks(items: Sequence[_T], most: int) -> Iterator[list[_T]]:
    for start in range(0, len(items), max(1, most)):
        yield list(items[start : start + max(1, most)])
