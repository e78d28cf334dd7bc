"""How fast prompts are answered and options scored: the engine, the loop everybody writes, and `lm-eval`.

Run: python benchmarks/generation.py [CHECKPOINT_FOLDER] [--prompts N] [--batch-size N] [--rounds N]
All work on the same weights, prompts, dtype and device in one process, in turn. `lm-eval` pins libraries
of its own, so it has an environment of its own: `make bench-generation`. Where it is absent, that is said.
Prints seconds, the ratio to the engine, and how far the results agree.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from medeval_assets.catalog.chat_template import chat_template_text
from medeval_assets.catalog.checkpoint_source import resolve
from medeval_assets.catalog.model_spec import EngineNeeds, ModelSpec
from medeval_assets.catalog.models_file import read_models
from medeval_assets.engines.checkpoint import load_model, load_tokenizer
from medeval_assets.engines.engine_setup import engine_setup
from medeval_assets.engines.generations import prepare
from medeval_assets.engines.protocol import Request
from medeval_assets.engines.rendering import Renderer
from medeval_assets.engines.transformers_engine import TransformersEngine
from medeval_assets.prompts.prompt_set import prompt_set
from medeval_assets.prompts.wording import wording_for
from medeval_assets.settings import Settings, keep_libraries_at_home
from medeval_assets.sources.dataset import read_dataset
from medeval_assets.tasks import find_tasks

DEMO = "smollm2-135m"
ANSWERED = ("meqsum", "medisumcode")
SCORED = ("mednli", "pubmedqa")

_Result = TypeVar("_Result")

Texts = dict[str, str]
Scores = dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Work:
    """One prompt: what the engine is asked, and the same as text for the others."""

    request: Request
    text: str
    options: tuple[str, ...]


def work_of(names: Sequence[str], renderer: Renderer, context: int, most: int, settings: Settings) -> list[Work]:
    """The first prompts of each task, as many of one as of the other."""
    found = []
    for task in find_tasks(names):
        dataset = read_dataset(task, settings)
        prompts = prompt_set(task, dataset.examples, wording_for(task, "project", settings))[: most // len(names)]
        for prepared in prepare(task, prompts, renderer, context):
            if prepared.request is None:
                continue
            request = replace(prepared.request, example_id=f"{task.name} {prepared.request.example_id}")
            rendered = renderer.render(prepared.prompt.messages, prepared.prompt.cue)
            found.append(Work(request, rendered.text, tuple(prepared.prompt.options.values())))
    return found


class Ours:
    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._engine = TransformersEngine(model, tokenizer)

    def answers(self, work: Sequence[Work]) -> Texts:
        requests = [replace(one.request, options=(), option_context=()) for one in work]
        return {asked.example_id: a.text for batch in self._engine.answer(requests) for asked, a in batch}

    def scores(self, work: Sequence[Work]) -> Scores:
        # The engine always answers as well: a single token, so that the options are what is measured.
        requests = [replace(one.request, decoding=replace(one.request.decoding, max_new_tokens=1)) for one in work]
        return {asked.example_id: a.option_logprobs for batch in self._engine.answer(requests) for asked, a in batch}


class PlainLoop:
    """Batches of one size in the order given, padded on the left; every option is encoded with its prompt."""

    def __init__(self, model: Any, tokenizer: Any, batch_size: int) -> None:
        self._model, self._tokenizer, self._size = model, tokenizer, batch_size
        tokenizer.padding_side = "left"
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token

    def answers(self, work: Sequence[Work]) -> Texts:
        import torch

        texts: Texts = {}
        for start in range(0, len(work), self._size):
            batch = work[start : start + self._size]
            inputs = self._tokenizer(
                [one.text for one in batch], return_tensors="pt", padding=True, add_special_tokens=False
            ).to(self._model.device)
            with torch.inference_mode():
                output = self._model.generate(
                    **inputs,
                    max_new_tokens=max(one.request.decoding.max_new_tokens for one in batch),
                    do_sample=False,
                    eos_token_id=self._tokenizer.eos_token_id,
                    pad_token_id=self._tokenizer.pad_token_id,
                )
            new = self._tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            texts |= {one.request.example_id: text for one, text in zip(batch, new, strict=True)}
        return texts

    def scores(self, work: Sequence[Work]) -> Scores:
        import torch

        pairs = [(one.request, option) for one in work for option in one.request.options]
        values: dict[str, list[float]] = {}
        for start in range(0, len(pairs), self._size):
            batch = pairs[start : start + self._size]
            padded = self._tokenizer.pad(
                {"input_ids": [[*request.option_context, *option] for request, option in batch]}, return_tensors="pt"
            ).to(self._model.device)
            with torch.inference_mode():
                logprobs = self._model(**padded).logits.float().log_softmax(-1)
            for row, (request, option) in enumerate(batch):
                at = logprobs[row, -len(option) - 1 : -1].gather(1, torch.tensor(option)[:, None].to(logprobs.device))
                values.setdefault(request.example_id, []).append(at.sum().item())
        return {example_id: tuple(found) for example_id, found in values.items()}


class LmEval:
    """The `hf` backend of `lm-eval`, given the same model and tokenizer."""

    def __init__(self, model: Any, tokenizer: Any, batch_size: int) -> None:
        from lm_eval.models.huggingface import HFLM

        self._model: Any = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)

    def answers(self, work: Sequence[Work]) -> Texts:
        settings = [
            {"until": list(one.request.decoding.stop), "max_gen_toks": one.request.decoding.max_new_tokens}
            | {"do_sample": False}
            for one in work
        ]
        instances = [
            self._instance("generate_until", one.text, setting) for one, setting in zip(work, settings, strict=True)
        ]
        texts = self._model.generate_until(instances, disable_tqdm=True)
        return {one.request.example_id: text for one, text in zip(work, texts, strict=True)}

    def scores(self, work: Sequence[Work]) -> Scores:
        pairs = [(one, option) for one in work for option in one.options]
        instances = [self._instance("loglikelihood", one.text, option) for one, option in pairs]
        found = iter(self._model.loglikelihood(instances, disable_tqdm=True))
        return {one.request.example_id: tuple(next(found)[0] for _ in one.options) for one in work}

    def _instance(self, kind: str, *arguments: Any) -> Any:
        from lm_eval.api.instance import Instance

        return Instance(request_type=kind, doc={}, arguments=arguments, idx=0)


def in_turn(
    runs: Mapping[str, Callable[[Sequence[Work]], _Result]], work: Sequence[Work], rounds: int
) -> dict[str, tuple[float, _Result]]:
    """The fewest wall seconds of each and its result. They take turns, so that none has a quiet machine to itself."""
    found: dict[str, tuple[float, _Result]] = {}
    for run in runs.values():
        run(work[:2])  # the first call allocates
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            result = run(work)
            seconds = time.perf_counter() - start
            found[name] = (min(seconds, found[name][0]) if name in found else seconds, result)
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("checkpoint", nargs="?", type=Path, help=f"folder; default: the catalog's {DEMO}")
    arguments.add_argument("--prompts", type=int, default=24)
    arguments.add_argument("--batch-size", type=int, default=8, help="of the loop and of lm-eval")
    arguments.add_argument("--rounds", type=int, default=2, help="turns; the fastest of each counts")
    given = arguments.parse_args()
    settings = Settings.from_environment()
    keep_libraries_at_home(settings.home)

    if given.checkpoint:
        spec = ModelSpec(key="benchmark", checkpoint=f"folder:{given.checkpoint}", role="generalist")
    else:
        spec = read_models(settings.catalog_files)[DEMO]
    folder = resolve(spec, settings)
    setup = engine_setup(spec.key, folder, "causal", EngineNeeds())
    model, tokenizer = load_model(setup, "AutoModelForCausalLM"), load_tokenizer(folder, setup.needs)
    renderer = Renderer(tokenizer, chat_template_text(spec, {spec.key: spec}, settings, folder))
    context = model.config.max_position_embeddings

    contenders: dict[str, Any] = {
        # The engine clears the checkpoint's generation settings; the others are to have them.
        "engine": Ours(copy.copy(model), tokenizer),
        "plain loop": PlainLoop(model, tokenizer, given.batch_size),
    }
    if importlib.util.find_spec("lm_eval"):
        contenders["lm-eval"] = LmEval(model, tokenizer, given.batch_size)
    else:
        print("lm-eval: not installed here; `make bench-generation` runs this where it is")
    print(f"{spec.key}, {model.dtype}, {model.device}")

    work = work_of(ANSWERED, renderer, context, given.prompts, settings)
    print(f"\n{len(work)} prompts answered ({', '.join(ANSWERED)})")
    answered = in_turn({name: one.answers for name, one in contenders.items()}, work, given.rounds)
    base, texts = answered["engine"]
    for name, (seconds, others) in answered.items():
        same = sum(texts[key].strip() == others[key].strip() for key in texts)
        print(f"  {name:11} {seconds:6.1f} s  {seconds / base:.2f}  same text as the engine: {same} of {len(work)}")

    work = work_of(SCORED, renderer, context, given.prompts, settings)
    options = sum(len(one.options) for one in work)
    print(f"\n{options} options of {len(work)} prompts scored ({', '.join(SCORED)})")
    scored = in_turn({name: one.scores for name, one in contenders.items()}, work, given.rounds)
    base, scores = scored["engine"]
    for name, (seconds, found) in scored.items():
        apart = max(abs(a - b) for key in scores for a, b in zip(scores[key], found[key], strict=True))
        print(f"  {name:11} {seconds:6.1f} s  {seconds / base:.2f}  largest difference: {apart:.1e}")


if __name__ == "__main__":
    main()
