"""The CLUE benchmark's scoring of June 2024 (TIO-IKIM/CLUE at ff75877), as ladders of rules.

A ladder leads from a metric of this project to the benchmark's own number, bugs included: each rung obeys one rule more
than the one below it, so that a reader sees what each rule changes. What that code did to each task:

| task | answer | read by | first example | BERTScore by |
| --- | --- | --- | --- | --- |
| mednli | cut | the right label occurs once | counts twice | |
| meqsum | cut | | counts twice | SciBERT, layer 8 |
| problem_summary | cut; lower-cased for BERTScore | | counts twice | Bio_ClinicalBERT, layer 9 |
| medisumqa | cut at the end mark only | | counts twice | Bio_ClinicalBERT, layer 9 |
| medisumcode | cut | the benchmark's pattern of codes | counts twice | |
| longhealth_1 | cut at the end mark only | a fixed phrase, an option containing the text | | |
| longhealth_2 | | the same | | |
| longhealth_3 | | a fixed phrase | | |

January 2025's code (2de4314) neither cuts nor lower-cases, counts the first example twice in mednli and medisumcode
only, and uses SciBERT throughout.

Not reproduced, as a score cannot know it: the end mark was looked for in the answers of models with "phi" in their
name alone, and is here in all; the references of problem_summary ended in a comma where the file has a final semicolon,
which BERTScore sees; repeats among the assigned codes of medisumcode, and letters without codes, which the reader
leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from medeval_assets.metrics.metric import CLUE, CORRECTED, Metric, Response, Score

Before = Callable[[Response], Response]
After = Callable[[Sequence[Score | None]], list[Score | None]]

_END_MARK = " <|end|>"
# The full stop does not match a line break: what a model writes below such a line stays.
_NEXT_PROMPT = re.compile(r"(?:You are an AI|\[INST\]|<\|user\|>).*")


@dataclass(frozen=True)
class Rung:
    """A metric under some of the benchmark's rules; a metric itself.

    metric: what reads and scores an answer.
    rule: the last rule applied.
    before: what is done to each response before it is read, in order.
    after: what is done to the scores of all responses, in order.
    """

    metric: Metric
    rule: str = ""
    profile: str = CORRECTED
    before: tuple[Before, ...] = ()
    after: tuple[After, ...] = ()

    @property
    def name(self) -> str:
        return self.metric.name

    @property
    def title(self) -> str:
        return self.metric.title

    @property
    def reads_likelihood(self) -> bool:
        return self.metric.reads_likelihood

    def scores(self, responses: Sequence[Response]) -> list[Score | None]:
        scores = self.metric.scores([reduce(lambda last, do: do(last), self.before, one) for one in responses])
        return reduce(lambda last, do: do(last), self.after, scores)


@dataclass(frozen=True)
class Rule:
    """One rule of the benchmark. apply: a rung → the same with this rule on top of its own."""

    name: str
    apply: Callable[[Rung], Rung]


def ladder(metric: Metric, rules: Sequence[Rule]) -> tuple[Rung, ...]:
    """A rung for each rule, each with all rules up to it: profile `clue-2024-06.<rule>`, the last one `clue-2024-06`.

    Without a rule there is no rung.
    """
    rungs: list[Rung] = []
    rung = Rung(metric)
    for number, rule in enumerate(rules, 1):
        profile = CLUE if number == len(rules) else f"{CLUE}.{rule.name}"
        rung = replace(rule.apply(rung), rule=rule.name, profile=profile)
        rungs.append(rung)
    return tuple(rungs)


def changing(name: str, change: Before) -> Rule:
    """A rule that changes a response before it is read."""
    return Rule(name, lambda rung: replace(rung, before=(*rung.before, change)))


def reading(name: str, metric: Metric) -> Rule:
    """A rule by which another metric reads the answer. It has the same name."""
    return Rule(name, lambda rung: replace(rung, metric=metric))


def counting(name: str, count: After) -> Rule:
    """A rule that changes what the scores count."""
    return Rule(name, lambda rung: replace(rung, after=(*rung.after, count)))


def cut_at_end_mark(response: Response) -> Response:
    """The answer up to ` <|end|>`."""
    return replace(response, text=response.text.partition(_END_MARK)[0])


def cut_next_prompt(response: Response) -> Response:
    """The answer up to ` <|end|>`, without what follows `You are an AI`, `[INST]` or `<|user|>` on the same line."""
    answer = cut_at_end_mark(response)
    return replace(answer, text=_NEXT_PROMPT.sub("", answer.text))


def first_twice(scores: Sequence[Score | None]) -> list[Score | None]:
    """The first score twice in numerator, denominator and what a right answer would add."""
    return [score and _doubled(score) for score in scores[:1]] + list(scores[1:])


def _doubled(score: Score) -> Score:
    return replace(score, numerator=2 * score.numerator, denominator=2 * score.denominator, perfect=2 * score.perfect)


END_MARK = changing("cut", cut_at_end_mark)
CUT = changing("cut", cut_next_prompt)
FIRST_TWICE = counting("first_twice", first_twice)
