"""How fast prompts are answered and options scored: the engine, the loop everybody writes, and `lm-eval`.

Run: python benchmarks/generation.py [CHECKPOINT_FOLDER] [--prompts N] [--each N] [--rounds N] [--work KIND…]
Four kinds of work: free text, options of a few tokens, options of about ten tokens and more, and the whole suite: every
task, its answers and its options. The suite is asked of a loaded checkpoint as an evaluation asks it, journal included;
`lm-eval` gets the same prompts, rendered already, with the same decoding. Every model is loaded before the clock
starts.

All work on the same checkpoint, prompts, dtype, threads and device in one process, in turn; the fastest turn of each
counts. The engine has a model of its own, because it lets oneDNN multiply on a CPU; `--torch-kernels` leaves that out.
`lm-eval` pins libraries of its own, so it has an environment of its own: `make bench-generation`. Where it is absent,
that is said. Prints seconds on the clock and of the processor, which a busy machine changes less, both as ratios to the
engine too, and how far the results agree.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from medeval_assets.catalog.chat_template import chat_template_text
from medeval_assets.catalog.checkpoint_source import resolve
from medeval_assets.catalog.model_spec import EngineNeeds, ModelSpec
from medeval_assets.catalog.models_file import read_models
from medeval_assets.engines.checkpoint import load_model, load_tokenizer
from medeval_assets.engines.engine_setup import EngineSetup, engine_setup
from medeval_assets.engines.generations import prepare
from medeval_assets.engines.loaded_checkpoint import LoadedCheckpoint
from medeval_assets.engines.model_under_test import ModelUnderTest
from medeval_assets.engines.protocol import Request
from medeval_assets.engines.rendering import Renderer
from medeval_assets.engines.respondent import Questions
from medeval_assets.prompts.prompt import Prompt
from medeval_assets.prompts.prompt_set import prompt_set
from medeval_assets.prompts.wording import wording_for
from medeval_assets.settings import Settings, keep_libraries_at_home
from medeval_assets.sources.dataset import read_dataset
from medeval_assets.tasks import all_tasks, find_tasks

DEMO = "smollm2-135m"
ANSWERED = ("meqsum", "medisumcode")
SCORED = ("mednli", "pubmedqa")
SCORED_LONG = ("mednli", "pubmedqa", "medqa")
LONG_TEXTS = ("meqsum", "problem_summary")
LONG_OPTIONS = 5
PAGES = 64
WORK = ("answered", "short", "long", "suite")

_Result = TypeVar("_Result")

Texts = dict[str, str]
Scores = dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Work:
    """One prompt: what the engine is asked, and the same as text for the others."""

    request: Request
    text: str
    options: tuple[str, ...]


def prompts_of(name: str, each: int, settings: Settings) -> list[Prompt]:
    (task,) = find_tasks([name])
    dataset = read_dataset(task, settings)
    return prompt_set(task, dataset.examples, wording_for(task, "project", settings))[:each]


def work_of(names: Iterable[str], renderer: Renderer, context: int, each: int, settings: Settings) -> list[Work]:
    """The first prompts of each task."""
    found = []
    for name in names:
        for prepared in prepare(all_tasks()[name], prompts_of(name, each, settings), renderer, context):
            if prepared.request is not None:
                rendered = renderer.render(prepared.request.messages, prepared.prompt.cue)
                found.append(Work(prepared.request, rendered.text, tuple(prepared.prompt.options.values())))
    return found


def with_long_options(work: Sequence[Work], renderer: Renderer, settings: Settings) -> list[Work]:
    """The same prompts; the options of each are some reference texts of other tasks."""
    examples = [example for name in LONG_TEXTS for example in read_dataset(all_tasks()[name], settings).examples]
    texts = [example.targets[0] for example in examples]
    found = []
    for number, one in enumerate(work):
        options = tuple(texts[(number + place) % len(texts)] for place in range(LONG_OPTIONS))
        rendered = renderer.render(one.request.messages, "")
        option_context, tokens = renderer.option_tokens(rendered, options)
        request = replace(one.request, option_context=option_context, options=tokens)
        found.append(Work(request, one.text, options))
    return found


class Ours:
    """An evaluation's own engine; `suite` asks it as an evaluation does: prompts are rendered, answers journalled.

    home: a folder that remembers the hashes of the weights, as the one of a user does.
    """

    def __init__(self, spec: ModelSpec, settings: Settings, home: Path, each: int) -> None:
        self._spec, self._settings = spec, replace(settings, home=home)
        self.engine: Any = self._model().engine
        self._questions = [
            Questions(task, prompts_of(name, each, settings), lambda: ()) for name, task in all_tasks().items()
        ]

    def suite(self, work: Sequence[Work]) -> tuple[Texts, Scores]:
        """All prompts of the tasks of the work."""
        shutil.rmtree(self._settings.journal, ignore_errors=True)
        tasks = {one.request.task for one in work}
        asked = [questions for questions in self._questions if questions.task.name in tasks]
        texts: Texts = {}
        scores: Scores = {}
        for outcome in LoadedCheckpoint(self._model()).answer(asked, lambda *_: None):
            if outcome.error is not None:
                raise outcome.error
            for row in outcome.generations:
                name = f"{outcome.questions.task.name} {row.example_id}"
                texts[name] = row.text
                if row.option_logprobs:
                    scores[name] = row.option_logprobs
        return texts, scores

    def _model(self) -> ModelUnderTest:
        return ModelUnderTest(self._spec, {}, self._settings)

    def answers(self, work: Sequence[Work]) -> Texts:
        requests = [replace(one.request, options=(), option_context=()) for one in work]
        return {name_of(asked): answer.text for batch in self.engine.answer(requests) for asked, answer in batch}

    def scores(self, work: Sequence[Work]) -> Scores:
        # The engine always answers as well: a single token, so that the options are what is measured.
        requests = [replace(one.request, decoding=replace(one.request.decoding, max_new_tokens=1)) for one in work]
        answered = (pair for batch in self.engine.answer(requests) for pair in batch)
        return {name_of(asked): answer.option_logprobs for asked, answer in answered}


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
            texts |= {name_of(one.request): text for one, text in zip(batch, new, strict=True)}
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
                values.setdefault(name_of(request), []).append(at.sum().item())
        return {example_id: tuple(found) for example_id, found in values.items()}


class ContinuousBatching:
    """The one of `transformers`: prompts join and leave the batch at every step, keys and values lie in pages."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model, self._tokenizer = model, tokenizer

    def answers(self, work: Sequence[Work]) -> Texts:
        import transformers

        library: Any = transformers
        settings = library.GenerationConfig(
            max_new_tokens=max(one.request.decoding.max_new_tokens for one in work),
            do_sample=False,
            eos_token_id=self._tokenizer.eos_token_id,
            pad_token_id=self._tokenizer.eos_token_id,
        )
        # Left to itself it takes nearly all memory that the machine has, whoever uses it.
        limits = library.ContinuousBatchingConfig(num_blocks=PAGES, max_batch_tokens=1024)
        names = {one.request.token_ids: name_of(one.request) for one in work}
        found = self._model.generate_batch(
            inputs=[list(token_ids) for token_ids in names],
            generation_config=settings,
            continuous_batching_config=limits,
            progress_bar=False,
        )
        return {
            names[tuple(one.prompt_ids)]: self._tokenizer.decode(one.generated_tokens, skip_special_tokens=True)
            for one in found.values()
        }


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
        return {name_of(one.request): text for one, text in zip(work, texts, strict=True)}

    def scores(self, work: Sequence[Work]) -> Scores:
        pairs = [(one, option) for one in work for option in one.options]
        instances = [self._instance("loglikelihood", one.text, option) for one, option in pairs]
        found = iter(self._model.loglikelihood(instances, disable_tqdm=True))
        return {name_of(one.request): tuple(next(found)[0] for _ in one.options) for one in work}

    def _instance(self, kind: str, *arguments: Any) -> Any:
        from lm_eval.api.instance import Instance

        return Instance(request_type=kind, doc={}, arguments=arguments, idx=0)

    def suite(self, work: Sequence[Work]) -> tuple[Texts, Scores]:
        return self.answers(work), self.scores([one for one in work if one.options])


def name_of(request: Request) -> str:
    return f"{request.task} {request.example_id}"


def in_turn(
    runs: Mapping[str, Callable[[Sequence[Work]], _Result]], work: Sequence[Work], rounds: int
) -> dict[str, tuple[float, float, _Result]]:
    """The fewest seconds of each, on the clock and of the processor, and its result.

    They take turns, so that none has a quiet machine to itself.
    """
    found: dict[str, tuple[float, float, _Result]] = {}
    for run in runs.values():
        run(work[:2])  # the first call allocates, and finds out what the model can do
    for _ in range(rounds):
        for name, run in runs.items():
            clock, processor = time.perf_counter(), time.process_time()
            result = run(work)
            clock, processor = time.perf_counter() - clock, time.process_time() - processor
            before = found.get(name, (clock, processor))
            found[name] = (min(clock, before[0]), min(processor, before[1]), result)
    return found


def given_arguments() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("checkpoint", nargs="?", type=Path, help=f"folder; default: the catalog's {DEMO}")
    arguments.add_argument("--prompts", type=int, default=12, help="of each task whose answers or options are timed")
    arguments.add_argument("--each", type=int, default=2, help="prompts of each task of the suite")
    arguments.add_argument("--context", type=int, default=2048, help="most tokens of a prompt of the suite")
    arguments.add_argument("--batch-size", type=int, default=8, help="of the loop and of lm-eval")
    arguments.add_argument("--rounds", type=int, default=2, help="turns; the fastest of each counts")
    arguments.add_argument("--work", nargs="+", choices=WORK, default=WORK, help="which kinds; default: all")
    arguments.add_argument("--continuous", action="store_true", help="answer with continuous batching, too")
    arguments.add_argument("--torch-kernels", action="store_true", help="the engine multiplies as torch does")
    return arguments.parse_args()


def main() -> None:
    given = given_arguments()
    settings = Settings.from_environment()
    keep_libraries_at_home(settings.home)

    folder = given.checkpoint or resolve(read_models(settings.catalog_files)[DEMO], settings)
    needs = EngineNeeds(context=given.context)
    spec = ModelSpec(key="benchmark", checkpoint=f"folder:{folder.absolute()}", role="generalist", engine=needs)
    setup = engine_setup(spec.key, folder, "causal", needs)
    plain, tokenizer = plain_model(setup), load_tokenizer(folder, needs)
    renderer = Renderer(tokenizer, chat_template_text(spec, {spec.key: spec}, settings, folder))
    home = tempfile.TemporaryDirectory()
    ours = Ours(spec, settings, Path(home.name), given.each)
    if given.torch_kernels:
        use_torch(ours.engine._model)

    others: dict[str, Any] = {"plain loop": PlainLoop(plain, tokenizer, given.batch_size)}
    if importlib.util.find_spec("lm_eval"):
        others["lm-eval"] = LmEval(plain, tokenizer, given.batch_size)
    else:
        print("lm-eval: not installed here; `make bench-generation` runs this where it is")
    kernels = "torch's own" if given.torch_kernels else "oneDNN where they apply"
    print(f"{folder.name}, {plain.dtype}, {plain.device}; the engine's kernels: {kernels}")

    if "answered" in given.work:
        work = work_of(ANSWERED, renderer, given.context, given.prompts, settings)
        print(f"\n{len(work)} prompts answered ({', '.join(ANSWERED)})")
        asked = {"engine": ours.answers} | {name: one.answers for name, one in others.items()}
        if given.continuous:
            asked["continuous"] = ContinuousBatching(load_model(setup, "AutoModelForCausalLM"), tokenizer).answers
        answered = in_turn(asked, work, given.rounds)
        report(answered, lambda texts: f"same text: {same(answered['engine'][2], texts)} of {len(work)}")

    for what, names in (("short", SCORED), ("long", SCORED_LONG)):
        if what not in given.work:
            continue
        work = work_of(names, renderer, given.context, given.prompts, settings)
        if what == "long":
            work = with_long_options(work, renderer, settings)
        lengths = sorted(len(option) for one in work for option in one.request.options)
        contexts = sorted(len(one.request.option_context) for one in work)
        print(f"\n{len(lengths)} {what} options of {len(work)} prompts scored ({', '.join(names)})")
        print(f"  options of {lengths[0]} to {lengths[-1]} tokens after {contexts[0]} to {contexts[-1]}")
        scored = in_turn(
            {"engine": ours.scores} | {name: one.scores for name, one in others.items()}, work, given.rounds
        )
        report(scored, partial(agreement_of_scores, scored["engine"][2]))

    if "suite" in given.work and "lm-eval" in others:
        work = work_of(all_tasks(), renderer, given.context, given.each, settings)
        tokens = sum(len(one.request.token_ids) for one in work)
        print(f"\nthe suite: {len(all_tasks())} tasks, {len(work)} prompts of {tokens} tokens in all")
        timed = in_turn({"evaluation": ours.suite, "lm-eval": others["lm-eval"].suite}, work, given.rounds)
        texts, scores = timed["evaluation"][2]
        report(
            timed,
            lambda found: (
                f"same text: {same(texts, found[0])} of {len(texts)}, "
                f"largest difference of options: {apart(scores, found[1]):.1e}"
            ),
        )


def plain_model(setup: EngineSetup) -> Any:
    """The model as everybody loads it."""
    import transformers

    library: Any = transformers
    device = "cuda" if setup.on_gpu else "cpu"
    return library.AutoModelForCausalLM.from_pretrained(
        setup.folder, dtype=setup.dtype, device_map=device, attn_implementation="sdpa"
    ).eval()


def use_torch(model: Any) -> None:
    """Undo what the engine did to the model's linear layers."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.__class__ = torch.nn.Linear


def same(texts: Texts, others: Texts) -> int:
    return sum(texts[name].strip() == others[name].strip() for name in texts)


def apart(scores: Scores, others: Scores) -> float:
    return max(abs(one - other) for name in scores for one, other in zip(scores[name], others[name], strict=True))


def agreement_of_scores(scores: Scores, others: Scores) -> str:
    return f"largest difference: {apart(scores, others):.1e}"


def report(timed: Mapping[str, tuple[float, float, _Result]], agreement: Callable[[_Result], str]) -> None:
    base, processor_base, _ = next(iter(timed.values()))
    for name, (clock, processor, result) in timed.items():
        spent = f"{clock:6.1f} s {clock / base:5.2f}   processor {processor:6.1f} s {processor / processor_base:5.2f}"
        print(f"  {name:11} {spent}   {agreement(result)}", flush=True)


if __name__ == "__main__":
    main()
