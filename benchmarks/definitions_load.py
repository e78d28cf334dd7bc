"""How long the definitions take to load, against bare Dagster, in fresh processes in turn.

Run: make bench. Prints medians and their ratio; exits 1 if a library that must stay out was imported.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

HEAVY = ("torch", "transformers", "vllm", "evaluate", "datasets", "bert_score")
OURS = "import medeval_assets.definitions, sys; print(*(name for name in {heavy!r} if name in sys.modules))"
BARE = "import dagster; dagster.Definitions()"
RUNS = 9


def seconds_and_output(program: str) -> tuple[float, str]:
    """Wall seconds of a fresh interpreter that runs the program, and what it printed."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return time.perf_counter() - start, done.stdout.strip()


def main() -> int:
    ours: list[float] = []
    bare: list[float] = []
    loaded = ""
    for number in range(RUNS + 1):
        mine, loaded = seconds_and_output(OURS.format(heavy=HEAVY))
        theirs, _ = seconds_and_output(BARE)
        if number:  # the first pair warms the disk cache
            ours.append(mine)
            bare.append(theirs)
    ratio = statistics.median(mine / theirs for mine, theirs in zip(ours, bare, strict=True))
    print(f"definitions load: {statistics.median(ours):.2f} s (median of {RUNS}, {min(ours):.2f} to {max(ours):.2f})")
    print(f"bare Dagster:     {statistics.median(bare):.2f} s ({min(bare):.2f} to {max(bare):.2f})")
    print(f"ratio:            {ratio:.2f}")
    print(f"heavy libraries imported: {loaded or 'none'}")
    return 1 if loaded else 0


if __name__ == "__main__":
    sys.exit(main())
