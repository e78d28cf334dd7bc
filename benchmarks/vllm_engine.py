"""What it costs to ask vLLM through the platform: questions in, journalled rows out, against `LLM.generate` alone.

Run: make bench-vllm, or python benchmarks/vllm_engine.py [CHECKPOINT_FOLDER] [--prompts N] [--rounds N]
Both use the same loaded model in one process, in turn, each with an empty prefix cache. `LLM.generate` is handed all
prompts at once as token ids, ready-made. For options it is asked as everybody asks: each option with its prompt, for
the log-probabilities of the prompt.
Prints seconds, the ratio to `LLM.generate`, and how far the results agree.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medeval_assets.catalog.checkpoint_source import resolve
from medeval_assets.catalog.model_spec import EngineNeeds, ModelSpec
from medeval_assets.catalog.models_file import read_models
from medeval_assets.engines.generations import Generation, prepare
from medeval_assets.engines.loaded_checkpoint import LoadedCheckpoint
from medeval_assets.engines.model_under_test import ModelUnderTest
from medeval_assets.engines.protocol import Key, Request
from medeval_assets.engines.respondent import Questions
from medeval_assets.engines.vllm_engine import VllmEngine
from medeval_assets.prompts.prompt_set import prompt_set
from medeval_assets.prompts.wording import wording_for
from medeval_assets.settings import Settings, keep_libraries_at_home
from medeval_assets.sources.dataset import read_dataset
from medeval_assets.tasks import find_tasks

DEMO = "smollm2-135m"
ANSWERED = ("ncbi_disease", "bc5cdr", "problem_summary", "medisumcode")
SCORED = ("mednli", "nejm", "medqa", "pubmedqa")

Answers = dict[Key, str]
Scores = dict[Key, tuple[float, ...]]


def questions_of(names: Sequence[str], most: int, settings: Settings) -> list[Questions]:
    found = []
    for task in find_tasks(names):
        examples = read_dataset(task, settings).examples
        prompts = prompt_set(task, examples, wording_for(task, "project", settings))[: most // len(names)]
        found.append(Questions(task, prompts, lambda: ()))
    return found


class Platform:
    """Renders the prompts, asks, journals every answer and makes the rows."""

    def __init__(self, model: ModelUnderTest, journal: Path) -> None:
        self._model, self._journal = model, journal

    def rows(self, asked: Sequence[Questions]) -> dict[Key, Generation]:
        shutil.rmtree(self._journal, ignore_errors=True)
        rows: dict[Key, Generation] = {}
        for outcome in LoadedCheckpoint(self._model).answer(asked, lambda *_: None):
            if outcome.error is not None:
                raise outcome.error
            rows |= {(outcome.questions.task.name, one.example_id): one for one in outcome.generations}
        return rows

    def answers(self, asked: Sequence[Questions]) -> Answers:
        return {key: row.text for key, row in self.rows(asked).items()}

    def scores(self, asked: Sequence[Questions]) -> Scores:
        return {key: row.option_logprobs for key, row in self.rows(asked).items()}


class Alone:
    """`LLM.generate` on requests that are ready-made."""

    def __init__(self, llm: Any, requests: Sequence[Request]) -> None:
        self._llm, self._requests = llm, requests

    def answers(self, _: Sequence[Questions]) -> Answers:
        outputs = self._answered()
        return {one.key: output.outputs[0].text for one, output in zip(self._requests, outputs, strict=True)}

    def scores(self, _: Sequence[Questions]) -> Scores:
        from vllm import SamplingParams

        self._answered()
        pairs = [(one, option) for one in self._requests for option in one.options]
        outputs = self._llm.generate(
            [{"prompt_token_ids": [*one.option_context, *option]} for one, option in pairs],
            SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0),
            use_tqdm=False,
        )
        found: dict[Key, list[float]] = {}
        for (one, option), output in zip(pairs, outputs, strict=True):
            rows = output.prompt_logprobs[-len(option) :]
            value = sum(row[token].logprob for row, token in zip(rows, option, strict=True))
            found.setdefault(one.key, []).append(value)
        return {key: tuple(values) for key, values in found.items()}

    def _answered(self) -> list[Any]:
        from vllm import SamplingParams

        settings = [
            SamplingParams(temperature=0.0, max_tokens=one.decoding.max_new_tokens, stop=list(one.decoding.stop))
            for one in self._requests
        ]
        prompts = [{"prompt_token_ids": list(one.token_ids)} for one in self._requests]
        outputs: list[Any] = self._llm.generate(prompts, settings, use_tqdm=False)
        return outputs


def in_turn(
    llm: Any, runs: Mapping[str, Callable[[Sequence[Questions]], Any]], asked: Sequence[Questions], rounds: int
) -> dict[str, tuple[float, Any]]:
    """The fewest wall seconds of each and its result."""
    found: dict[str, tuple[float, Any]] = {}
    for _ in range(rounds):
        for name, run in runs.items():
            llm.reset_prefix_cache()
            start = time.perf_counter()
            result = run(asked)
            seconds = time.perf_counter() - start
            found[name] = (min(seconds, found[name][0]) if name in found else seconds, result)
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("checkpoint", nargs="?", type=Path, help=f"folder; default: the catalog's {DEMO}")
    arguments.add_argument("--prompts", type=int, default=48)
    arguments.add_argument("--rounds", type=int, default=2, help="turns; the fastest of each counts")
    given = arguments.parse_args()
    settings = Settings.from_environment()
    keep_libraries_at_home(settings.home)

    if given.checkpoint:
        spec = ModelSpec(key="benchmark", checkpoint=f"folder:{given.checkpoint.absolute()}", role="generalist")
    else:
        spec = read_models(settings.catalog_files)[DEMO]
    folder = resolve(spec, settings)
    needs = EngineNeeds(name="vllm", gpus=spec.engine.gpus, context=spec.engine.context)
    spec = spec.model_copy(update={"checkpoint": f"folder:{folder}", "engine": needs})
    with tempfile.TemporaryDirectory() as home:
        # The answers that were kept before are not to be found.
        measured = replace(settings, home=Path(home))
        model = ModelUnderTest(spec, {spec.key: spec}, measured)
        engine = model.engine
        assert isinstance(engine, VllmEngine)
        identity = engine.identity
        print(f"{spec.key}, vLLM {identity.versions['vllm']}, {identity.dtype}, {identity.device}")
        platform = Platform(model, measured.journal)

        for names, kind in ((ANSWERED, "answers"), (SCORED, "scores")):
            asked = questions_of(names, given.prompts, settings)
            prepared = [
                one.request
                for questions in asked
                for one in prepare(questions.task, questions.prompts, model.renderer, model.setup.context)
                if one.request is not None
            ]
            alone = Alone(engine.llm, prepared)
            runs = {"LLM.generate": getattr(alone, kind), "platform": getattr(platform, kind)}
            found = in_turn(engine.llm, runs, asked, given.rounds)
            options = sum(len(one.options) for one in prepared)
            print(f"\n{len(prepared)} prompts answered" + (f", {options} options scored" if options else ""), names)
            base, theirs = found["LLM.generate"]
            for name, (seconds, ours) in found.items():
                print(f"  {name:13} {seconds:6.1f} s  {seconds / base:.2f}  {_agreement(ours, theirs)}")
        model.drop_engine()


def _agreement(ours: Mapping[Key, Any], theirs: Mapping[Key, Any]) -> str:
    if any(isinstance(value, float) for values in theirs.values() for value in values):
        apart = max(abs(a - b) for key in theirs for a, b in zip(ours[key], theirs[key], strict=True))
        return f"largest difference: {apart:.1e}"
    return f"same text: {sum(ours[key] == theirs[key] for key in theirs)} of {len(theirs)}"


if __name__ == "__main__":
    main()
