"""LoadedCheckpoint: answers of a model that is loaded here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.engines.generations import Generation, generate
from medeval_assets.engines.model_under_test import ModelUnderTest
from medeval_assets.engines.respondent import Questions


class LoadedCheckpoint:
    """A respondent that loads its model when the first prompts have to be answered."""

    reads = ("prompt_sets",)

    def __init__(self, model: ModelUnderTest) -> None:
        self._model = model

    def identity(self, task: TaskSpec) -> Mapping[str, str]:
        return asdict(self._model.identity)

    def parameters(self, task: TaskSpec) -> Mapping[str, Any]:
        return {
            "decoding": asdict(task.decoding),
            "documents": asdict(task.documents) if task.documents else None,
            "engine": "transformers",
            "dtype": self._model.spec.engine.dtype,
            "context": self._model.spec.engine.context,
        }

    def answer(self, questions: Questions, on_batch: Callable[[int], None]) -> list[Generation]:
        engine = self._model.engine
        return generate(
            questions.task,
            questions.prompts,
            engine,
            self._model.renderer,
            request_salt=f"{self._model.identity.identity_sha256} {engine.identity.name} {engine.identity.dtype}",
            on_batch=on_batch,
        )

    def environment(self) -> Mapping[str, str]:
        identity = self._model.engine.identity
        return {"engine": identity.name, "dtype": identity.dtype, "device": identity.device, **identity.versions}
