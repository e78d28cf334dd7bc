"""Degenerate outputs as a module of the `evaluate` library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from medeval_assets.metrics.intact import INTACT
from medeval_assets.metrics.metric import CORRECTED, Response
from medeval_assets.metrics.modules._metric_module import MetricModule, module_info, responses, values
from medeval_assets.parsers.degenerate import OTHER_LANGUAGE, PROMPT_ECHO, REPETITION, ROLE_TOKENS
from medeval_assets.parsers.parsed import EMPTY

_DESCRIPTION = """
Share of answers that are no attempt at the task, as a wrong chat template makes them; range 0 to 1, lower is better.

degenerate is that share, and intact the share of the others. degenerate_empty, degenerate_role_tokens,
degenerate_repetition, degenerate_prompt_echo and degenerate_other_language are its parts, and sum to it; an answer is
of the first kind that it fits. Nothing visible is empty; chat markup such as <|im_start|> is role tokens; repetition is
half of all stretches of four words said before; prompt echo is half of all words in stretches of 20 that stand in the
prompt; other language is function words of another language than English, or letters that are mostly not Latin. Every
answer can be judged, so none fails to be read.
"""
_INPUTS = """    predictions (list of str): answers.
    references (list of str, or of lists of str): the text or texts that the model was given for each prediction; an
        empty list where they are not known, which then are no prompt echo.
"""
_EXAMPLE = """
    >>> import evaluate
    >>> degenerate = evaluate.load("medeval_assets/metrics/modules/degenerate.py")
    >>> answers = ["Take it after meals.", "", "no " * 40, "Take it.<|im_end|>"]
    >>> result = degenerate.compute(predictions=answers, references=[[], [], [], []])
    >>> result["degenerate"], result["degenerate_repetition"], result["degenerate_other_language"]
    (0.75, 0.25, 0.0)
"""
_CITATION = """
@inproceedings{welleck2020unlikelihood,
    title = "Neural Text Generation with Unlikelihood Training",
    author = "Welleck, Sean and others",
    booktitle = "International Conference on Learning Representations",
    year = "2020"
}
"""
_KINDS = (EMPTY, ROLE_TOKENS, REPETITION, PROMPT_ECHO, OTHER_LANGUAGE)


class Degenerate(MetricModule):
    """Degenerate outputs by kind; `inputs_description` has the details."""

    def _info(self) -> Any:
        return module_info(_DESCRIPTION, _INPUTS, _EXAMPLE, _CITATION)

    def _compute(
        self, *, predictions: Sequence[str], references: Sequence[Sequence[str]], profile: str = CORRECTED
    ) -> dict[str, float | None]:
        answers = [_given(answer) for answer in responses(predictions, references)]
        found = values([INTACT], profile, answers)
        kinds = Counter(score.rule for score in INTACT.scores(answers) if score)
        parts = {f"degenerate_{kind}": kinds[kind] / len(answers) if answers else None for kind in _KINDS}
        return found | {"degenerate": sum(map(kinds.__getitem__, _KINDS)) / len(answers) if answers else None} | parts


def _given(answer: Response) -> Response:
    """The same with its targets as what the model was given."""
    inputs = {str(number): text for number, text in enumerate(answer.example.targets)}
    return replace(answer, example=replace(answer.example, inputs=inputs, targets=()))
