"""What an evaluation asks the model for: what nobody ever answered, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medeval_assets import tasks
from medeval_assets.catalog.task_spec import Decoding
from medeval_assets.engines.loaded_engines import LOADED_ENGINES
from medeval_assets.lake.key import LakeKey
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.graph.small_platform import SmallPlatform, loads, new_platform, scale_weights

pytestmark = pytest.mark.slow

MODELS, TASKS = ["m1", "m2"], ["medqa", "pubmedqa"]
LIMIT = 3


def questions(count: int) -> str:
    rows = [
        {"question": f"Which is {n}?", "options": {"A": "0", "B": "1"}, "answer_idx": "AB"[n % 2]} for n in range(count)
    ]
    return "\n".join(map(json.dumps, rows))


def asked(platform: SmallPlatform) -> list[str]:
    """The hash of every answer in the journal, one by one."""
    hashes: list[str] = []
    for path in sorted(platform.settings.journal.rglob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            hashes += json.loads(line.partition(b" ")[2])["answers"]
    return hashes


def cost(platform: SmallPlatform, models: list[str], tasks: list[str], limit: int | None = LIMIT) -> dict[str, int]:
    """How many prompts an evaluation asks each model; a cell that stays as it was asks none."""
    before = asked(platform)
    assert platform.evaluate(models, tasks, limit).problems == []
    after = asked(platform)
    assert len(after) == len(set(after)), "an answer was computed twice"
    new = set(after) - set(before)
    counts = {}
    for model in models:
        for task in tasks:
            rows = platform.lake.rows(LakeKey("generations", model, task))
            counts[f"{model} {task}"] = sum(row["request_sha256"] in new for row in rows)
    assert sum(counts.values()) == len(new)
    return {cell: count for cell, count in counts.items() if count}


@pytest.fixture(scope="module")
def evaluated_once(roomy_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallPlatform:
    """Two models on two tasks, everything answered."""
    with new_platform(tmp_path_factory.mktemp("evaluated") / "home", roomy_checkpoint) as platform:
        platform.write_source("medqa", "test.jsonl", questions(8))
        for model in MODELS:
            platform.add_model(model)
        first = cost(platform, MODELS, TASKS)
        assert first == {f"{model} {task}": LIMIT for model in MODELS for task in TASKS}
        return platform


@pytest.fixture
def evaluated(evaluated_once: SmallPlatform, platform: SmallPlatform) -> SmallPlatform:
    """A copy of it."""
    return evaluated_once.copied(platform.settings.home)


def rewritten(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def weights(platform: SmallPlatform, patch: pytest.MonkeyPatch) -> None:
    path = platform.settings.home / "mine" / "m1" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # the lowest bit of a weight's exponent
    path.write_bytes(bytes(content))


def tokenizer(platform: SmallPlatform, patch: pytest.MonkeyPatch) -> None:
    path = platform.settings.home / "mine" / "m1" / "tokenizer.json"
    path.write_text(path.read_text() + " ")


def template(platform: SmallPlatform, patch: pytest.MonkeyPatch) -> None:
    rewritten(platform.settings.home / "mine" / "m1" / "chat_template.jinja", "role'] + '\\n'", "role'] + ' '")


def dtype(platform: SmallPlatform, patch: pytest.MonkeyPatch) -> None:
    path = platform.settings.home / "models.yaml"
    head, m2, tail = path.read_text().partition("  m2:")
    path.write_text(head.replace("float32", "bfloat16") + m2 + tail)


def source(platform: SmallPlatform, patch: pytest.MonkeyPatch) -> None:
    rewritten(platform.settings.sources / "medqa" / "test.jsonl", "Which is", "What is")


def decoding(platform: SmallPlatform, patch: pytest.MonkeyPatch) -> None:
    patch.setitem(tasks._own_tasks(), "medqa", replace(all_tasks()["medqa"], decoding=Decoding(max_new_tokens=7)))


def stop(platform: SmallPlatform, patch: pytest.MonkeyPatch) -> None:
    other = replace(all_tasks()["medqa"].decoding, stop=("Z",))
    patch.setitem(tasks._own_tasks(), "medqa", replace(all_tasks()["medqa"], decoding=other))


OF_M1 = {"m1 medqa": LIMIT, "m1 pubmedqa": LIMIT}
OF_MEDQA = {"m1 medqa": LIMIT, "m2 medqa": LIMIT}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (weights, OF_M1),
        (tokenizer, OF_M1),
        (template, OF_M1),
        (dtype, OF_M1),
        (source, OF_MEDQA),
        (decoding, OF_MEDQA),
        (stop, OF_MEDQA),
    ],
)
def test_a_change_asks_what_it_touches_and_changing_back_asks_nothing(
    evaluated: SmallPlatform,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[SmallPlatform, pytest.MonkeyPatch], None],
    expected: dict[str, int],
) -> None:
    files = [path for path in evaluated.settings.home.joinpath("mine").rglob("*") if path.is_file()]
    files += [evaluated.settings.home / "models.yaml", *evaluated.settings.sources.rglob("*.jsonl")]
    before = {path: path.read_bytes() for path in files}
    tables = evaluated.made_by("generations", MODELS, TASKS)
    rows = {cell: evaluated.lake.rows(LakeKey("generations", *cell)) for cell in tables}
    with monkeypatch.context() as patch:
        change(evaluated, patch)
        assert cost(evaluated, MODELS, TASKS) == expected
        now = evaluated.made_by("generations", MODELS, TASKS)
        assert {" ".join(cell) for cell in now if now[cell] != tables[cell]} == set(expected)
    for path, content in before.items():
        if path.read_bytes() != content:
            path.write_bytes(content)
    LOADED_ENGINES.close()
    loaded = loads()
    assert cost(evaluated, MODELS, TASKS) == {}
    assert loads() == loaded, "a model was loaded for answers that the journal has"
    assert {cell: evaluated.lake.rows(LakeKey("generations", *cell)) for cell in tables} == rows


def vignettes(count: int) -> str:
    """A source of MedBullets, which shows no worked examples: a larger set has the prompts of the smaller one."""
    rows = [
        {
            "link": f"synthetic://{n}",
            "question": f"Which is {n}?",
            **{f"op{letter}": f"{letter} {n}" for letter in "abcd"},
            "answer_idx": "ABCD"[n % 4],
        }
        for n in range(count)
    ]
    return json.dumps({column: {str(n): row[column] for n, row in enumerate(rows)} for column in rows[0]})


def test_more_examples_cost_their_own_generations_alone(platform: SmallPlatform) -> None:
    platform.write_source("medbullets", "medbullets_op4.json", vignettes(6))
    platform.add_model("m1")
    cell = "m1 medbullets"
    for limit, expected in ((2, 2), (4, 2), (2, 0), (None, 2)):
        assert cost(platform, ["m1"], ["medbullets"], limit) == ({cell: expected} if expected else {})
    platform.write_source("medbullets", "medbullets_op4.json", vignettes(16))
    assert cost(platform, ["m1"], ["medbullets"], None) == {cell: 10}
    assert len(platform.lake.rows(LakeKey("generations", "m1", "medbullets"))) == 16


def test_copies_of_a_checkpoint_share_their_answers(evaluated: SmallPlatform) -> None:
    folder = evaluated.add_model("m3")
    (folder / "model.safetensors").write_bytes(
        (evaluated.settings.home / "mine" / "m1" / "model.safetensors").read_bytes()
    )
    assert cost(evaluated, ["m3"], TASKS) == {}
    scale_weights(folder, 3)
    assert cost(evaluated, ["m3"], TASKS) == {f"m3 {task}": LIMIT for task in TASKS}
