"""What other tools produce: asked with our prompts, scored on its own, or registered as a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medeval_assets.metrics.metric import CLUE, CORRECTED
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.e2e.conftest import DEMO_MODEL, Medeval, Outcome

pytestmark = pytest.mark.slow

SECRET = "zyxomeride"
"""A word that stands nowhere else: where it shows, an answer's text was quoted."""


def lines_of(outcome: Outcome) -> list[dict[str, Any]]:
    assert outcome.returncode == 0, outcome.stderr
    return [json.loads(line) for line in outcome.stdout.splitlines()]


def answered(path: Path, prompts: list[dict[str, Any]], text: str) -> Path:
    """A file in which a tool answers every prompt with the same text."""
    rows = [{"example_id": p["example_id"], "prompt_sha256": p["prompt_sha256"], "text": text} for p in prompts]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_prompts_are_printed_whole_and_a_limit_is_nested(medeval: Medeval) -> None:
    prompts = lines_of(medeval("prompts", "mednli"))
    assert len({prompt["example_id"] for prompt in prompts}) == len(prompts) == 15
    # System text, three worked examples of two turns each, the question.
    assert {len(prompt["messages"]) for prompt in prompts} == {8}
    assert all(prompt["synthetic"] and prompt["cue"] == "Answer:" for prompt in prompts)
    five, two = (lines_of(medeval("prompts", "mednli", "--limit", limit)) for limit in ("5", "2"))
    assert (len(five), len(two)) == (5, 2)
    assert all(prompt in five for prompt in two)
    assert all(prompt in prompts for prompt in five)


def test_a_prompt_with_documents_brings_them_and_says_where_they_go(medeval: Medeval) -> None:
    (prompt,) = lines_of(medeval("prompts", "longhealth_2", "--limit", "1"))
    assert prompt["messages"][-1]["content"].count("⟦documents⟧") == 1
    assert all(document.keys() == {"document_id", "text"} for document in prompt["documents"])
    rule = all_tasks()["longhealth_2"].documents
    assert rule is not None
    assert prompt["separator"] == rule.separator


def test_prompts_of_real_credentialed_rows_say_that_they_are(medeval: Medeval, home: Path) -> None:
    assert "credentialed" not in medeval("prompts", "mednli").stderr
    folder = home / "sources" / "mednli"
    folder.mkdir(parents=True)
    pair = {"sentence1": "A.", "sentence2": "B.", "gold_label": "neutral"}
    (folder / "mli_test_v1.jsonl").write_text("\n".join([json.dumps(pair)] * 4), encoding="utf-8")
    outcome = medeval("prompts", "mednli")
    assert [line["synthetic"] for line in lines_of(outcome)] == [False]
    assert "These rows are credentialed" in outcome.stderr


def test_answers_are_registered_evaluated_and_replaced(medeval: Medeval, home: Path, tmp_path: Path) -> None:
    prompts = lines_of(medeval("prompts", "mednli"))
    file = answered(tmp_path / "answers.jsonl", prompts[2:], "neutral")
    register = ("evaluate", "-m", "my-gpt", "-g", f"mednli={file}", "--json")

    outcome = medeval(*register, "--base", DEMO_MODEL, "--title", "My GPT")

    assert outcome.returncode == 0, outcome.stderr
    assert "mednli: 2 of 15 prompts have no prediction" in outcome.stderr
    assert "other prompts" not in outcome.stderr
    rows = json.loads(outcome.stdout)["rows"]
    assert {(row["model"], row["task"]) for row in rows} == {("my-gpt", "mednli")}
    (first,) = [row for row in rows if row["headline"]]
    assert first["n"] == 13
    model = next(row for row in json.loads(medeval("models", "--json").stdout) if row["key"] == "my-gpt")
    assert (model["role"], model["base"], model["title"]) == ("biomedical", DEMO_MODEL, "My GPT")

    before = (home / "external" / "my-gpt" / "mednli.jsonl").read_bytes()
    file.write_text(f'{{"example_id": "nobody", "text": "{SECRET}"}}\n{{"example_id": 1, "text": NaN}}', "utf-8")
    outcome = medeval(*register)
    assert outcome.returncode == 1
    assert outcome.stdout == ""
    assert "answers.jsonl:1 example_id" in outcome.stderr
    assert "answers.jsonl:2 text" in outcome.stderr
    assert SECRET not in outcome.stderr
    assert (home / "external" / "my-gpt" / "mednli.jsonl").read_bytes() == before

    answered(file, [{**prompt, "prompt_sha256": "0" * 64} for prompt in prompts], "no idea")
    outcome = medeval(*register)
    assert outcome.returncode == 0, outcome.stderr
    assert "mednli: 15 of 15 predictions answer other prompts than ours" in outcome.stderr
    (second,) = [row for row in json.loads(outcome.stdout)["rows"] if row["headline"]]
    assert (second["value"], second["n"], second["failure_rate"]) == (0.0, 15, 1.0)


def test_folders_that_are_no_model_are_told_with_the_models(medeval: Medeval, home: Path) -> None:
    (home / "external" / "my-gpt").mkdir(parents=True)
    (home / "incoming" / "new-7b").mkdir(parents=True)
    outcome = medeval("models", "--json")
    assert outcome.returncode == 0
    assert {row["key"] for row in json.loads(outcome.stdout)}.isdisjoint({"my-gpt", "new-7b"})
    assert "external/my-gpt: no file named like <task>.jsonl" in outcome.stderr
    assert "incoming/new-7b/config.json" in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["-m", "a", "-m", "b", "-g", "mednli=FILE"], "one -m"),
        (["-m", "a", "-g", "mednli"], "TASK=FILE"),
        (["-m", "a", "-g", "mednli=FILE", "-g", "mednli=FILE"], "each task once"),
        (["-m", "a", "-g", "mednly=FILE"], "Did you mean `mednli`?"),
        (["-m", "a", "-g", "mednli=FILE", "-t", "medq"], "Did you mean `medqa`?"),
        (["-m", "A B", "-g", "mednli=FILE"], "not a usable key"),
        (["-m", DEMO_MODEL, "-g", "mednli=FILE"], "the catalog has another model of this key"),
        (["-m", "a", "-g", "mednli=FILE", "--base", "llama-3-8"], "Did you mean `llama-3-8b`?"),
        (["-m", DEMO_MODEL, "--title", "Mine"], "-g"),
    ],
)
def test_wrong_use_registers_nothing(
    medeval: Medeval, home: Path, tmp_path: Path, arguments: list[str], named: str
) -> None:
    example = lines_of(medeval("dataset", "mednli"))[-1]["example_id"]
    file = tmp_path / "answers.jsonl"
    file.write_text(json.dumps({"example_id": example, "text": "neutral"}), encoding="utf-8")
    outcome = medeval("evaluate", *(argument.replace("FILE", str(file)) for argument in arguments))
    assert outcome.returncode == 2
    assert named in " ".join(outcome.stderr.replace("│", " ").split())
    assert not (home / "external").exists()


def test_scores_are_those_of_the_profile_asked_for(medeval: Medeval, tmp_path: Path) -> None:
    file = answered(tmp_path / "answers.jsonl", lines_of(medeval("prompts", "mednli")), "neutral")
    profiles = {
        name: {row["profile"] for row in json.loads(medeval("score", "mednli", file, *option, "--json").stdout)}
        for name, option in (("default", []), ("clue", ["--profile", CLUE]), ("all", ["--profile", "all"]))
    }
    assert (profiles["default"], profiles["clue"]) == ({CORRECTED}, {CLUE})
    assert {CORRECTED, CLUE} <= profiles["all"]
    outcome = medeval("score", "mednli", file, "--profile", "clue-2024-07")
    assert outcome.returncode == 2
    assert f"Did you mean `{CLUE}`?" in outcome.stderr
