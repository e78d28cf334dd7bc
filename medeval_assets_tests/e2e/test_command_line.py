"""The command line as a user meets it: real processes, their output, their exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medeval_assets.prompts.prompt_set import choose_shots
from medeval_assets.settings import Settings
from medeval_assets.sources.dataset import read_dataset
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.e2e.conftest import DEMO_MODEL, Medeval
from medeval_assets_tests.real_data import SHARED_DATA, needs_real_data

pytestmark = pytest.mark.slow

ANSWER = "zyxomeride"
"""A word that stands nowhere else: where it shows, an answer's text was quoted."""


def _right_answers(medeval: Medeval, task: str) -> list[dict[str, str]]:
    rows = [json.loads(line) for line in medeval("dataset", task).stdout.splitlines()]
    return [{"example_id": row["example_id"], "text": row["targets"][0]} for row in rows if row["split"] == "test"]


def _written(path: Path, lines: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def _headlines(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["task"]: row for row in rows if row["headline"]}


def test_tasks_are_listed_and_samples_are_marked(medeval: Medeval, home: Path) -> None:
    real = home / "sources" / "mednli" / "mli_test_v1.jsonl"
    real.parent.mkdir(parents=True)
    real.write_text("{}", encoding="utf-8")

    outcome = medeval("tasks", "--json")

    assert outcome.returncode == 0
    data = {row["task"]: row["data"] for row in json.loads(outcome.stdout)}
    assert len(data) == 17
    assert data.pop("mednli") == "real"
    assert set(data.values()) == {"synthetic samples"}


def test_models_are_those_of_the_catalog_and_of_the_home(medeval: Medeval, tiny_model: str) -> None:
    outcome = medeval("models", "--json")

    assert outcome.returncode == 0
    rows = {row["key"]: row for row in json.loads(outcome.stdout)}
    baselines = [f"baseline-{kind}" for kind in ("majority", "random", "copy")]
    assert [key for key, row in rows.items() if row["demo"]] == [DEMO_MODEL, f"{DEMO_MODEL}-plain", *baselines]
    assert rows[tiny_model]["role"] == "biomedical"
    assert all(row["base"] is None or row["base"] in rows for row in rows.values())


def test_models_are_checked_before_they_are_evaluated(medeval: Medeval, demo_home: Path, tiny_model: str) -> None:
    outcome = medeval("models", "--check", "--json")

    assert outcome.returncode == 0, outcome.stderr
    rows = {row["model"]: row for row in json.loads(outcome.stdout)}
    assert all(set(row) == {"model", "finding", "severity", "what", "remedy"} for row in rows.values())
    assert rows[DEMO_MODEL]["severity"] == "passed"
    assert (rows[f"{DEMO_MODEL}-plain"]["finding"], rows[f"{DEMO_MODEL}-plain"]["severity"]) == ("missing", "warning")
    assert rows[tiny_model]["finding"] == "two_bos"
    assert rows["llama-3-8b-instruct"]["severity"] == "not checked"
    assert not [key for key in rows if key.startswith("baseline-")]
    assert not (demo_home / "hub").exists()


def test_a_template_that_does_not_fit_is_found_and_keeps_its_model_from_being_asked(
    medeval: Medeval, home: Path, tmp_path: Path, tiny_model: str
) -> None:
    template = tmp_path / "tiny" / "chat_template.jinja"
    template.write_text(template.read_text().partition("{% if add_generation_prompt")[0])

    outcome = medeval("models", "--check")

    assert outcome.returncode == 1
    assert "generation_prompt  blocking" in outcome.stdout
    assert "Not checked, because their files are not here: smollm2-135m, smollm2-135m-plain, llama" in outcome.stderr

    outcome = medeval("evaluate", "-m", tiny_model, "-t", "medqa", "--limit", "1")

    assert outcome.returncode == 1
    assert "chat template of tiny: `add_generation_prompt` changes nothing" in outcome.stderr
    assert not (home / "journal").exists()


def test_a_dataset_is_printed_as_json_lines_that_say_they_are_synthetic(medeval: Medeval) -> None:
    outcome = medeval("dataset", "mednli")

    assert outcome.returncode == 0
    rows = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert len({row["example_id"] for row in rows}) == len(rows) >= 12
    assert all(row["synthetic"] is True for row in rows)


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (["dataset", "mednly"], "Did you mean `mednli`?"),
        (["fetch", "pubmed-qa"], "Did you mean `pubmedqa`?"),
        (["score", "medmqa", "answers.jsonl"], "Did you mean `medmcqa`?"),
        (["evaluate", "-m", DEMO_MODEL, "-t", "long-health_1"], "Did you mean `longhealth_1`?"),
        (["evaluate", "-m", "smollm-135m", "-t", "mednli"], f"Did you mean `{DEMO_MODEL}`?"),
    ],
)
def test_an_unknown_name_is_wrong_use_and_the_nearest_is_named(
    medeval: Medeval, arguments: list[str], nearest: str
) -> None:
    outcome = medeval(*arguments)

    assert outcome.returncode == 2
    assert nearest in outcome.stderr
    assert outcome.stdout == ""


def test_a_name_never_acts_on_the_terminal(medeval: Medeval) -> None:
    outcome = medeval("trace", "nobody\x1b[2J", "mednli")

    assert outcome.returncode in {1, 2}
    assert "nobody" in outcome.stderr
    assert "\x1b" not in outcome.stdout + outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["evaluate", "-t", "mednli"], "--model"),
        (["evaluate", "-m", DEMO_MODEL, "--limit", "0"], "--limit"),
        (["evaluate", "-m", DEMO_MODEL, "--prompts", "mine"], "--prompts"),
        (["ui", "--port", "http"], "--port"),
        (["leaderbord"], "leaderbord"),
    ],
)
def test_a_wrong_option_is_wrong_use(medeval: Medeval, arguments: list[str], named: str) -> None:
    outcome = medeval(*arguments)

    assert outcome.returncode == 2
    assert named in outcome.stderr


def test_right_answers_score_1(medeval: Medeval, tmp_path: Path) -> None:
    answers = _right_answers(medeval, "mednli")

    outcome = medeval("score", "mednli", _written(tmp_path / "answers.jsonl", answers), "--json")

    assert outcome.returncode == 0
    row = _headlines(json.loads(outcome.stdout))["mednli"]
    # Three of the examples are the task's worked ones, which are left out of scoring.
    assert (row["value"], row["n"], row["failures"], row["synthetic"]) == (1.0, len(answers) - 3, 0, True)


def test_an_empty_answer_is_a_failure_and_a_missing_one_is_told(medeval: Medeval, tmp_path: Path) -> None:
    task = all_tasks()["mednli"]
    dataset = read_dataset(task, Settings.from_environment({}))
    shots = {shot.example_id for shot in choose_shots(task, dataset.examples)}
    answers = [answer for answer in _right_answers(medeval, "mednli") if answer["example_id"] not in shots][:5]
    answers[2]["text"] = ""

    outcome = medeval("score", "mednli", _written(tmp_path / "answers.jsonl", answers), "--json")

    assert outcome.returncode == 0
    row = _headlines(json.loads(outcome.stdout))["mednli"]
    # Four of five are right; the fifth could not be read and counts as wrong.
    assert (row["value"], row["n"], row["failures"]) == (pytest.approx(4 / 5), 5, 1)
    assert "have no prediction" in outcome.stderr


@pytest.mark.parametrize(
    ("third", "told"),
    [
        ('{"example_id": "nobody", "text": "%s"}', "answers.jsonl:3 example_id"),
        ('{"example_id": "synthetic-01-e", "text": "%s"}', "answers.jsonl:1"),
        ('{"example_id": "synthetic-02-e", "text": "%s', "answers.jsonl:3"),
        ('{"example_id": "synthetic-02-e", "answer": "%s"}', "answers.jsonl:3 text"),
        ('["%s"]', "answers.jsonl:3"),
    ],
    ids=["unknown id", "repeated id", "broken line", "missing field", "no object"],
)
def test_a_bad_prediction_is_named_by_its_line_and_never_quoted(
    medeval: Medeval, tmp_path: Path, third: str, told: str
) -> None:
    file = tmp_path / "answers.jsonl"
    good = [f'{{"example_id": "synthetic-01-{which}", "text": "{ANSWER}"}}' for which in ("e", "c")]
    file.write_text("\n".join([*good, third % ANSWER]), encoding="utf-8")

    outcome = medeval("score", "mednli", file)

    assert outcome.returncode == 1
    assert outcome.stdout == ""
    assert "answers.jsonl:3" in outcome.stderr
    assert told in outcome.stderr
    assert ANSWER not in outcome.stderr


def test_a_file_of_predictions_that_is_not_there_is_named(medeval: Medeval, tmp_path: Path) -> None:
    outcome = medeval("score", "mednli", tmp_path / "nowhere.jsonl")

    assert outcome.returncode == 1
    assert "nowhere.jsonl" in outcome.stderr


def test_a_task_without_public_files_tells_where_to_get_them(medeval: Medeval, home: Path) -> None:
    outcome = medeval("fetch", "mednli")

    assert outcome.returncode == 1
    assert all_tasks()["mednli"].homepage in outcome.stderr
    assert str(home / "sources" / "mednli") in outcome.stderr
    assert not (home / "sources").exists()


def test_an_evaluation_prints_one_json_document_and_shows_its_progress(medeval: Medeval, tiny_model: str) -> None:
    outcome = medeval("evaluate", "-m", tiny_model, "-t", "medqa", "-t", "mednli", "--limit", "2", "--json")

    assert outcome.returncode == 0, outcome.stderr
    result = json.loads(outcome.stdout)
    assert result["problems"] == []
    headlines = _headlines(result["rows"])
    assert {task: row["n"] for task, row in headlines.items()} == {"mednli": 2, "medqa": 2}
    assert all(row["synthetic"] and row["model"] == tiny_model for row in result["rows"])
    assert "mednli" in outcome.stderr
    assert "medqa" in outcome.stderr


def test_a_broken_file_fails_its_task_and_no_other(medeval: Medeval, tiny_model: str, home: Path) -> None:
    broken = home / "sources" / "mednli" / "mli_test_v1.jsonl"
    broken.parent.mkdir(parents=True)
    good = {"sentence1": "A.", "sentence2": "B.", "gold_label": "neutral"}
    broken.write_text(f'{json.dumps(good)}\n{{"sentence1": "{ANSWER}', encoding="utf-8")

    outcome = medeval("evaluate", "-m", tiny_model, "-t", "mednli", "-t", "medqa", "--limit", "2", "--json")

    assert outcome.returncode == 1
    result = json.loads(outcome.stdout)
    assert {row["task"] for row in result["rows"]} == {"medqa"}
    assert _headlines(result["rows"])["medqa"]["n"] == 2
    assert any("mli_test_v1.jsonl:2" in problem for problem in result["problems"])
    assert "mli_test_v1.jsonl:2" in outcome.stderr
    assert ANSWER not in outcome.stdout + outcome.stderr


def test_all_that_is_wrong_in_a_catalog_file_is_told_at_once(medeval: Medeval, home: Path) -> None:
    lines = [
        "models:",
        "  mine:",
        "    checkpoint: hub:org/mine",
        "    role: medical",
        "    templat: none",
        "  Mine Too:",
        "    checkpoint: hub:org/mine",
        "    role: biomedical",
        "    base: lama-3-8b",
    ]
    (home / "models.yaml").write_text("\n".join(lines), encoding="utf-8")

    outcome = medeval("models")

    assert outcome.returncode == 1
    for number, field in ((4, "role"), (5, "templat"), (6, "Mine Too"), (9, "base")):
        found = [line for line in outcome.stderr.splitlines() if f"models.yaml:{number} " in line]
        assert found, f"line {number} is not named: {outcome.stderr}"
        assert any(field in line for line in found)
    assert "Did you mean `llama-3-8b`?" in outcome.stderr


@pytest.mark.parametrize("arguments", [["evaluate", "-m", DEMO_MODEL, "-t", "mednli"], ["ui"]])
@pytest.mark.parametrize("taken", ["", "dagster"])
def test_a_home_that_cannot_be_written_to_is_told_in_one_message(
    medeval: Medeval, tmp_path: Path, taken: str, arguments: list[str]
) -> None:
    blocked = tmp_path / "blocked" / taken
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("in the way", encoding="utf-8")
    home = tmp_path / "blocked"

    outcome = medeval(*arguments, env={"MEDEVAL_HOME": str(home), "MEDEVAL_SOURCES": str(tmp_path / "sources")})

    assert outcome.returncode == 1
    assert str(home) in outcome.stderr
    assert blocked.read_text(encoding="utf-8") == "in the way"


@pytest.mark.parametrize(
    ("taken", "table"),
    [("lake", "datasets × mednli"), ("lake/datasets", "datasets × mednli"), ("lake/leaderboard", "leaderboard")],
)
def test_a_lake_with_a_file_in_place_of_a_folder_is_a_problem_of_the_evaluation(
    medeval: Medeval, tiny_model: str, home: Path, taken: str, table: str
) -> None:
    blocked = home / taken
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("in the way", encoding="utf-8")

    outcome = medeval("evaluate", "-m", tiny_model, "-t", "mednli", "--limit", "1", "--json")

    assert outcome.returncode == 1
    result = json.loads(outcome.stdout)
    assert result["rows"] == []
    assert f"{table}: it cannot be read (Not a directory)" in result["problems"][0]
    assert f"Check {home / 'lake'} and its permissions" in outcome.stderr
    assert blocked.read_text(encoding="utf-8") == "in the way"


@needs_real_data
@pytest.mark.usefixtures("demo_home")
def test_the_demo_model_is_evaluated_on_real_files(medeval: Medeval, tmp_path: Path) -> None:
    files = {
        "meqsum": [SHARED_DATA / "MeQSum_ACL2019_BenAbacha_Demner-Fushman.xlsx"],
        "pubmedqa": [SHARED_DATA / "pubmedqa" / name for name in ("ori_pqal.json", "test_ground_truth.json")],
        "ncbi_disease": [SHARED_DATA / "NCBI-disease-IOB" / name for name in ("devel.tsv", "test.tsv")],
    }
    for task, paths in files.items():
        folder = tmp_path / "sources" / task
        folder.mkdir(parents=True)
        for path in paths:
            (folder / path.name).symlink_to(path)
    chosen = [option for task in files for option in ("-t", task)]

    outcome = medeval(
        "evaluate",
        "-m",
        DEMO_MODEL,
        *chosen,
        "--limit",
        "2",
        "--json",
        env={"MEDEVAL_SOURCES": str(tmp_path / "sources")},
    )

    assert outcome.returncode == 0, outcome.stderr
    result = json.loads(outcome.stdout)
    assert result["problems"] == []
    headlines = _headlines(result["rows"])
    assert headlines.keys() == files.keys()
    for row in headlines.values():
        assert (row["n"], row["synthetic"]) == (2, False)
        assert 0 <= row["value"] <= 1
