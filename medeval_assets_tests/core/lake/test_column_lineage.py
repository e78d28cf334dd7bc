"""The column lineage is what the code does: every column of every table is changed, and what follows was declared.

The recipes that the assets are made by run on real examples, the answers of real baselines and of a real tiny model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from medeval_assets.catalog.model_spec import EngineNeeds, ModelSpec
from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.engines.cell import cell_of
from medeval_assets.engines.loaded_engines import LOADED_ENGINES
from medeval_assets.engines.respondents import respondent_of
from medeval_assets.lake.column_lineage import Column, rows_from, sources_of
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets.lake.tables import TABLES, arrow_schema
from medeval_assets.metrics.clue_level import LEVEL_1
from medeval_assets.metrics.metric import CLUE, CORRECTED
from medeval_assets.recipes.comparisons import comparisons_recipe
from medeval_assets.recipes.leaderboard import leaderboard_recipe
from medeval_assets.recipes.metric_tables import metric_table_recipe
from medeval_assets.recipes.prompt_sets import prompt_set_recipe
from medeval_assets.recipes.repeat_checks import repeat_checks_recipe
from medeval_assets.recipes.scores import scores_recipe
from medeval_assets.settings import Settings
from medeval_assets.sources.dataset import read_dataset
from medeval_assets.sources.example_rows import rows_of
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.core.audit.small_lakes import row_of
from medeval_assets_tests.core.lake.changed_columns import Changes, Found, Row, all_become, every, find, only, rotated
from medeval_assets_tests.graph.small_platform import make_roomy_checkpoint

KINDS = ("mednli", "meqsum", "longhealth_1", "ncbi_disease")
"""A task of labels, of free text, of options with documents, and of mentions."""

READ = {
    "prompt_sets": {"datasets"},
    "generations": {"prompt_sets"},
    "scores": {"datasets", "generations"},
    "metric_tables": {"scores"},
    "repeat_checks": {"datasets", "prompt_sets", "generations"},
    "leaderboard": {"metric_tables", "datasets"},
    "comparisons": {"scores", "repeat_checks"},
}
MADE = Derivation(code_version="1")
OTHER_SHA256 = "1" * 64
OTHER_PROFILE = {CORRECTED: CLUE, CLUE: CORRECTED}
MODELS = {
    "m": ModelSpec(key="m", checkpoint="folder:m", role="biomedical", base="m0"),
    "m0": ModelSpec(key="m0", checkpoint="folder:m0", role="generalist"),
}


def _each_text(change: Callable[[str], str]) -> Callable[[Mapping[str, str]], dict[str, str]]:
    return lambda texts: {name: change(text) for name, text in texts.items()}


def _shifted(options: Mapping[str, str]) -> dict[str, str]:
    texts = list(options.values())
    return dict(zip(options, texts[1:] + texts[:1], strict=True))


OF_DATASETS: Changes = {
    "example_id": [rotated("example_id"), every(lambda name: f"{name}x", "example_id")],
    "cluster_id": [all_become("one", "cluster_id")],
    "split": [only(-1, lambda _: "dev", "split")],
    "inputs": [every(_each_text(lambda _: "Something else."), "inputs")],
    "options": [
        every(_shifted, "options"),
        every(lambda options: dict(reversed(options.items())), "options"),
        every(_each_text(lambda _: "nothing of it"), "options"),
    ],
    "targets": [rotated("targets"), only(-1, lambda targets: targets * 2, "targets")],
    "documents": [
        all_become([], "documents"),
        every(lambda all_: [{**one, "text": "Other."} for one in all_], "documents"),
    ],
}
OF_PROMPT_SETS: Changes = {
    "example_id": [rotated("example_id"), only(-1, lambda name: f"{name}x", "example_id")],
    "messages": [
        every(lambda all_: [*all_[:-1], {**all_[-1], "content": f"{all_[-1]['content']} Really?"}], "messages"),
        every(lambda all_: [{**all_[-1], "content": f"{all_[-1]['content']}{' word' * 5000}"}], "messages"),
    ],
    "cue": [every(lambda cue: f"{cue} So:", "cue")],
    "options": [every(_each_text(lambda text: f"{text} or so"), "options"), all_become({}, "options")],
    "documents": [every(lambda all_: [{**one, "text": f"Other {one['text']}"} for one in all_], "documents")],
    "shots": [every(lambda shots: [*shots, "one more"], "shots")],
    "prompt_sha256": [all_become(OTHER_SHA256, "prompt_sha256")],
}
OF_GENERATIONS: Changes = {
    "example_id": [rotated("example_id"), only(-1, lambda name: f"{name}x", "example_id")],
    "prompt_sha256": [all_become(OTHER_SHA256, "prompt_sha256")],
    "text": [rotated("text"), all_become("", "text"), every(lambda text: f"{text} word", "text")],
    "finish_reason": [
        only(0, lambda _: "skipped", "finish_reason"),
        *(all_become(name, "finish_reason") for name in ("skipped", "length", "stop")),
    ],
    "skip_reason": [all_become("why", "skip_reason")],
    "prompt_tokens": [every(lambda count: count + 1, "prompt_tokens")],
    "generated_tokens": [every(lambda count: count + 1, "generated_tokens")],
    "option_logprobs": [
        every(lambda values: [-value for value in values], "option_logprobs"),
        every(lambda values: [float("nan")] * len(values), "option_logprobs"),
        all_become([], "option_logprobs"),
    ],
    "option_tokens": [every(lambda counts: [count + 1 for count in counts], "option_tokens")],
    "fitting": [every(lambda _: '{"documents": []}', "fitting")],
    "request_sha256": [only(-1, lambda _: OTHER_SHA256, "request_sha256")],
}
OF_SCORES: Changes = {
    "example_id": [rotated("example_id"), every(lambda name: f"{name}x", "example_id")],
    "cluster_id": [all_become("one", "cluster_id"), every(lambda name: name[-1:], "cluster_id")],
    "metric": [every(lambda name: f"{name}x", "metric")],
    "title": [every(lambda title: f"{title}x", "title")],
    "profile": [
        every(lambda name: f"{name}x", "profile"),
        every(lambda name: OTHER_PROFILE.get(name, name), "profile"),
    ],
    "numerator": [rotated("numerator"), every(lambda value: value / 2, "numerator")],
    "denominator": [only(0, lambda value: value + 3, "denominator"), all_become(0.0, "denominator")],
    "perfect": [every(lambda value: value + 1, "perfect")],
    "value": [all_become(0.25, "value")],
    "parse_rule": [all_become("another", "parse_rule")],
    "failure": [all_become(name, "failure") for name in ("skipped", "no_match", "")],
    "prompt_sha256": [all_become(OTHER_SHA256, "prompt_sha256"), only(0, lambda _: OTHER_SHA256, "prompt_sha256")],
    "fitting_sha256": [all_become(OTHER_SHA256, "fitting_sha256")],
    "cut": [every(lambda cut: not cut, "cut"), all_become(True, "cut")],
    "characters": [every(lambda count: count * count + 1, "characters")],
}


def _simple_changes(asset: str) -> dict[str, list[Callable[[list[Row]], list[Row]]]]:
    """A change or two of every column that is no list or map."""
    found = {}
    for column in arrow_schema(asset):
        name, kind = column.name, column.type
        if pa.types.is_floating(kind):
            found[name] = [every(lambda value: value and value / 2, name), all_become(None, name)]
        elif pa.types.is_integer(kind):
            found[name] = [every(lambda value: value + 1, name)]
        elif pa.types.is_boolean(kind):
            found[name] = [every(lambda value: not value, name)]
        elif pa.types.is_string(kind):
            found[name] = [rotated(name), every(lambda text: f"{text}x", name)]
    return found


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("home")
    return Settings(home=folder, sources=folder / "sources")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelSpec]:
    """A tiny model that really answers; without a chat template, so that the cue is read."""
    folder = make_roomy_checkpoint(tmp_path_factory.mktemp("roomy"), seed=0)
    yield ModelSpec(
        key="tiny",
        checkpoint=f"folder:{folder}",
        role="generalist",
        chat_template="none",
        engine=EngineNeeds(gpus=0, dtype="float32"),
    )
    LOADED_ENGINES.close()


def _short(task: TaskSpec) -> TaskSpec:
    return replace(task, decoding=replace(task.decoding, max_new_tokens=4))


def _examples(task: TaskSpec, settings: Settings, most: int = 16) -> list[Row]:
    """Real rows, shortened, at most so many of them to score, with words that an answer can be seen to repeat."""
    rows = [dict(row) for row in rows_of(read_dataset(task, settings).examples)]
    rows = [row for row in rows if row["split"] == "dev"][:4] + [row for row in rows if row["split"] == "test"][:most]
    for row in rows:
        row["inputs"] = {name: text[:150] for name, text in row["inputs"].items()}
        first = next(iter(row["inputs"]))
        row["inputs"][first] += "".join(f" input{number}" for number in range(25))
        row["documents"] = [
            {**one, "text": "".join(f" document{place}word{number}" for number in range(25))}
            for place, one in enumerate(row["documents"][:3])
        ]
    return rows


def _answers(lake: Lake, task: str, *, better: bool = True) -> list[Row]:
    """Answers of every kind to the task's prompts. better: whose texts are right more often, and likelihoods less."""
    examples = {row["example_id"]: row for row in lake.rows(LakeKey("datasets", task=task))}
    rows = []
    for place, prompt in enumerate(lake.rows(LakeKey("prompt_sets", task=task))):
        example = examples[prompt["example_id"]]
        right = example["targets"][0] if example["targets"] else "none"
        options = list(example["options"])
        texts = [
            *(right, f"The answer is {right}", f"I think it is {example['options'].get(right, right)}"),
            *("", "No idea at all.", " or ".join(example["options"].values()) or "none"),
            *(next(iter(example["inputs"].values())), "".join(one["text"] for one in example["documents"]) or right),
        ]
        text = texts[(place if better else 3 * place + 1) % len(texts)]
        likely = [-1.0 if (option in example["targets"]) is (not better) else -2.0 for option in options]
        rows.append(
            {
                "example_id": prompt["example_id"],
                "prompt_sha256": prompt["prompt_sha256"],
                "text": text,
                "finish_reason": "length" if place == (0 if better else 1) else "stop",
                "skip_reason": "",
                "prompt_tokens": 5,
                "generated_tokens": 3,
                "option_logprobs": [value - place / 100 for value in likely],
                "option_tokens": [1] * len(options),
                "fitting": "{}" if example["documents"] else "",
                "request_sha256": prompt["prompt_sha256"],
            }
        )
    return rows


def _write_task(lake: Lake, settings: Settings, name: str, most: int = 16) -> TaskSpec:
    """The task's dataset and prompt set."""
    task = all_tasks()[name]
    lake.write(LakeKey("datasets", task=name), _examples(task, settings, most), MADE, run_id="run")
    prompt_set_recipe(lake, task, settings, "project").make(lake, run_id="run")
    return task


def _agrees(asset: str, found: Found, engine: str = "", *, together: Sequence[str] = ()) -> None:
    """What was found is what is declared. together: columns that need not each show all that they are made from."""
    declared = {name: set(sources) for name, sources in sources_of(asset, engine).items()}
    chosen = set(rows_from(asset))
    seen = dict(found.columns)
    seen |= dict.fromkeys(together, set[Column]().union(*(seen.get(name, set()) for name in together)))
    undeclared = {name: sources - declared.get(name, set()) - chosen for name, sources in found.columns.items()}
    unread = {name: sources - seen.get(name, set()) for name, sources in declared.items()}
    assert {name: sources for name, sources in undeclared.items() if sources} == {}
    assert {name: sources for name, sources in unread.items() if sources} == {}
    assert found.rows <= chosen <= found.rows.union(*found.columns.values())


@pytest.mark.parametrize("asset", TABLES)
def test_every_column_that_is_named_exists(asset: str) -> None:
    named = {source for sources in sources_of(asset).values() for source in sources} | set(rows_from(asset))
    assert set(sources_of(asset)) <= set(arrow_schema(asset).names)
    for source, name in named:
        assert name in arrow_schema(source).names, f"{source}.{name}"
    assert {source for source, _ in named} == READ.get(asset, set())


def test_of_prompt_sets(lake: Lake, settings: Settings) -> None:
    found = Found()
    for name in KINDS:
        task = _write_task(lake, settings, name)
        find(
            lake,
            lambda task=task: prompt_set_recipe(lake, task, settings, "project").rows(),  # type: ignore[misc]
            {(LakeKey("datasets", task=name),): OF_DATASETS},
            ["example_id"],
            found,
        )
    _agrees("prompt_sets", found)


def _generations(lake: Lake, spec: ModelSpec, settings: Settings, names: Sequence[str], found: Found) -> None:
    for name in names:
        task = _write_task(lake, settings, name)
        if spec.is_asked:
            task = _short(task)
        respondent = respondent_of(spec, {spec.key: spec}, settings)

        def make(task: TaskSpec = task, respondent: Any = respondent) -> list[Row]:
            cell = cell_of(lake, spec.key, task, respondent, 3 if spec.is_asked else None)
            (outcome,) = respondent.answer([cell.questions(lake)], lambda *_: None)
            if outcome.error:
                raise outcome.error
            return [asdict(one) for one in outcome.generations]

        read: dict[tuple[LakeKey, ...], Changes] = {(LakeKey("prompt_sets", task=name),): OF_PROMPT_SETS}
        if "datasets" in respondent.reads:
            read[LakeKey("datasets", task=name),] = OF_DATASETS
        find(lake, make, read, ["example_id"], found)


def test_of_generations_of_a_model(lake: Lake, settings: Settings, model: ModelSpec) -> None:
    found = Found()
    _generations(lake, model, settings, ["mednli", "longhealth_1"], found)
    returned = set(sources_of("generations")) - {"example_id", "prompt_sha256"}
    _agrees("generations", found, together=sorted(returned))


def test_of_generations_of_baselines(lake: Lake, settings: Settings) -> None:
    found = Found()
    for name in ("majority", "random", "copy"):
        spec = ModelSpec(key=name, checkpoint=f"baseline:{name}", role="baseline")
        _generations(lake, spec, settings, ["longhealth_1", "ncbi_disease"], found)
    # They read the examples by their ids, and not by what is asked about them.
    found.rows.discard(("datasets", "example_id"))
    _agrees("generations", found, "baseline")


def test_of_scores(lake: Lake, settings: Settings) -> None:
    found = Found()
    for name in KINDS:
        task = _write_task(lake, settings, name)
        cell = LakeKey("generations", "m", name)
        lake.write(cell, _answers(lake, name), MADE, run_id="run")
        find(
            lake,
            lambda task=task: scores_recipe(lake, "m", task, settings).rows(),  # type: ignore[misc]
            {(LakeKey("datasets", task=name),): OF_DATASETS, (cell,): OF_GENERATIONS},
            ["example_id", "metric", "profile"],
            found,
        )
    _agrees("scores", found)


def test_of_metric_tables(lake: Lake, settings: Settings) -> None:
    found = Found()
    for name in ("mednli", "ncbi_disease"):
        task = _write_task(lake, settings, name)
        lake.write(LakeKey("generations", "m", name), _answers(lake, name), MADE, run_id="run")
        scores = scores_recipe(lake, "m", task, settings).make(lake, run_id="run").key
        find(
            lake,
            lambda name=name: metric_table_recipe(lake, "m", name).rows(),  # type: ignore[misc]
            {(scores,): OF_SCORES},
            ["metric", "profile"],
            found,
        )
    _agrees("metric_tables", found)


def test_of_repeat_checks(lake: Lake, settings: Settings, model: ModelSpec) -> None:
    name, models = "longhealth_1", {model.key: model}
    task = _short(_write_task(lake, settings, name, most=4))
    respondent = respondent_of(model, models, settings)
    cell = cell_of(lake, model.key, task, respondent, None)
    (outcome,) = respondent.answer([cell.questions(lake)], lambda *_: None)
    cell.recipe(outcome.generations).make(lake, run_id="run")
    same, *others = lake.rows(cell.key)
    examples = {row["example_id"]: row for row in lake.rows(LakeKey("datasets", task=name))}
    # All but one of the first answers were other ones, so that there is something to compare.
    for row, place in zip(others, ("inputs", "documents", "targets"), strict=True):
        example = examples[row["example_id"]]
        documents = "".join(one["text"] for one in example["documents"])
        row["text"] = {"documents": documents, **example["inputs"], "targets": example["targets"][0]}.get(
            place, example["inputs"]["question"]
        )
        row["option_logprobs"] = [-1.0 if option in example["targets"] else -9.0 for option in example["options"]]
    lake.write(cell.key, [same, *others], cell.derivation, run_id="run")
    found = Found()
    find(
        lake,
        lambda: repeat_checks_recipe(lake, model, models, task, settings, examples=4).rows(),
        {
            (LakeKey("datasets", task=name),): {**OF_DATASETS, "targets": [all_become(["E"], "targets")]},
            (LakeKey("prompt_sets", task=name),): {column: ways[-1:] for column, ways in OF_PROMPT_SETS.items()},
            (cell.key,): OF_GENERATIONS,
        },
        ["variant", "metric", "profile"],
        found,
    )
    _agrees("repeat_checks", found)


def test_of_the_leaderboard(lake: Lake, settings: Settings) -> None:
    model, changes = "biomistral-7b", _simple_changes("metric_tables")
    changes["low"] += [all_become(0.9, "low")]
    changes["high"] += [all_become(0.1, "high")]
    changes["value"] += [all_become(0.9, "value")]
    parts: dict[str, list[str]] = {}
    for name, metric in (one for part in LEVEL_1 for one in part):
        parts.setdefault(name, []).append(metric)
    for name, metrics in parts.items():
        rows = [
            row_of("metric_tables", place)
            | {"metric": metric, "profile": profile, "title": metric, "headline": place == 0}
            | {"standard_error": 0.02, "low": 0.3, "high": 0.6}
            for place, (metric, profile) in enumerate(
                [*((metric, CLUE) for metric in metrics), (metrics[0], CORRECTED)]
            )
        ]
        lake.write(LakeKey("metric_tables", model, name), rows, MADE, run_id="run")
        examples = _examples(all_tasks()[name], settings)
        examples[-1]["options"] = dict(list(examples[-1]["options"].items())[:2])
        lake.write(LakeKey("datasets", task=name), examples, MADE, run_id="run")
    fewer = {"options": [every(lambda options: dict(list(options.items())[:2]), "options")]}
    found = Found()
    find(
        lake,
        lambda: leaderboard_recipe(lake, [model], settings).rows(),
        {
            **{(LakeKey("metric_tables", model, name),): changes for name in ("mednli", "meqsum")},
            (LakeKey("datasets", task="mednli"),): {**OF_DATASETS, **fewer},
        },
        ["model", "task", "metric", "profile"],
        found,
    )
    _agrees("leaderboard", found)


def test_of_comparisons(lake: Lake, settings: Settings) -> None:
    names, noisy = ("mednli", "meqsum"), _simple_changes("repeat_checks")
    # These may not be empty.
    noisy |= {name: noisy[name][:1] for name in ("flip_rate", "flip_low", "flip_high")}
    noisy["n"] = [every(lambda count: count - 1, "n")]
    changes: dict[tuple[LakeKey, ...], Changes] = {}
    for name in names:
        task = _write_task(lake, settings, name)
        for model in MODELS:
            answers = _answers(lake, name, better=model == "m")
            if name == "meqsum":
                answers = [{**row, "text": row["text"] or "Which?"} for row in answers]
            generations = lake.write(LakeKey("generations", model, name), answers, MADE, run_id="run")
            scores = scores_recipe(lake, model, task, settings).make(lake, run_id="run").key
            metrics = dict.fromkeys((row["metric"], row["profile"]) for row in lake.rows(scores))
            checks = [
                row_of("repeat_checks", 5) | {"metric": metric, "profile": profile, "shift": 0.01 * place}
                for place, (metric, profile) in enumerate(metrics)
            ]
            check = LakeKey("repeat_checks", model, name)
            lake.write(check, checks, MADE.model_copy(update={"inputs": (generations.as_input(),)}), run_id="run")
            # What is changed of one of the two, and of both, shows all.
            changes |= {(check,): noisy if name == "mednli" else {}} if model == "m" else {(scores,): OF_SCORES}
        changes[tuple(LakeKey("scores", model, name) for model in MODELS)] = OF_SCORES
    found = Found()
    find(
        lake,
        lambda: comparisons_recipe(lake, MODELS, 0.02).rows(),
        changes,
        ["model", "task", "metric", "profile"],
        found,
    )
    judged = ("verdict", "non_inferior", "base_non_inferior", "detectable", "test")
    _agrees("comparisons", found, together=judged)
