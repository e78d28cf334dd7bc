"""Simulations: how often intervals hold the truth, and how often tests find a difference where there is none.

Samples are drawn from populations whose value is known. A 95 % interval is to hold it in 93.5 to 96.5 % of samples of
200 examples, and in 92 % at least of samples of 30. A test at 5 % is to reject in 3.5 to 6 % where both models are
alike. With 4,000 samples a share of 5 % is known within about 0.7 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from medeval_assets.statistics.intervals import BOOTSTRAP, CLUSTERED, WILSON, WILSON_CLUSTERS, ratio
from medeval_assets.statistics.multiplicity import holm
from medeval_assets.statistics.paired import MCNEMAR, SIGN_FLIP, PairedEstimate, PairedScores, compare
from medeval_assets.statistics.resampling import bootstrap_sums, percentile_ends

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, int], Array]

PairedDraw = Callable[[np.random.Generator, int, int, int, float], PairedScores]

SAMPLES = 4000


def holds_as_often_as_it_says(coverage: float, n: int) -> bool:
    return 0.935 <= coverage <= 0.965 if n >= 200 else coverage >= 0.92


def share(ends: Sequence[tuple[float | None, float | None]], truth: float) -> float:
    held = [low is not None and high is not None and low <= truth <= high for low, high in ends]
    return sum(held) / len(held)


def names(n: int, size: int) -> list[str]:
    return [f"patient {index // size}" for index in range(n)]


@pytest.mark.parametrize("n", [30, 200])
@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.64, 0.85])
def test_intervals_of_proportions(n: int, p: float) -> None:
    """Every sample there can be, weighted by its chance: no simulation is needed."""
    chances = binom.pmf(np.arange(n + 1), n, p)
    estimates = [ratio([1.0] * right + [0.0] * (n - right), [1.0] * n, names(n, 1)) for right in range(n + 1)]
    assert {estimate.method for estimate in estimates} == {WILSON}
    held = [e.low is not None and e.high is not None and e.low <= p <= e.high for e in estimates]
    assert holds_as_often_as_it_says(float(chances[held].sum()), n)


def beta(a: float, b: float) -> Draw:
    return lambda generator, samples, n: generator.beta(a, b, (samples, n))


def mostly_zero(generator: np.random.Generator, samples: int, n: int) -> Array:
    """A score that is 0 for four of five, and around a half for the rest: its mean is 0.1."""
    return generator.beta(2, 2, (samples, n)) * (generator.random((samples, n)) < 0.2)


@pytest.mark.parametrize("n", [30, 200])
@pytest.mark.parametrize(
    ("draw", "mean"), [(beta(2, 5), 2 / 7), (beta(1, 9), 0.1), (beta(9, 1), 0.9), (mostly_zero, 0.1)]
)
def test_intervals_of_skewed_means(draw: Draw, mean: float, n: int) -> None:
    samples = draw(np.random.default_rng(1), SAMPLES, n).tolist()
    estimates = [ratio(sample, [1.0] * n, names(n, 1)) for sample in samples]
    assert {estimate.method for estimate in estimates} <= {CLUSTERED, WILSON}
    assert holds_as_often_as_it_says(share([(e.low, e.high) for e in estimates], mean), n)


@pytest.mark.parametrize(("n", "size"), [(30, 3), (30, 2), (200, 4)])
@pytest.mark.parametrize(("a", "b"), [(2.0, 5.0), (6.0, 2.0)])
def test_intervals_of_clustered_means(a: float, b: float, n: int, size: int) -> None:
    """Examples of one patient score around the patient's own mean."""
    generator = np.random.default_rng(2)
    means = np.repeat(generator.beta(a, b, (SAMPLES, n // size)), size, axis=1)
    estimates = [
        ratio(sample, [1.0] * n, names(n, size)) for sample in generator.beta(8 * means, 8 * (1 - means)).tolist()
    ]
    assert holds_as_often_as_it_says(share([(e.low, e.high) for e in estimates], a / (a + b)), n)


@pytest.mark.parametrize(("n", "size"), [(30, 3), (30, 2), (200, 4)])
@pytest.mark.parametrize("correlation", [0.1, 0.3])
@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.64, 0.85])
def test_intervals_of_clustered_proportions(p: float, correlation: float, n: int, size: int) -> None:
    """Patients have chances of their own: two answers for one patient have this correlation."""
    generator = np.random.default_rng(3)
    spread = 1 / correlation - 1
    chances = np.repeat(generator.beta(p * spread, (1 - p) * spread, (SAMPLES, n // size)), size, axis=1)
    samples = (generator.random((SAMPLES, n)) < chances).astype(float).tolist()
    estimates = [ratio(sample, [1.0] * n, names(n, size)) for sample in samples]
    assert {estimate.method for estimate in estimates} <= {CLUSTERED, WILSON_CLUSTERS}
    assert holds_as_often_as_it_says(share([(e.low, e.high) for e in estimates], p), n)


def test_examples_of_one_patient_are_not_independent() -> None:
    """Intervals that take 200 answers for 40 patients for independent are too narrow.

    With a correlation r of 1/7 their variance misses the factor 1 + (5 - 1)·r = 1.57: they hold the truth in 88 %.
    """
    generator = np.random.default_rng(20240601)
    chances = np.repeat(generator.beta(3, 3, (SAMPLES, 40)), 5, axis=1)
    samples = (generator.random((SAMPLES, 200)) < chances).astype(float).tolist()
    estimates = [ratio(sample, [1.0] * 200, names(200, 1)) for sample in samples]
    assert 0.86 <= share([(e.low, e.high) for e in estimates], 0.5) <= 0.9


def mentions(
    generator: np.random.Generator, samples: int, n: int, size: int, recall: tuple[float, float]
) -> tuple[Array, Array, float]:
    """Numerators 2·tp and denominators 2·tp + fp + fn of n examples, and the micro F1 of what they are drawn from.

    Patients differ in how many mentions there are, one an example at least and three on average, and in how many of
    them are found.
    """
    load = np.repeat(generator.gamma(2, 0.5, (samples, n // size)), size, axis=1)
    found = np.repeat(generator.beta(*recall, (samples, n // size)), size, axis=1)
    gold = 1 + generator.poisson(2 * load)
    hits = generator.binomial(gold, found)
    wrong = generator.poisson(0.7 * load)
    mean = recall[0] / sum(recall)
    under = (hits + wrong + gold).astype(np.float64)
    over = (2 * hits).astype(np.float64)
    return over, under, 2 * 3 * mean / (3 * mean + 0.7 + 3)


@pytest.mark.parametrize(("n", "size"), [(30, 1), (30, 3), (200, 1), (200, 4)])
@pytest.mark.parametrize("recall", [(6.0, 2.0), (2.0, 5.0), (9.0, 1.0)])
def test_intervals_of_micro_f1(recall: tuple[float, float], n: int, size: int) -> None:
    over, under, truth = mentions(np.random.default_rng(4), SAMPLES, n, size, recall)
    # `ratio` takes one sample at a time; its first intervals show that these are the same, all at once.
    sums = [part.reshape(SAMPLES, n // size, size).sum(axis=2) for part in (over, under)]
    ends = percentile_ends(bootstrap_sums(sums[0]) / bootstrap_sums(sums[1]), np.full(SAMPLES, n // size))
    for sample in range(3):
        estimate = ratio(over[sample].tolist(), under[sample].tolist(), names(n, size))
        assert estimate.method == BOOTSTRAP
        assert (estimate.low, estimate.high) == pytest.approx(tuple(ends[:, sample]))
    assert holds_as_often_as_it_says(float(np.mean((ends[0] <= truth) & (truth <= ends[1]))), n)


def means_of(a: Array, b: Array, size: int) -> PairedScores:
    one = np.ones_like(a)
    return PairedScores(a, one, b, one, np.arange(a.shape[1]) // size)


def close_scores(generator: np.random.Generator, samples: int, n: int, size: int, gain: float) -> PairedScores:
    """Two skewed scores in [0, 1] around what is within reach for a patient, 1/3 on average.

    A makes up the share `gain` of what B lacks: the difference is gain·2/3.
    """
    reach = np.repeat(generator.beta(2, 4, (samples, n // size)), size, axis=1)
    a, b = (generator.beta(6 * level, 6 * (1 - level)) for level in (reach + gain * (1 - reach), reach))
    return means_of(a, b, size)


def right_or_wrong(generator: np.random.Generator, samples: int, n: int, size: int, gain: float) -> PairedScores:
    """The models answer differently in a quarter of all examples, in more for some patients: the difference is gain."""
    chances = np.repeat(generator.beta(1.5, 4.5, (samples, n // size)), size, axis=1)
    differs, a_is_right = generator.random((2, samples, n)) < np.stack([chances, np.full_like(chances, 0.5 + 2 * gain)])
    both = generator.random((samples, n)) < 0.6
    a, b = np.where(differs, a_is_right, both), np.where(differs, ~a_is_right, both)
    return means_of(a.astype(float), b.astype(float), size)


def found_mentions(generator: np.random.Generator, samples: int, n: int, size: int, gain: float) -> PairedScores:
    """Micro F1 of two models on the same mentions; A finds the share 0.6 + gain of them and B 0.6."""
    gold = generator.poisson(3 * np.repeat(generator.gamma(2, 0.5, (samples, n // size)), size, axis=1))
    parts: list[Array] = []
    for recall in (0.6 + gain, 0.6):
        hits, wrong = generator.binomial(gold, recall), generator.poisson(0.7, (samples, n))
        parts += [part.astype(np.float64) for part in (2 * hits, hits + wrong + gold)]
    return PairedScores(parts[0], parts[1], parts[2], parts[3], np.arange(n) // size)


def micro_f1(recall: float) -> float:
    return 2 * 3 * recall / (3 * recall + 0.7 + 3)


PAIRS: list[tuple[PairedDraw, float, float]] = [
    (close_scores, 0.15, 0.1),
    (right_or_wrong, 0.1, 0.1),
    (found_mentions, 0.1, micro_f1(0.7) - micro_f1(0.6)),
]


@pytest.mark.parametrize(("n", "size"), [(30, 1), (30, 3), (200, 1), (200, 4)])
@pytest.mark.parametrize(("draw", "gain", "difference"), PAIRS)
def test_intervals_of_differences(draw: PairedDraw, gain: float, difference: float, n: int, size: int) -> None:
    estimates = compare(draw(np.random.default_rng(5), SAMPLES, n, size, gain))
    assert holds_as_often_as_it_says(share([(e.low, e.high) for e in estimates], difference), n)
    drawn = [(e.bootstrap_low, e.bootstrap_high) for e in estimates if e.test == "sign_flip"]
    assert bool(drawn) == (draw is not right_or_wrong or size > 1)
    assert not drawn or holds_as_often_as_it_says(share(drawn, difference), n)


def rejected(estimates: Sequence[PairedEstimate]) -> float:
    return sum(e.p is not None and e.p <= 0.05 for e in estimates) / len(estimates)


@pytest.mark.parametrize(
    ("draw", "n", "size"),
    [
        (close_scores, 30, 1),
        (close_scores, 30, 2),
        (close_scores, 200, 4),
        (found_mentions, 30, 1),
        (found_mentions, 30, 2),
        (found_mentions, 200, 4),
        # Answers that are right or wrong leave few values for p where few of them differ: the test is then careful.
        (right_or_wrong, 200, 4),
    ],
)
def test_sign_flips_of_models_that_are_alike(draw: PairedDraw, n: int, size: int) -> None:
    estimates = compare(draw(np.random.default_rng(6), SAMPLES, n, size, 0.0))
    assert {estimate.test for estimate in estimates} == {SIGN_FLIP}
    assert 0.035 <= rejected(estimates) <= 0.06


def test_mcnemar_of_models_that_are_alike() -> None:
    """It is exact, so it rejects too rarely where few answers differ; of these 1,000 a quarter does."""
    estimates = compare(right_or_wrong(np.random.default_rng(7), SAMPLES // 2, 1000, 1, 0.0))
    assert {estimate.test for estimate in estimates} == {MCNEMAR}
    assert 0.035 <= rejected(estimates) <= 0.06


@pytest.mark.parametrize("worse", [0, 5])
def test_holm_keeps_the_error_of_a_family(worse: int) -> None:
    """Families of 10 comparisons of a model with others on the same 60 examples, of which `worse` are worse.

    In 5 % of families at most a model that is alike may come out as different; 600 families show that within 2 %.
    """
    generator = np.random.default_rng(8)
    reach = np.repeat(generator.beta(2, 4, (600, 1, 30)), 2, axis=2)
    scores = generator.beta(6 * reach, 6 * (1 - reach), (600, 11, 60))
    scores[:, 11 - worse :] *= 0.6
    a, b = np.repeat(scores[:, :1], 10, axis=1), scores[:, 1:]
    p = iter([estimate.p for estimate in compare(means_of(a.reshape(6000, 60), b.reshape(6000, 60), 2))])
    families = [holm([next(p) for _ in range(10)]) for _ in range(600)]
    found = [[value is not None and value <= 0.05 for value in family] for family in families]
    assert sum(any(family[: 10 - worse]) for family in found) / 600 <= 0.07
    assert all(any(family[10 - worse :]) for family in found) or not worse
