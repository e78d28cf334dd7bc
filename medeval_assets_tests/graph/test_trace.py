"""A number of a real evaluation is traced to the bytes it came from, and made again bit for bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from medeval_assets.catalog.file_hashes import FileHashes
from medeval_assets.engines.loaded_engines import LOADED_ENGINES
from medeval_assets.errors import BadInput
from medeval_assets.lake.key import LakeKey
from medeval_assets.resources import all_models
from medeval_assets.settings import Settings
from medeval_assets.tasks import all_tasks
from medeval_assets.trace.chain import Link, chain_of, command_of
from medeval_assets.trace.example import ExampleTrace, example_trace
from medeval_assets.trace.replay import Replayed, replay
from medeval_assets_tests.graph.small_platform import SmallPlatform, loads, new_platform, scale_weights
from medeval_assets_tests.graph.test_privacy import nli_rows, write_nli

MODELS = ("m1", "baseline-majority", "elsewhere")
TASKS = ("mednli", "meqsum", "longhealth_1")
ASSETS = ["generations", "scores", "metric_tables"]


@pytest.fixture(scope="module")
def evaluated_once(roomy_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallPlatform:
    """A loaded model, a baseline and answers from elsewhere: options, free text, documents; one task on real files."""
    with new_platform(tmp_path_factory.mktemp("evaluated") / "home", roomy_checkpoint) as platform:
        platform.add_model("m1")
        write_nli(platform, [json.dumps(row) for row in nli_rows()])
        folder = platform.settings.external / "elsewhere"
        folder.mkdir(parents=True)
        answers = [json.dumps({"example_id": f"pair-{n}", "text": "entailment"}) for n in range(6)]
        (folder / "mednli.jsonl").write_text("\n".join(answers))
        assert platform.evaluate(["m1"], TASKS).problems == []
        assert platform.evaluate(["baseline-majority", "elsewhere"], TASKS[:1]).problems == []
        return platform


@pytest.fixture
def evaluated(evaluated_once: SmallPlatform, platform: SmallPlatform) -> SmallPlatform:
    """A copy of it, which a test may change."""
    return evaluated_once.copied(platform.settings.home)


def chain(platform: SmallPlatform, model: str = "m1", task: str = "mednli") -> Link:
    return chain_of(platform.lake, LakeKey("metric_tables", model, task))


def asked_about(platform: SmallPlatform, model: str = "m1", task: str = "mednli") -> str:
    return str(platform.lake.rows(LakeKey("generations", model, task))[0]["example_id"])


def example(platform: SmallPlatform, model: str = "m1", task: str = "mednli", example_id: str = "") -> ExampleTrace:
    return example_trace(
        platform.lake,
        chain(platform, model, task),
        example_id or asked_about(platform, model, task),
        task=all_tasks()[task],
        models=all_models(platform.settings),
        settings=platform.settings,
    )


def again(platform: SmallPlatform, model: str = "m1", task: str = "mednli") -> list[Replayed]:
    return replay(
        chain(platform, model, task),
        task=all_tasks()[task],
        models=all_models(platform.settings),
        settings=platform.settings,
        on_batch=lambda *_: None,
    )


def everything(platform: SmallPlatform) -> dict[str, bytes]:
    """Every file below the home but Dagster's and the caches, which a look at hashes may fill."""
    home = platform.settings.home
    paths = [path for path in home.rglob("*") if path.is_file()]
    kept = [path for path in paths if path.relative_to(home).parts[0] not in {"dagster", "cache"}]
    return {str(path.relative_to(home)): path.read_bytes() for path in kept}


def test_the_chain_ends_at_the_bytes_of_the_raw_file_and_of_the_model(evaluated: SmallPlatform) -> None:
    found = chain(evaluated)
    assert [link.key.asset for link in found.tables()] == [
        *("metric_tables", "scores", "datasets", "generations", "prompt_sets")
    ]
    datasets, generations = found.of("datasets"), found.of("generations")
    assert datasets is not None and datasets.record is not None
    assert generations is not None and generations.record is not None
    (raw,) = datasets.record.derivation.raw_files
    source = evaluated.settings.sources / "mednli" / raw.name
    assert raw.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    folder = evaluated.settings.home / "mine/m1"
    identity = generations.record.derivation.model
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    template = (folder / "chat_template.jinja").read_text()
    assert FileHashes(None).of(folder / "model.safetensors") == weights
    assert identity["chat_template_sha256"] == hashlib.sha256(template.encode()).hexdigest()
    assert all(identity[name] for name in ("weights_sha256", "tokenizer_sha256", "config_sha256"))
    document = json.loads(json.dumps(found.as_json()))
    (scores,) = document["inputs"]
    assert scores["inputs"][1]["record"]["derivation"]["model"] == identity


@pytest.mark.parametrize("task", TASKS)
def test_an_example_is_followed_from_its_row_to_its_scores_and_proves_what_was_asked(
    evaluated: SmallPlatform, task: str
) -> None:
    told = example(evaluated, task=task)
    key = {asset: LakeKey(asset, "m1", task) for asset in ("generations", "scores")}
    example_id = told.row["example_id"]
    assert told.raw == "the same row"
    assert told.generation == evaluated.lake.rows(key["generations"])[0]
    assert told.scores == [row for row in evaluated.lake.rows(key["scores"]) if row["example_id"] == example_id]
    assert told.prompt["prompt_sha256"] == told.generation["prompt_sha256"]
    # The hash is over the tokens, the decoding and who was asked: nothing of it was taken from what is compared.
    assert told.asked.matches is True
    assert told.asked.request_sha256 == told.generation["request_sha256"]
    shown = " ".join(told.asked.rendered.split())
    question = told.prompt["messages"][-1]["content"].partition("⟦documents⟧")[0]
    assert " ".join(question.split())[:40] in shown
    assert ("⟦documents⟧" in shown) is False
    journal = "".join(path.read_text() for path in sorted(evaluated.settings.journal.glob(f"*/{task}/*")))
    assert told.generation["request_sha256"] in journal


def test_what_was_not_asked_here_has_nothing_to_prove(evaluated: SmallPlatform) -> None:
    for model in MODELS[1:]:
        told = example(evaluated, model)
        assert (told.asked.rendered, told.asked.matches, told.asked.why) == ("", None, "no model was asked here")
        assert told.generation["text"]
    with pytest.raises(BadInput, match="it has no example `pair-99`"):
        example(evaluated, example_id="pair-99")


def test_what_moved_on_since_is_said(evaluated: SmallPlatform) -> None:
    example_id = asked_about(evaluated)
    write_nli(evaluated, [json.dumps(row) for row in nli_rows()[:5]])
    assert example(evaluated, example_id=example_id).raw == "other files"
    (evaluated.settings.sources / "mednli/mli_test_v1.jsonl").write_text("{")
    assert example(evaluated, example_id=example_id).raw == "unreadable"
    scale_weights(evaluated.settings.home / "mine/m1", 2)
    told = example(evaluated, example_id=example_id)
    assert (told.asked.matches, told.asked.why) == (False, "rendered with the model's files of today")
    (evaluated.settings.home / "models.yaml").unlink()
    assert example(evaluated, example_id=example_id).asked.why == "the model is no longer in the catalog"


@pytest.mark.parametrize("task", TASKS)
def test_a_cell_that_was_asked_beside_others_is_made_again_bit_for_bit(evaluated: SmallPlatform, task: str) -> None:
    before = everything(evaluated)
    LOADED_ENGINES.close()
    counted = loads().get("m1", 0)
    made = again(evaluated, task=task)
    assert [one.asset for one in made] == ASSETS
    assert all(one.same and one.reproduced and one.changes == [] for one in made)
    assert everything(evaluated) == before
    # It was really asked: the journal knows all answers, and does not count.
    assert loads()["m1"] == counted + 1


@pytest.mark.parametrize("model", MODELS[1:])
def test_answers_that_need_no_model_are_made_again_too(evaluated: SmallPlatform, model: str) -> None:
    assert all(one.same for one in again(evaluated, model))


def test_other_weights_are_found(evaluated: SmallPlatform) -> None:
    path = evaluated.settings.home / "mine/m1/model.safetensors"
    weights = load_file(path)
    weights["model.norm.weight"] = weights["model.norm.weight"] * np.float32(-1)
    save_file(weights, path, metadata={"format": "pt"})
    made = again(evaluated)
    assert not made[0].same
    assert not made[0].reproduced
    assert "weights_sha256" in [change.name for change in made[0].changes]
    assert made[0].answers is not None
    assert made[0].answers.other == made[0].answers.rows


def test_answers_that_were_made_up_are_found(evaluated: SmallPlatform) -> None:
    key = LakeKey("generations", "m1", "mednli")
    rows = evaluated.lake.rows(key)
    rows[0]["text"] = "entailment"
    rewritten = evaluated.lake.record(key)
    assert rewritten is not None
    made_up = evaluated.lake.write(key, rows, rewritten.derivation, run_id="r")
    for asset in ASSETS[1:]:
        before = evaluated.lake.record(LakeKey(asset, "m1", "mednli"))
        assert before is not None
        inputs = tuple(made_up.as_input() if one.asset == "generations" else one for one in before.derivation.inputs)
        made_up_next = before.derivation.model_copy(update={"inputs": inputs})
        evaluated.lake.write(before.key, evaluated.lake.rows(before.key), made_up_next, run_id="r")
    made = again(evaluated)
    assert made[0].answers is not None
    assert (made[0].answers.other, made[0].answers.rows) == (1, 2)
    assert not made[0].reproduced


def test_answers_from_other_batches_are_the_same_but_for_the_noise_of_likelihoods(evaluated: SmallPlatform) -> None:
    # Two of these answers are remembered from before, when they shared their batches with fewer.
    assert evaluated.evaluate(["m1"], ["mednli"], limit=3).problems == []
    made = again(evaluated)
    assert all(one.reproduced for one in made)
    assert made[0].same or (made[0].answers is not None and made[0].answers.likelihoods)


@pytest.mark.parametrize("made_again", [False, True])
def test_a_replay_uses_the_prompts_that_were_asked(evaluated: SmallPlatform, made_again: bool) -> None:
    if made_again:
        write_nli(evaluated, [json.dumps({**row, "sentence2": "Another."}) for row in nli_rows()])
        evaluated.evaluate(["baseline-majority"], ["mednli"])
        states = {link.key.asset: link.state for link in chain(evaluated).tables()}
        assert states["datasets"] == states["prompt_sets"] == "earlier version"
    assert all(one.same for one in again(evaluated))


def test_a_replay_without_the_data_is_refused(evaluated: SmallPlatform) -> None:
    for version in evaluated.lake.versions(LakeKey("prompt_sets", task="mednli")):
        evaluated.lake.remove(version, "purge")
    with pytest.raises(BadInput, match="the prompt_sets that it was made from are removed"):
        again(evaluated)


def test_what_a_killed_replay_left_is_removed_by_the_next(evaluated: SmallPlatform) -> None:
    left = evaluated.settings.home / ".replay-killed"
    (left / "journal").mkdir(parents=True)
    again(evaluated, "baseline-majority")
    assert list(evaluated.settings.home.glob(".replay-*")) == []


def test_the_command_that_is_told_makes_the_same_tables_elsewhere(evaluated: SmallPlatform, tmp_path: Path) -> None:
    command = command_of(chain(evaluated)).split()
    assert command == ["medeval", "evaluate", "-m", "m1", "-t", "mednli", "--limit", "2"]
    elsewhere = SmallPlatform(
        Settings(home=tmp_path / "elsewhere", sources=evaluated.settings.sources), evaluated.checkpoint
    )
    elsewhere.settings.home.mkdir()
    elsewhere.add_model("m1")
    assert elsewhere.evaluate(["m1"], ["mednli"], limit=int(command[-1])).problems == []
    assert contents(elsewhere) == contents(evaluated)


def contents(platform: SmallPlatform) -> Sequence[Any]:
    records = [platform.lake.record(LakeKey(asset, "m1", "mednli")) for asset in ASSETS]
    return [record and record.content_sha256 for record in records]
