"""Models that are asked again: what is stored of it, and what it costs."""

from __future__ import annotations

import json

import pytest

from medeval_assets.evaluation import Evaluation, evaluate
from medeval_assets.instance import open_instance
from medeval_assets.lake.key import LakeKey
from medeval_assets.progress import LoggedProgress
from medeval_assets.resources import all_models
from medeval_assets_tests.graph.small_platform import SmallPlatform, loads, materialized

pytestmark = pytest.mark.slow

TASKS = ["mednli", "medqa"]


@pytest.fixture
def asked(platform: SmallPlatform) -> SmallPlatform:
    rows = [
        {"pairID": f"p{n}", "sentence1": f"Patient {n} is {'very ' * n}well.", "sentence2": "Ill.", "gold_label": label}
        for n, label in enumerate(("neutral", "entailment", "contradiction") * 3)
    ]
    platform.write_source("mednli", "mli_test_v1.jsonl", "\n".join(map(json.dumps, rows)))
    platform.add_model("m1")
    return platform


def run(platform: SmallPlatform, models: list[str], repeat: int | None) -> Evaluation:
    known = all_models(platform.settings)
    specs = [known[key] for key in models]
    return evaluate(platform.settings, specs, TASKS, progress=LoggedProgress(), limit=4, repeat=repeat)


def test_some_prompts_are_asked_again_with_the_model_that_is_loaded(asked: SmallPlatform) -> None:
    before = loads().get("m1", 0)
    outcome = run(asked, ["m1", "baseline-majority"], repeat=3)
    assert outcome.problems == []
    assert loads()["m1"] == before + 1
    assert {(row["model"], row["task"], row["variant"]) for row in outcome.repeats} == {
        ("m1", task, "alone") for task in TASKS
    }
    for row in outcome.repeats:
        # In float32 another batch moves the last digits, and these random weights have no ties.
        assert (row["n"], row["flips"], row["changed_texts"], row["shift"]) == (3, 0, 0, 0.0)
        assert 0 <= row["likelihood_difference"] < 1e-3
    metrics = {row["metric"] for row in outcome.repeats if row["task"] == "mednli"}
    assert {"accuracy_strict", "accuracy_lenient", "accuracy_likelihood"} <= metrics
    with open_instance(asked.settings) as instance:
        assert materialized(instance, "repeat_checks") == {LakeKey("repeat_checks", "m1", task) for task in TASKS}


def test_what_was_repeated_is_not_repeated_again(asked: SmallPlatform) -> None:
    assert run(asked, ["m1"], repeat=None).repeats == []
    assert asked.lake.keys("repeat_checks") == []
    run(asked, ["m1"], repeat=2)
    before = asked.files()
    assert run(asked, ["m1"], repeat=2).problems == []
    assert asked.files() == before
    assert [row["n"] for row in run(asked, ["m1"], repeat=4).repeats if row["metric"] == "accuracy_strict"] == [4, 4]


def test_answers_of_another_model_are_not_compared_with(asked: SmallPlatform) -> None:
    run(asked, ["m1"], repeat=None)
    template = asked.settings.home / "mine" / "m1" / "chat_template.jinja"
    template.write_text(template.read_text() + "{# another #}")
    with open_instance(asked.settings) as instance:
        from medeval_assets.partitions import model_run_request

        tags = model_run_request(all_models(asked.settings)["m1"], ["mednli"]).tags
        assert not asked.run(instance, "check_repeats", tags)
    assert asked.lake.keys("repeat_checks") == []


def test_the_noise_stands_under_the_difference_until_the_answers_are_others(asked: SmallPlatform) -> None:
    asked.add_model("m2", base="m1")

    def noise() -> dict[str, tuple[float | None, int]]:
        rows = asked.lake.rows(LakeKey("comparisons"))
        return {row["task"]: (row["noise"], row["noise_examples"]) for row in rows if row["family"] == "planned"}

    run(asked, ["m1"], repeat=2)
    run(asked, ["m2"], repeat=None)
    assert noise() == dict.fromkeys(TASKS, (None, 0))
    run(asked, ["m1", "m2"], repeat=2)
    assert noise() == dict.fromkeys(TASKS, (0.0, 2))
    # Another limit makes other generations, of which nothing was asked again.
    known = all_models(asked.settings)
    evaluate(asked.settings, [known["m1"]], ["mednli"], progress=LoggedProgress(), limit=3)
    assert noise() == {"mednli": (None, 0), "medqa": (0.0, 2)}
