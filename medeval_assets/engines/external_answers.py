"""ExternalAnswers: answers that were produced elsewhere and lie in files."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medeval_assets.catalog.external import generations_file
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.engines.generations import Generation
from medeval_assets.engines.respondent import OnBatch, Outcome, Questions, task_by_task
from medeval_assets.errors import BadInput, Problem
from medeval_assets.metrics.predictions_file import Prediction, PredictionsFile, read_predictions

_log = logging.getLogger(__name__)


class ExternalAnswers:
    """A respondent that reads its answers from the model's predictions file of the task.

    A prompt without a prediction has no generation, and a prediction for no prompt is passed over.
    """

    reads = ("prompt_sets",)

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._files: dict[str, PredictionsFile] = {}

    def identity(self, task: TaskSpec) -> Mapping[str, str]:
        return {"checkpoint": self._spec.checkpoint_name, "file_sha256": self._file(task).sha256}

    def parameters(self, task: TaskSpec) -> Mapping[str, Any]:
        return {"engine": "external"}

    def answer(self, asked: Sequence[Questions], on_batch: OnBatch) -> Iterator[Outcome]:
        """An error where no prompt of a task has a prediction."""
        return task_by_task(asked, self._answered, {"engine": "external"}, on_batch)

    def _answered(self, questions: Questions) -> list[Generation]:
        name = f"{self._spec.key} × {questions.task.name}"
        predictions = {one.example_id: one for one in self._file(questions.task).predictions}
        answered = [prompt for prompt in questions.prompts if prompt.example_id in predictions]
        if not answered:
            what = f"none of the {len(questions.prompts)} prompts has a prediction"
            raise BadInput([Problem(name, what, "Register predictions for the examples of today's dataset.")])
        others = sum(
            predictions[prompt.example_id].prompt_sha256 not in ("", prompt.prompt_sha256) for prompt in answered
        )
        if others:
            _log.warning("%s: %d of %d predictions answer other prompts than today's", name, others, len(answered))
        return [generation_of(predictions[prompt.example_id]) for prompt in answered]

    def _file(self, task: TaskSpec) -> PredictionsFile:
        if task.name not in self._files:
            path = generations_file(self._spec, task.name)
            if not path.is_file():
                where = f"{self._spec.key} × {task.name}"
                remedy = f"Register a file: medeval evaluate -m {self._spec.key} -g {task.name}=<file>."
                raise BadInput([Problem(where, "there are no predictions of this model for the task", remedy)])
            self._files[task.name] = read_predictions(path)
        return self._files[task.name]


def generation_of(prediction: Prediction) -> Generation:
    """A prediction as a row of the generations table. Its prompt's hash is the one that it came with."""
    return Generation(
        example_id=prediction.example_id,
        prompt_sha256=prediction.prompt_sha256,
        text=prediction.text,
        finish_reason=prediction.finish_reason,
    )
