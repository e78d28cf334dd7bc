"""Where memory does not suffice for a batch, its halves are answered, and only what does not fit alone fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# 20 prompts that one batch would hold, and one whose options take more than is allowed even alone.
SCRIPT = """
import json, resource, sys
from dataclasses import replace
from pathlib import Path
import torch
from medeval_assets.catalog.model_spec import EngineNeeds
from medeval_assets.catalog.task_spec import Decoding
from medeval_assets.engines.engine_setup import engine_setup
from medeval_assets.engines.protocol import Request
from medeval_assets.engines.checkpoint import load_model, load_tokenizer
from medeval_assets.engines.transformers_engine import TransformersEngine

torch.set_num_threads(1)
folder, allowed = Path(sys.argv[1]), int(sys.argv[2])
setup = engine_setup("tiny", folder, "causal", EngineNeeds(gpus=0))
engine = TransformersEngine(load_model(setup, "AutoModelForCausalLM"), load_tokenizer(folder, setup.needs), 10**6)

def request(number, options, task="a"):
    length, drawing = 400 if number == 60 else 460, torch.Generator().manual_seed(number)
    prompt = tuple(torch.randint(10, 260, (length,), generator=drawing).tolist())
    return Request(f"e{number:02}", prompt, Decoding(3), options, prompt, task)

asked = [request(number, ((20, 21, 22), (30, 31))) for number in range(20)]
asked.append(request(60, tuple(tuple(range(20, 50)) for _ in range(100))))
asked += [request(number, ((20, 21, 22), (30, 31)), "b") for number in range(12)]
list(engine.answer([request(99, ((20, 21), (30, 31)))]))
if allowed:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + allowed
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
batches = [
    [(f"{one.task} {one.example_id}", answer.text, answer.finish_reason, answer.reason, answer.option_logprobs[:2])
     for one, answer in batch]
    for batch in engine.answer(asked)
]
print(json.dumps(batches))
"""


def answered(checkpoint: Path, allowed: int) -> list[list[Any]]:
    """The batches that a process of its own answers. allowed: bytes that it may take for them; 0 is no limit."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(checkpoint), str(allowed)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    batches: list[list[Any]] = json.loads(run.stdout)
    return batches


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is set through Linux's /proc")
def test_a_batch_that_does_not_fit_goes_on_in_halves(tiny_checkpoint: Path) -> None:
    free, limited = answered(tiny_checkpoint, 0), answered(tiny_checkpoint, 40 * 2**20)
    assert sorted(map(len, free)) == [12, 21]
    assert max(map(len, limited)) < 21

    before = {name: rest for batch in free for name, *rest in batch}
    after = {name: rest for batch in limited for name, *rest in batch}
    assert sum(map(len, limited)) == len(after) == len(before)
    text, finish, reason, logprobs = after.pop("a e60")
    assert (text, finish, logprobs) == ("", "failed", [])
    assert reason == "there is not enough memory for its 400 tokens and its answer"
    assert before.pop("a e60")[1] != "failed"
    for name, (text, finish, reason, logprobs) in after.items():
        assert (text, finish, reason) == tuple(before[name][:3])
        assert logprobs == pytest.approx(before[name][3], abs=1e-4)

    # The smaller budget stays: the second task is not even tried in one batch.
    second = [len(batch) for batch in limited if batch[0][0].startswith("b")]
    assert sum(second) == 12 > max(second)
