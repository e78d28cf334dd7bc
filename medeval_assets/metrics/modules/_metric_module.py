"""MetricModule: what the modules share. They differ in what they document, take and compute."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import datasets
import evaluate

from medeval_assets.catalog.task_spec import Example
from medeval_assets.errors import BadInput, Problem, nearest
from medeval_assets.metrics.metric import Metric, Response, Score

_SHARED_DESCRIPTION = """    profile (str): the scoring rules: "corrected" (default), or others that the module names.

Returns:
    dict: for each metric, under its name, its value over all predictions: a fraction, or None where no prediction says
    anything about it. Under `<name>_failure_rate` the share of predictions that could not be read, or None where there
    is no prediction; those count as wrong.

Raises:
    BadInput: inputs of a wrong type or of unequal lengths, or an unknown profile. The message quotes no prediction.

Example:
"""


class MetricModule(evaluate.Metric, ABC):  # type: ignore[misc]  # the library has no types
    """A module of the `evaluate` library over metric objects of this package.

    Abstract, since the library takes the first concrete class that it finds in a file. Predictions stay in memory
    unless several processes share the work; the library would write them to a file, and leave it behind on an error.
    """

    def __init__(self, *args: Any, num_process: int = 1, **settings: Any) -> None:
        super().__init__(*args, num_process=num_process, **{**settings, "keep_in_memory": num_process == 1})

    @abstractmethod
    def _info(self) -> Any: ...

    def add_batch(self, *, predictions: Any = None, references: Any = None) -> None:
        """Add predictions and the references of each. Checked before the library does, whose errors quote texts."""
        texts = _texts("predictions", predictions)
        targets = [
            [_text(where, given)] if isinstance(given, str) else _texts(where, given)
            for where, given in _entries("references", references)
        ]
        if len(texts) != len(targets):
            what = f"there are {len(targets)} for {len(texts)} predictions"
            raise BadInput([Problem("references", what, "Give each prediction its reference, or a list of them.")])
        super().add_batch(predictions=texts, references=targets)

    def add(self, *, prediction: Any = None, reference: Any = None) -> None:
        """Add one prediction and its reference, or a list of references."""
        self.add_batch(predictions=[prediction], references=[reference])

    def compute(self, *, predictions: Any = None, references: Any = None, **inputs: Any) -> Any:
        """Compute the metrics of all that was added and of what is given here."""
        if predictions is None and references is None and self.writer is None:
            raise BadInput([Problem("predictions", "none were given or added", "Give predictions and references.")])
        return super().compute(predictions=predictions, references=references, **inputs)


def module_info(description: str, inputs: str, example: str, citation: str) -> Any:
    """The module's documentation, and the form of predictions and references: texts, and lists of texts.

    inputs: the lines about what `compute` takes beside the profile.
    example: lines of a Python session.
    """
    text = datasets.Value("string")
    return evaluate.MetricInfo(
        description=description,
        citation=citation,
        inputs_description=f"\n\nArgs:\n{inputs}{_SHARED_DESCRIPTION}{example}",
        features=datasets.Features({"predictions": text, "references": datasets.List(text)}),
    )


def responses(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[Response]:
    """Each prediction as an answer to an example of its own, whose targets are its references."""
    return [
        Response(Example(str(number), str(number), {}, tuple(targets)), text)
        for number, (text, targets) in enumerate(zip(predictions, references, strict=True))
    ]


def values(metrics: Sequence[Metric], profile: str, answers: Sequence[Response]) -> dict[str, float | None]:
    """What `compute` returns: value and failure rate of each metric of the profile.

    A metric that reads likelihoods is left out where none were given. Raises BadInput for a profile without metrics.
    """
    profiles = {metric.profile for metric in metrics}
    if profile not in profiles:
        raise BadInput([Problem(f"profile {profile!r}", "the module has no such rules", nearest(profile, profiles))])
    found: dict[str, float | None] = {}
    for metric in metrics:
        if metric.profile == profile:
            scores = [score for score in metric.scores(answers) if score is not None]
            if scores or not metric.reads_likelihood:
                found[metric.name] = _value(scores)
                found[f"{metric.name}_failure_rate"] = _failure_rate(scores)
    return found


def _value(scores: Sequence[Score]) -> float | None:
    total = math.fsum(score.denominator for score in scores)
    return math.fsum(score.numerator for score in scores) / total if total else None


def _failure_rate(scores: Sequence[Score]) -> float | None:
    return sum(bool(score.failure) for score in scores) / len(scores) if scores else None


def _entries(name: str, given: Any) -> list[tuple[str, Any]]:
    """Where each entry of a list stands, beside the entry."""
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        what = f"expected a list, found {type(given).__name__}"
        raise BadInput([Problem(name, what, "Give a list with one entry for each prediction.")])
    return [(f"{name}[{number}]", entry) for number, entry in enumerate(given)]


def _texts(name: str, given: Any) -> list[str]:
    return [_text(where, entry) for where, entry in _entries(name, given)]


def _text(where: str, given: Any) -> str:
    if not isinstance(given, str):
        raise BadInput([Problem(where, f"expected a string, found {type(given).__name__}", "Give texts.")])
    # Arrow holds no lone surrogate.
    return given if given.isascii() else given.encode("utf-8", "replace").decode("utf-8")
