"""How fast differences are bootstrapped: this project and `scipy.stats.bootstrap`, on the same scores in one process.

Run: python benchmarks/resampling.py [--comparisons N] [--examples N] [--rounds N]
Both take 10,000 resamples of the paired differences and their percentiles. scipy is given one comparison at a time, a
few of them, and its time is scaled to all; it is called as its documentation does, and in the fastest way found.
Prints seconds, the ratio to ours, and how far the intervals agree.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, norm

from medeval_assets.statistics.paired import PairedScores, compare
from medeval_assets.statistics.resampling import RESAMPLES, bootstrap_sums, percentile_ends

Array = NDArray[np.float64]

SCIPY_COMPARISONS = 3


def scores(comparisons: int, examples: int) -> tuple[Array, Array]:
    """Scores of two models in [0, 1]: (comparisons, examples) each."""
    generator = np.random.default_rng(1)
    a = generator.beta(2, 3, (comparisons, examples))
    return a, np.clip(a + generator.normal(0.01, 0.2, a.shape), 0, 1)


def ours(a: Array, b: Array) -> Array:
    """(2, comparisons) ends of the intervals."""
    return percentile_ends(bootstrap_sums(a - b) / a.shape[1], np.full(len(a), a.shape[1]))


def everything(a: Array, b: Array) -> Array:
    one = np.ones_like(a)
    estimates = compare(PairedScores(a, one, b, one, np.arange(a.shape[1])))
    return np.array([(each.bootstrap_low, each.bootstrap_high) for each in estimates]).T


def scipy_paired(a: Array, b: Array) -> Array:
    def mean_difference(x: Array, y: Array, axis: int) -> Array:
        difference: Array = np.mean(x - y, axis=axis)
        return difference

    found = [
        bootstrap((x, y), mean_difference, paired=True, n_resamples=RESAMPLES, method="percentile", rng=1)
        for x, y in zip(a, b, strict=True)
    ]
    return np.array([each.confidence_interval for each in found]).T


def scipy_differences(a: Array, b: Array) -> Array:
    found = [bootstrap((row,), np.mean, n_resamples=RESAMPLES, batch=100, method="percentile", rng=1) for row in a - b]
    return np.array([each.confidence_interval for each in found]).T


def timed(run: Callable[[Array, Array], Array], a: Array, b: Array) -> tuple[float, Array]:
    start = time.perf_counter()
    ends = run(a, b)
    return time.perf_counter() - start, ends


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--comparisons", type=int, default=100)
    arguments.add_argument("--examples", type=int, default=1000)
    arguments.add_argument("--rounds", type=int, default=3, help="turns; the fastest of each counts")
    given = arguments.parse_args()
    few = min(SCIPY_COMPARISONS, given.comparisons)
    whole = slice(None)
    runs: dict[str, tuple[Callable[[Array, Array], Array], slice]] = {
        "ours, draws made anew": (ours, whole),
        "ours, draws at hand": (ours, whole),
        "ours, with t interval, sign flips and power": (everything, whole),
        f"scipy, pairs ({few} timed, scaled)": (scipy_paired, slice(few)),
        f"scipy, differences, batches of 100 ({few} timed, scaled)": (scipy_differences, slice(few)),
    }
    timed(ours, *scores(2, 50))  # the first call imports
    timed(everything, *scores(2, 50))
    best: dict[str, float] = {}
    ends: dict[str, Array] = {}
    a, b = scores(given.comparisons, given.examples)
    for turn in range(given.rounds):
        # One example less a turn: no draws are at hand for their number, and the first of ours makes them.
        a, b = a[:, : given.examples - turn], b[:, : given.examples - turn]
        for name, (run, rows) in runs.items():
            seconds, ends[name] = timed(run, a[rows], b[rows])
            seconds *= given.comparisons / len(a[rows])
            best[name] = min(seconds, best.get(name, seconds))
    print(f"{given.comparisons} comparisons, {given.examples:,} examples, {RESAMPLES:,} resamples")
    base, reference = best["ours, draws made anew"], ends["ours, draws made anew"]
    error = (a - b).std(axis=1, ddof=1) / np.sqrt(a.shape[1])
    for name, seconds in best.items():
        rows = runs[name][1]
        apart = np.max(np.abs(ends[name] - reference[:, rows]) / error[rows])
        print(f"  {name:58} {seconds:7.2f} s  {seconds / base:6.1f}  ends within {apart:.2f} standard errors")
    expected = np.sqrt(2 * 0.025 * 0.975 / RESAMPLES) / norm.pdf(norm.ppf(0.025))
    print(f"  Two bootstraps of {RESAMPLES:,} resamples differ by about {expected:.2f} standard errors at an end.")


if __name__ == "__main__":
    main()
