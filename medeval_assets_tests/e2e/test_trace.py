"""`medeval trace` on a demo cell: what made a number, one example of it, and the same number again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medeval_assets_tests.e2e.conftest import DEMO_MODEL, Medeval, Outcome

pytestmark = pytest.mark.slow

TASKS = ("mednli", "pubmedqa")


@pytest.fixture
def medeval_with_demo(medeval: Medeval, demo_home: Path) -> Medeval:
    """Two cells of the demo model, answered in one run."""
    chosen = [word for task in TASKS for word in ("-t", task)]
    outcome = medeval("evaluate", "-m", DEMO_MODEL, *chosen, "--limit", "3")
    assert outcome.returncode == 0, outcome.stderr
    return medeval


def document(outcome: Outcome) -> dict[str, Any]:
    assert outcome.stdout.count("\n") == 1
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


def test_a_demo_cell_is_traced_and_made_again_bit_for_bit(medeval_with_demo: Medeval, demo_home: Path) -> None:
    medeval = medeval_with_demo
    lake = {path: path.read_bytes() for path in (demo_home / "lake").rglob("*") if path.is_file()}
    told = medeval("trace", DEMO_MODEL, "mednli")
    assert told.returncode == 0, told.stderr
    for part in ("raw file mli_test_v1.jsonl", "model weights sha256", "model tokenizer sha256", "model chat template"):
        assert part in told.stdout
    assert f"Make it again: medeval evaluate -m {DEMO_MODEL} -t mednli --limit 3" in told.stdout
    for task in TASKS:
        outcome = medeval("trace", DEMO_MODEL, task, "--replay", "--json")
        assert outcome.returncode == 0, outcome.stderr
        made = document(outcome)["replay"]
        assert [(one["asset"], one["same"], one["reproduced"]) for one in made] == [
            (asset, True, True) for asset in ("generations", "scores", "metric_tables")
        ]
    assert {path: path.read_bytes() for path in (demo_home / "lake").rglob("*") if path.is_file()} == lake

    # One example, whose prompt proves to be the one that was asked.
    example_id = json.loads(medeval("prompts", "mednli", "--limit", "1").stdout)["example_id"]
    outcome = medeval("trace", DEMO_MODEL, "mednli", "accuracy_strict", "--example", example_id, "--json")
    found = document(outcome)
    assert [row["metric"] for row in found["values"]] == ["accuracy_strict"]
    assert found["example"]["asked"]["matches"] is True
    assert found["example"]["asked"]["rendered"].startswith("<|im_start|>system")
    assert found["example"]["raw"] == "the same row"

    # Other weights under the same name: the number does not come out again, and why is told.
    (weights,) = (demo_home / "checkpoints").rglob("model.safetensors")
    content = bytearray(weights.read_bytes())
    place = len(content) - 4 * 100_000
    content[place:] = bytes(len(content) - place)
    weights.unlink()  # the other tests link to it
    weights.write_bytes(content)
    outcome = medeval("trace", DEMO_MODEL, "mednli", "--replay")
    assert outcome.returncode == 1
    assert "replayed generations: differs" in outcome.stdout
    assert "weights_sha256: another one today" in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (["smollm-135m", "mednli"], f"Did you mean `{DEMO_MODEL}`?"),
        ([DEMO_MODEL, "mednly"], "Did you mean `mednli`?"),
    ],
)
def test_an_unknown_name_is_wrong_use(medeval: Medeval, arguments: list[str], nearest: str) -> None:
    outcome = medeval("trace", *arguments)
    assert outcome.returncode == 2
    assert nearest in outcome.stderr
    assert outcome.stdout == ""


def test_a_cell_that_was_not_evaluated_is_told(medeval: Medeval) -> None:
    outcome = medeval("trace", DEMO_MODEL, "mednli")
    assert outcome.returncode == 1
    assert f"medeval evaluate -m {DEMO_MODEL} -t mednli" in outcome.stderr


def test_a_metric_that_is_not_there_is_wrong_use_and_a_model_outside_the_catalog_is_traced(
    medeval: Medeval, home: Path
) -> None:
    folder = home / "external" / "elsewhere"
    folder.mkdir(parents=True)
    (folder / "mednli.jsonl").write_text(
        "".join(json.dumps({"example_id": f"synthetic-01-{which}", "text": "neutral"}) + "\n" for which in "ecn")
    )
    assert medeval("evaluate", "-m", "elsewhere", "-t", "mednli").returncode == 0
    outcome = medeval("trace", "elsewhere", "mednli", "accuracy_strikt")
    assert outcome.returncode == 2
    assert "Did you mean `accuracy_strict`?" in outcome.stderr
    (folder / "mednli.jsonl").unlink()
    folder.rmdir()
    outcome = medeval("trace", "elsewhere", "mednli")
    assert outcome.returncode == 0, outcome.stderr
    assert "model file sha256" in outcome.stdout
    outcome = medeval("trace", "elsewhere", "mednli", "--replay")
    assert outcome.returncode == 1
    assert "no longer in the catalog" in outcome.stderr
