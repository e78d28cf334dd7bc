"""The encoder engine: option pseudo-log-likelihoods from a masked language model, which cannot generate."""

from __future__ import annotations

import gc
from collections.abc import Container, Iterator, Sequence
from typing import Any

from medeval_assets.engines.adapter import refuse_adapter
from medeval_assets.engines.checkpoint import load_model, load_tokenizer
from medeval_assets.engines.engine_setup import EngineSetup
from medeval_assets.engines.protocol import Answer, Batch, EngineIdentity, Key, Request
from medeval_assets.engines.transformers_engine import LOGITS_AT_ONCE, identity_of


class EncoderEngine:
    """Scores options with a masked language model; every answer's text is empty.

    An option's pseudo-log-likelihood is the sum, over its tokens, of the log-probability of the token where it
    alone is masked and prompt and option stand around it (Salazar et al. 2020, arXiv 1910.14659, equation 1).
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self._device = model.device
        self._mask = tokenizer.mask_token_id
        self._closing = [] if tokenizer.sep_token_id is None else [tokenizer.sep_token_id]

    @classmethod
    def load(cls, setup: EngineSetup) -> EncoderEngine:
        """The engine of a checkpoint folder. BadInput where it cannot be loaded, or has an adapter."""
        if setup.adapter is not None:
            raise refuse_adapter(setup.key)
        return cls(load_model(setup, "AutoModelForMaskedLM"), load_tokenizer(setup.folder, setup.needs))

    @property
    def identity(self) -> EngineIdentity:
        return identity_of("transformers-encoder", self._model)

    def answer(self, requests: Sequence[Request], done: Container[Key] = ()) -> Iterator[Batch]:
        """One answer a batch, task by task, the longest prompt first."""
        for request in sorted(requests, key=lambda one: (one.task, -len(one.token_ids), one.example_id)):
            if request.key not in done:
                logprobs = tuple(self._score(request.option_context, option) for option in request.options)
                yield [(request, Answer("", "stop", 0, logprobs))]

    def close(self) -> None:
        import torch

        self._model = None
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _score(self, context: Sequence[int], option: Sequence[int]) -> float:
        import torch

        places = torch.arange(len(option)) + len(context)
        whole = torch.tensor([*context, *option, *self._closing], dtype=torch.long)
        masked = whole.repeat(len(option), 1)
        masked[torch.arange(len(option)), places] = self._mask
        total = 0.0
        most = max(1, LOGITS_AT_ONCE // (len(whole) * self._model.config.vocab_size))
        for start in range(0, len(option), most):
            rows, there = masked[start : start + most].to(self._device), places[start : start + most]
            with torch.inference_mode():
                logits = self._model(input_ids=rows, attention_mask=torch.ones_like(rows)).logits
                at_mask = logits[torch.arange(len(rows)), there].float().log_softmax(-1)
                total += at_mask.gather(1, whole[there].to(self._device)[:, None]).double().sum().item()
        return total
