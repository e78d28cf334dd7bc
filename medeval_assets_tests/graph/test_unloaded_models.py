"""Baselines and answers from elsewhere go through the same runs as any model, and nothing is loaded for them."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from medeval_assets.engines.registration import Registration, register
from medeval_assets.evaluation import evaluate
from medeval_assets.instance import open_instance
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lineage_record import LineageRecord
from medeval_assets.partitions import model_run_request
from medeval_assets.progress import LoggedProgress
from medeval_assets.resources import all_models
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.graph.small_platform import SmallPlatform, loads, loads_logged, materialized

pytestmark = pytest.mark.slow

LABELS = ("neutral", "entailment", "contradiction", "entailment", "neutral", "entailment", "entailment", "neutral")
BASELINES = ["baseline-majority", "baseline-random", "baseline-copy"]


@pytest.fixture
def nli(platform: SmallPlatform) -> SmallPlatform:
    """A platform with eight pairs for MedNLI; three of them are its worked examples."""
    write_pairs(platform, LABELS)
    return platform


def write_pairs(platform: SmallPlatform, labels: tuple[str, ...]) -> None:
    rows = [
        {"pairID": f"p{n}", "sentence1": f"Patient {n} is well.", "sentence2": "He is ill.", "gold_label": label}
        for n, label in enumerate(labels)
    ]
    platform.write_source("mednli", "mli_test_v1.jsonl", "\n".join(map(json.dumps, rows)))


def give(platform: SmallPlatform, texts: Mapping[str, str]) -> None:
    """Register texts by example id as my-gpt's answers for MedNLI."""
    file = platform.settings.home / "given.jsonl"
    file.write_text("\n".join(json.dumps({"example_id": key, "text": text}) for key, text in texts.items()))
    registration = Registration("my-gpt", [(all_tasks()["mednli"], file)])
    register(registration, all_models(platform.settings), platform.settings)


def record(platform: SmallPlatform, model: str) -> LineageRecord:
    found = platform.lake.record(LakeKey("generations", model, "mednli"))
    assert found is not None
    return found


def headline(platform: SmallPlatform) -> dict[str, tuple[float, int]]:
    rows = platform.lake.rows(LakeKey("leaderboard"))
    return {row["model"]: (row["value"], row["n"]) for row in rows if row["headline"] and row["task"] == "mednli"}


def test_they_are_scored_beside_each_other_without_a_load(nli: SmallPlatform) -> None:
    before = loads()
    give(nli, {f"p{n}": "entailment" for n in range(8)})
    models = [*BASELINES, "my-gpt"]
    assert nli.evaluate(models, ["mednli"], limit=None).problems == []

    prompts = nli.lake.rows(LakeKey("prompt_sets", task="mednli"))
    right = {f"p{n}": label for n, label in enumerate(LABELS)}
    scored = [right[row["example_id"]] for row in prompts]
    assert len(scored) == 5
    # "entailment" is right four times among eight and at least once among the five that are scored.
    often = max(scored.count(label) for label in LABELS)
    assert headline(nli) == {
        "baseline-majority": (pytest.approx(often / 5), 5),
        "baseline-random": (pytest.approx(agreeing(nli, right)), 5),
        "baseline-copy": (0.0, 5),
        "my-gpt": (pytest.approx(scored.count("entailment") / 5), 5),
    }
    assert loads() == before
    with open_instance(nli.settings) as instance:
        assert loads_logged(instance) == []
        assert materialized(instance, "metric_tables") == {LakeKey("metric_tables", key, "mednli") for key in models}
    # Nothing gave likelihoods, so there is no row of zeros for them.
    metrics = {row["metric"] for row in nli.lake.rows(LakeKey("scores", "my-gpt", "mednli"))}
    assert "accuracy_likelihood" not in metrics


def agreeing(platform: SmallPlatform, right: Mapping[str, str]) -> float:
    """Share of the random baseline's answers that are right, read off its table."""
    rows = platform.lake.rows(LakeKey("generations", "baseline-random", "mednli"))
    return [row["text"] == right[row["example_id"]] for row in rows].count(True) / len(rows)


def test_their_records_say_what_they_rest_on(nli: SmallPlatform) -> None:
    give(nli, {f"p{n}": "neutral" for n in range(8)})
    nli.evaluate([*BASELINES, "my-gpt"], ["mednli"], limit=2)
    for model, inputs, engine in [
        *((key, ["prompt_sets", "datasets"], "baseline") for key in BASELINES),
        ("my-gpt", ["prompt_sets"], "external"),
    ]:
        found = record(nli, model)
        assert [one.asset for one in found.derivation.inputs] == inputs
        assert (found.environment, found.rows) == ({"engine": engine}, 2)
        # MedNLI is credentialed, and so is what is made from it.
        assert found.access is all_tasks()["mednli"].access
    generations = {
        model: {row["example_id"] for row in nli.lake.rows(LakeKey("generations", model, "mednli"))}
        for model in (*BASELINES, "my-gpt")
    }
    assert len({frozenset(ids) for ids in generations.values()}) == 1
    assert record(nli, "baseline-copy").derivation.model["checkpoint"] == "baseline:copy"
    assert record(nli, "my-gpt").derivation.model["checkpoint"] == "generations:my-gpt"


def test_only_what_changed_is_made_again(nli: SmallPlatform) -> None:
    models = ["baseline-majority", "my-gpt"]

    def remade() -> set[str]:
        before = {model: record(nli, model).run_id for model in models}
        assert nli.evaluate(models, ["mednli"], limit=None).problems == []
        return {model for model in models if record(nli, model).run_id != before[model]}

    give(nli, {f"p{n}": "neutral" for n in range(8)})
    nli.evaluate(models, ["mednli"], limit=None)
    assert remade() == set()
    give(nli, {f"p{n}": "neutral" for n in range(8)})
    assert remade() == set()
    give(nli, {f"p{n}": "entailment" for n in range(8)})
    assert remade() == {"my-gpt"}
    # Another right answer: what is asked stays the same unless the example is a worked one, but baselines know answers.
    shots = nli.lake.rows(LakeKey("prompt_sets", task="mednli"))[0]["shots"]
    changed = next(n for n in range(8) if f"p{n}" not in shots)
    write_pairs(nli, tuple("contradiction" if n == changed else label for n, label in enumerate(LABELS)))
    assert remade() == {"baseline-majority"}


def test_without_a_choice_of_tasks_a_model_is_asked_what_its_answers_are_for(nli: SmallPlatform) -> None:
    give(nli, {f"p{n}": "neutral" for n in range(8)})
    given = all_models(nli.settings)["my-gpt"]
    assert evaluate(nli.settings, [given], None, progress=LoggedProgress()).problems == []
    assert nli.lake.keys("generations") == [LakeKey("generations", "my-gpt", "mednli")]

    (problem,) = evaluate(nli.settings, [given], ["mednli", "meqsum"], progress=LoggedProgress()).problems
    assert "my-gpt × meqsum: there are no predictions of this model for the task" in problem
    assert nli.lake.keys("metric_tables") == [LakeKey("metric_tables", "my-gpt", "mednli")]


def test_a_file_that_was_broken_after_it_was_registered_is_told_and_its_table_stays(nli: SmallPlatform) -> None:
    give(nli, {f"p{n}": "neutral" for n in range(8)})
    nli.evaluate(["my-gpt"], ["mednli"], limit=None)
    before = nli.lake.rows(LakeKey("generations", "my-gpt", "mednli"))
    path = nli.settings.external / "my-gpt" / "mednli.jsonl"
    path.write_text(path.read_text() + "\n{")
    (problem,) = nli.evaluate(["my-gpt"], ["mednli"], limit=None).problems
    assert "mednli.jsonl:9: not valid JSON" in problem
    assert nli.lake.rows(LakeKey("generations", "my-gpt", "mednli")) == before


def test_their_runs_ask_for_no_gpu(nli: SmallPlatform) -> None:
    give(nli, {f"p{n}": "neutral" for n in range(8)})
    models = all_models(nli.settings)
    for key in (*BASELINES, "my-gpt"):
        tags = model_run_request(models[key]).tags
        assert tags["medeval/gpus"] == "0"
        assert not any("k8s" in name or "ray" in name for name in tags)
