"""Measured: what answering took so far, read from the journal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from medeval_assets.engines.journal import Entry
from medeval_assets.engines.model_under_test import ModelUnderTest
from medeval_assets.plan.plan import AT_MOST, MEASURED, MEASURED_FOR_OTHERS, MEASURED_ON_OTHER_TASKS

CPU = "cpu"


@dataclass(frozen=True)
class Measured:
    """Sums over batches of one task."""

    answers: int
    prompt_tokens: int
    generated_tokens: int
    seconds: float

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Measured:
        answers, prompt_tokens, generated_tokens, seconds = 0, 0, 0, 0.0
        for entry in entries:
            answers += len(entry.answers)
            prompt_tokens += entry.prompt_tokens
            generated_tokens += entry.generated_tokens
            seconds += entry.seconds
        return cls(answers, prompt_tokens, generated_tokens, seconds)


class Measurements:
    """What a model's journal says of each task. tasks: all there are."""

    def __init__(self, model: ModelUnderTest, tasks: Iterable[str]) -> None:
        self._model = model
        self._tasks = list(tasks)
        self._known: dict[str, Measured] = {}

    def generated_per_answer(self, task: str, most: int) -> tuple[float, str]:
        """How many tokens an answer has on average, and where that is from; at most `most`."""
        if self._model.spec.kind == "encoder":
            return 0.0, ""
        own = self._of(task)
        if own.answers:
            return own.generated_tokens / own.answers, MEASURED
        others = Measured.of(self._model.journal.entries_of_others(task))
        if others.answers:
            return min(others.generated_tokens / others.answers, most), MEASURED_FOR_OTHERS
        return most, AT_MOST

    def seconds(
        self, task: str, requests: int, prompt_tokens: int | None, generated: float
    ) -> tuple[float | None, str]:
        """How long so many requests take together, and where that is from; None where nothing says it.

        Where the task was measured, in proportion to its tokens, or to its answers where tokens are not known. Else
        prompt and generated tokens each have their own price, fitted to the other tasks.
        """
        own = self._of(task)
        if own.answers and own.seconds:
            tokens = own.prompt_tokens + own.generated_tokens
            if prompt_tokens is None or not tokens:
                return own.seconds / own.answers * requests, MEASURED
            return own.seconds / tokens * (prompt_tokens + generated), MEASURED
        others = [found for found in map(self._of, self._tasks) if found.seconds]
        if not others or prompt_tokens is None:
            return None, ""
        of_prompts, of_generated = _prices(others)
        return of_prompts * prompt_tokens + of_generated * generated, MEASURED_ON_OTHER_TASKS

    def _of(self, task: str) -> Measured:
        """This model's batches on this engine and dtype, on a GPU or not as it would be now."""
        if task not in self._known:
            setup = self._model.setup
            self._known[task] = Measured.of(
                entry
                for entry in self._model.journal.entries(task)
                if setup.engine == "openai" or (entry.environment.get("device") != CPU) == setup.on_gpu
            )
        return self._known[task]


def _prices(measured: list[Measured]) -> tuple[float, float]:
    """Seconds for a prompt's token and for a generated one, neither negative, that fit what was measured best."""
    from scipy.optimize import nnls

    tokens = [[one.prompt_tokens, one.generated_tokens] for one in measured]
    of_prompts, of_generated = nnls(tokens, [one.seconds for one in measured])[0]
    if of_prompts and of_generated:
        return float(of_prompts), float(of_generated)
    # Too few or too similar tasks to tell the two apart.
    each = sum(one.seconds for one in measured) / max(1, sum(map(sum, tokens)))
    return each, each
