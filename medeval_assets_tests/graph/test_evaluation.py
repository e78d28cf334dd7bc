"""Evaluations as the command line and the UI start them: what is loaded, what is kept, what is made again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from medeval_assets.engines.loaded_engines import LOADED_ENGINES
from medeval_assets.instance import add_model_partitions, open_instance
from medeval_assets.lake.key import LakeKey
from medeval_assets.partitions import grid_key
from medeval_assets.resources import all_models
from medeval_assets_tests.graph.small_platform import SmallPlatform, loads, loads_logged, materialized, scale_weights

pytestmark = pytest.mark.slow

RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


@pytest.fixture
def loaded_before() -> dict[str, int]:
    return loads()


def since(before: dict[str, int]) -> dict[str, int]:
    """How often each model has been loaded since."""
    return {key: count - before.get(key, 0) for key, count in loads().items() if count > before.get(key, 0)}


def cells(asset: str, models: list[str], tasks: list[str]) -> set[LakeKey]:
    return {LakeKey(asset, model, task) for model in models for task in tasks}


@pytest.fixture
def nli(platform: SmallPlatform) -> SmallPlatform:
    """A platform with nine pairs for MedNLI and five questions for MedQA, written for the tests."""
    labels = ("neutral", "entailment", "contradiction") * 3
    rows = [
        {"pairID": f"p{n}", "sentence1": f"Patient {n} is well.", "sentence2": "He is ill.", "gold_label": label}
        for n, label in enumerate(labels)
    ]
    platform.write_source("mednli", "mli_test_v1.jsonl", "\n".join(map(json.dumps, rows)))
    questions = [
        {"question": f"Which is {n}?", "options": {"A": "0", "B": "1"}, "answer_idx": "AB"[n % 2]} for n in range(5)
    ]
    platform.write_source("medqa", "test.jsonl", "\n".join(map(json.dumps, questions)))
    return platform


# mednli and medqa have tasks between them, medqa and mmlu_general have pubmedqa: each task is a run of its own.
@pytest.mark.parametrize(
    ("models", "tasks"),
    [(["m1", "m2", "m3"], ["mednli", "medqa"]), (["m1", "m2"], ["mednli", "medqa", "mmlu_general"])],
)
def test_each_model_is_loaded_once_whatever_the_shape_of_the_grid(
    platform: SmallPlatform, loaded_before: dict[str, int], models: list[str], tasks: list[str]
) -> None:
    for model in models:
        platform.add_model(model)
    outcome = platform.evaluate(models, tasks, limit=1)
    assert outcome.problems == []
    assert since(loaded_before) == dict.fromkeys(models, 1)
    assert {(row["model"], row["task"]) for row in outcome.rows} == {(m, t) for m in models for t in tasks}
    with open_instance(platform.settings) as instance:
        assert loads_logged(instance) == models
        for asset in ("generations", "scores", "metric_tables"):
            assert materialized(instance, asset) == cells(asset, models, tasks)


def test_nothing_changed_loads_nothing_and_writes_nothing(nli: SmallPlatform, loaded_before: dict[str, int]) -> None:
    nli.add_model("m1")
    nli.evaluate(["m1"], ["mednli", "medqa"])
    before = nli.files()
    assert before
    assert since(loaded_before) == {"m1": 1}
    # Without an engine at hand, whoever asks for one loads it.
    LOADED_ENGINES.close()
    assert nli.evaluate(["m1"], ["mednli", "medqa"]).problems == []
    assert since(loaded_before) == {"m1": 1}
    assert nli.files() == before


def test_a_smaller_selection_is_contained_in_a_larger_one(nli: SmallPlatform) -> None:
    nli.add_model("m1")
    key = LakeKey("generations", "m1", "mednli")
    nli.evaluate(["m1"], ["mednli"], limit=2)
    two = {row["example_id"]: row for row in nli.lake.rows(key)}
    nli.evaluate(["m1"], ["mednli"], limit=4)
    four = {row["example_id"]: row for row in nli.lake.rows(key)}
    assert (len(two), len(four)) == (2, 4)
    assert all(row["finish_reason"] != "skipped" for row in four.values())
    for example_id, row in two.items():
        larger = four[example_id]
        # The batch has another width, which moves sums of floats by their last digits.
        assert larger.pop("option_logprobs") == pytest.approx(row.pop("option_logprobs"), rel=1e-4)
        assert larger == row
    scored = {row["example_id"] for row in nli.lake.rows(LakeKey("scores", "m1", "mednli"))}
    assert scored == set(four)


def add_template_line(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text() + "{# another template #}")


def test_a_changed_model_or_source_remakes_its_own_cells_and_no_other(nli: SmallPlatform) -> None:
    models, tasks = ["m1", "m2"], ["mednli", "medqa"]
    folders = {model: nli.add_model(model) for model in models}

    def remade() -> set[tuple[str, str]]:
        before = nli.made_by("generations", models, tasks)
        nli.evaluate(models, tasks)
        after = nli.made_by("generations", models, tasks)
        return {cell for cell in before if before[cell] != after[cell]}

    nli.evaluate(models, tasks)
    m1 = {("m1", task) for task in tasks}
    scale_weights(folders["m1"], 2)
    assert remade() == m1
    add_template_line(folders["m1"])
    assert remade() == m1

    source = nli.settings.sources / "mednli" / "mli_test_v1.jsonl"
    source.write_text(source.read_text().replace("He is ill.", "She is ill."))
    assert remade() == {(model, "mednli") for model in models}


@pytest.fixture
def broken_source(nli: SmallPlatform) -> Iterator[SmallPlatform]:
    nli.add_model("m1")
    nli.evaluate(["m1"], ["mednli", "medqa"])
    source = nli.settings.sources / "mednli" / "mli_test_v1.jsonl"
    lines = source.read_text().split("\n")
    source.write_text("\n".join([lines[0], lines[1].replace("entailment", "perhaps"), *lines[2:]]))
    yield nli


def test_a_broken_source_stops_its_own_task_and_what_was_made_before_stays(broken_source: SmallPlatform) -> None:
    platform = broken_source
    before = platform.files()
    # mednli and meqsum are neighbours, so the broken task shares its run with a good one.
    outcome = platform.evaluate(["m1"], ["mednli", "meqsum", "medqa"], limit=1)
    assert len(outcome.problems) == 1
    assert "mli_test_v1.jsonl:2 gold_label" in outcome.problems[0]
    assert {row["task"] for row in outcome.rows} == {"mednli", "meqsum", "medqa"}
    now = platform.files()
    assert {name for name in before if "task=mednli" in name} == {name for name in now if "task=mednli" in name}
    for name in (name for name in before if "task=mednli" in name):
        assert now[name] == before[name]
    assert len(platform.lake.rows(LakeKey("generations", "m1", "mednli"))) == 2
    assert len(platform.lake.rows(LakeKey("generations", "m1", "medqa"))) == 1
    with open_instance(platform.settings) as instance:
        assert materialized(instance, "metric_tables") == cells("metric_tables", ["m1"], ["mednli", "meqsum", "medqa"])
        assert LakeKey("datasets", task="meqsum") in materialized(instance, "datasets")


def test_a_broken_checkpoint_stops_its_own_model(nli: SmallPlatform, loaded_before: dict[str, int]) -> None:
    for model in ("m1", "pickled", "m2"):
        folder = nli.add_model(model)
        if model == "pickled":
            nli.evaluate(["pickled"], ["mednli"], limit=1)
            (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    before = nli.lake.rows(LakeKey("generations", "pickled", "mednli"))
    outcome = nli.evaluate(["m1", "pickled", "m2"], ["mednli", "medqa"], limit=1)
    assert outcome.problems
    assert all("pickled" in problem and "pickles" in problem for problem in outcome.problems)
    assert since(loaded_before) == {"m1": 1, "pickled": 1, "m2": 1}
    assert nli.lake.rows(LakeKey("generations", "pickled", "mednli")) == before
    made = cells("metric_tables", ["m1", "m2"], ["mednli", "medqa"]) | cells("metric_tables", ["pickled"], ["mednli"])
    assert set(nli.lake.keys("metric_tables")) == made
    with open_instance(nli.settings) as instance:
        assert materialized(instance, "metric_tables") == made


def test_a_run_that_was_handed_two_models_loads_each_once(nli: SmallPlatform, loaded_before: dict[str, int]) -> None:
    for model in ("m1", "m2"):
        nli.add_model(model)
    tasks = ["medqa", "pubmedqa"]
    with open_instance(nli.settings) as instance:
        add_model_partitions(instance, all_models(nli.settings))
        ends = (grid_key("m1", "medqa"), grid_key("m2", "pubmedqa"))
        assert nli.run(instance, "prepare_tasks", dict(zip(RANGE, tasks, strict=True)))
        assert nli.run(instance, "evaluate_model", dict(zip(RANGE, ends, strict=True)), limit=1)
        assert since(loaded_before) == {"m1": 1, "m2": 1}
        assert loads_logged(instance) == ["m1", "m2"]
        assert materialized(instance, "scores") == cells("scores", ["m1", "m2"], tasks)


def test_a_run_that_fails_for_one_task_records_the_others_and_a_retry_makes_only_what_is_missing(
    nli: SmallPlatform, loaded_before: dict[str, int]
) -> None:
    nli.add_model("m1")
    tasks = ["medmcqa", "medqa", "pubmedqa"]
    tags = dict(zip(RANGE, (grid_key("m1", "medmcqa"), grid_key("m1", "pubmedqa")), strict=True))
    with open_instance(nli.settings) as instance:
        add_model_partitions(instance, all_models(nli.settings))
        for task in ("medmcqa", "pubmedqa"):
            assert nli.run(instance, "prepare_tasks", dict.fromkeys(RANGE, task))
        # medqa has no prompts yet.
        assert not nli.run(instance, "evaluate_model", tags, limit=1)
        assert materialized(instance, "generations") == cells("generations", ["m1"], ["medmcqa", "pubmedqa"])
        assert materialized(instance, "scores") == set()
        first = nli.made_by("generations", ["m1"], ["medmcqa", "pubmedqa"])

        assert nli.run(instance, "prepare_tasks", dict.fromkeys(RANGE, "medqa"))
        assert nli.run(instance, "evaluate_model", tags, limit=1)
        assert materialized(instance, "metric_tables") == cells("metric_tables", ["m1"], tasks)
        assert nli.made_by("generations", ["m1"], ["medmcqa", "pubmedqa"]) == first
        assert since(loaded_before) == {"m1": 1}
