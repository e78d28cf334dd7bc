"""What the ROUGE metric relies on in `rouge_score_rs`. Where an upgrade changes one of these, it fails here."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import rouge_score_rs

LIBRARY: Any = rouge_score_rs
TYPES = ["rougeL", "rouge1", "rouge2"]


def test_one_pass_over_all_types_is_one_pass_for_each() -> None:
    references, answers = ["pain after meals", "fever", ""], ["meals after pain", "no fever", "gout"]
    together = LIBRARY.RougeScorer(TYPES).score_batch(references, answers)
    assert [set(scores) for scores in together] == [set(TYPES)] * 3
    for name in TYPES:
        alone = LIBRARY.RougeScorer([name]).score_batch(references, answers)
        assert [scores[name] for scores in together] == [scores[name] for scores in alone]


@pytest.mark.parametrize("separator", ["\ud800", "\udfff\udc00", "\x00", "\x1b", "\u200f", "é"])
def test_what_is_no_ascii_letter_or_digit_parts_tokens(separator: str) -> None:
    """A lone surrogate cannot be handed to Rust; the library replaces it. "naïve" is two tokens, as in the original."""
    (scores,) = LIBRARY.RougeScorer(["rouge2"]).score_batch(["fever pain"], [f"fever{separator}pain"])
    assert scores["rouge2"].fmeasure == 1


def test_a_process_forked_after_a_batch_can_score() -> None:
    """Its threads are not there any more in the child, which would wait for them for ever."""
    program = """
import os
from rouge_score_rs import RougeScorer
scorer = RougeScorer(["rougeL"])
work = ["fever"] * 500, ["fever and pain"] * 500
parents = scorer.score_batch(*work)
child = os.fork()
if not child:
    os._exit(0 if scorer.score_batch(*work) == parents else 3)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
