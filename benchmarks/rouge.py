"""ROUGE-1, ROUGE-2 and ROUGE-L of answers, ours against `rouge-score`, on the same pairs in turn.

Run: make bench-statistics. Each kind of pair: the median seconds of ours and of the peer, and their ratio; exits 1
where a value differs in any bit. Ours is what scoring calls: metric objects on responses, which make a score object
for each value. The peer takes long on long pairs and is timed on some of them, in proportion.

The gain grows with the length of the texts. For short ones most of the time goes into making score objects.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rouge_score.rouge_scorer import RougeScorer

from medeval_assets.catalog.task_spec import Example
from medeval_assets.metrics.metric import Response
from medeval_assets.metrics.rouge import ROUGE

TURNS = 5
NAMES = [metric.name for metric in ROUGE]


@dataclass(frozen=True)
class Kind:
    """Pairs of one kind: how many, tokens of reference and answer, and how many of them the peer is timed on."""

    title: str
    pairs: int
    reference: int
    answer: int
    timed: int


KINDS = (
    Kind("questions (meqsum)", 1000, 10, 12, 1000),
    Kind("questions, answered at length", 1000, 10, 150, 200),
    Kind("answers (medisumqa)", 1000, 60, 80, 100),
    Kind("summaries", 200, 600, 600, 4),
)


def responses(kind: Kind) -> list[Response]:
    """Answers that share about half of their words with their references, from words as frequent as in prose."""
    draw = random.Random(kind.title)
    words = [f"w{number}" for number in range(4000)]
    frequency = [1 / rank for rank in range(1, len(words) + 1)]
    made: list[Response] = []
    for number in range(kind.pairs):
        reference = draw.choices(words, frequency, k=kind.reference)
        answer = [
            draw.choice(reference) if draw.random() < 0.5 else word
            for word in draw.choices(words, frequency, k=kind.answer)
        ]
        example = Example(str(number), str(number), {}, (" ".join(reference),))
        made.append(Response(example, " ".join(answer)))
    return made


def ours(answers: Sequence[Response]) -> list[list[float]]:
    """F1 by metric and answer."""
    return [[score.numerator for score in metric.scores(answers) if score] for metric in ROUGE]


def peer(answers: Sequence[Response]) -> list[list[float]]:
    """The same by `rouge-score`."""
    scorer = RougeScorer(NAMES)
    scored = [scorer.score(answer.example.targets[0], answer.text) for answer in answers]
    return [[float(scores[name].fmeasure) for scores in scored] for name in NAMES]


def main() -> int:
    different = 0
    sums = [0.0, 0.0]
    for kind in KINDS:
        answers = responses(kind)
        few = answers[: kind.timed]
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(TURNS):
            ours(few[:1])  # the last batch is remembered: after another one it is counted anew
            start = time.perf_counter()
            found = ours(answers)
            between = time.perf_counter()
            expected = peer(few)
            seconds[0].append(between - start)
            seconds[1].append((time.perf_counter() - between) * kind.pairs / kind.timed)
            different += [values[: kind.timed] for values in found] != expected
        mine, theirs = map(statistics.median, seconds)
        sums = [sums[0] + mine, sums[1] + theirs]
        print(
            f"{kind.pairs} {kind.title}, {kind.answer} tokens against {kind.reference}: ours {mine * 1e3:.1f} ms, "
            f"rouge-score {theirs * 1e3:.0f} ms (timed on {kind.timed}), ratio {theirs / mine:.0f}"
        )
    print(f"all: ours {sums[0] * 1e3:.1f} ms, rouge-score {sums[1] * 1e3:.0f} ms, ratio {sums[1] / sums[0]:.0f}")
    print("equal to the last bit" if not different else f"DIFFERENT VALUES in {different} turns")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
