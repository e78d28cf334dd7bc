"""What is stale in an edited home, from first principles: a table of which an ingredient is another one now.

The ledger keeps what every ingredient was when a table was made: files, texts of templates, code versions, and the rows
of each table that it was made from. It knows nothing of derivations, hashes of content and recipes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from medeval_assets.lake.key import LakeKey
from medeval_assets_tests.graph.edited_home import COMMITS, SCRIPTS, TEMPLATES, Choices, EditedHome

GONE = "gone"
UNSEEN = "not on this machine"
"""Stands for what may have moved or not: nothing is known of it."""

TEXTS = ("datasets", "prompt_sets", "generations")
"""The tables that hold texts of examples."""

Ingredients = dict[str, str]
"""By name; whatever it is, as text."""

_READ = {
    "mednli": ("mli_test_v1.jsonl",),
    "problem_summary": ("BioNLP2023-1A-Test.csv",),
    "medqa": ("test.jsonl",),
    "pubmedqa": ("ori_pqal.json", "test_ground_truth.json"),
}
"""Task → the files that its examples are read from, where they are there."""

_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_CONFIG = ("config.json", "generation_config.json")


@dataclass(frozen=True)
class Made:
    """A table as it was made. rows: its own."""

    choices: Choices
    ingredients: Ingredients
    rows: str


@dataclass
class Ledger:
    """What was made in the lake at `folder`. proofs: rows of the tables that were purged."""

    home: EditedHome
    folder: Path
    made: dict[LakeKey, Made] = field(default_factory=dict)
    proofs: dict[LakeKey, str] = field(default_factory=dict)

    def note(self, key: LakeKey, choices: Choices) -> None:
        """A table was made of what there is now."""
        rows = pq.read_table(self.folder / key.folder / "data.parquet").to_pylist()
        self.made[key] = Made(choices, self._ingredients(key, choices), json.dumps(rows, default=str))

    def note_purge(self, task: str) -> None:
        """The task's texts were removed."""
        for key in [key for key in self.made if key.task == task and key.asset in TEXTS]:
            self.proofs[key] = self.made.pop(key).rows

    def moved(self, key: LakeKey) -> set[str]:
        """Names of the ingredients that are other ones than when the table was made; empty where it is not stale."""
        made = self.made[key]
        before, now = made.ingredients, self._ingredients(key, made.choices)
        return {name for name in {*before, *now} if now.get(name) not in {UNSEEN, before.get(name)}}

    def stale(self) -> set[LakeKey]:
        return {key for key in self.made if self.moved(key)}

    def copied_to(self, folder: Path) -> Ledger:
        """The same lake in another folder, so that something else can be made in it."""
        shutil.copytree(self.folder, folder)
        return Ledger(self.home, folder, dict(self.made), dict(self.proofs))

    # Ingredients

    def _ingredients(self, key: LakeKey, choices: Choices) -> Ingredients:
        of_asset: dict[str, Callable[[], Ingredients]] = {
            "datasets": lambda: self._of_dataset(key.task),
            "prompt_sets": lambda: self._of_prompt_set(key.task, choices.prompts),
            "generations": lambda: self._of_generations(key),
            "scores": lambda: self._of_scores(key),
            "metric_tables": lambda: {"scores": self._rows(LakeKey("scores", key.model, key.task))},
            "repeat_checks": lambda: self._of_repeat_check(key),
            "leaderboard": self._of_leaderboard,
            "comparisons": self._of_comparisons,
        }
        found = {"code": str(self.home.at[f"code of {key.asset}"]), **of_asset[key.asset]()}
        if key.asset not in {"metric_tables", "leaderboard", "comparisons"}:
            found["task"] = GONE if self.home.at["left the tasks"] == key.task else "there"
        return found

    def _of_dataset(self, task: str) -> Ingredients:
        own = self.home.home / "sources" / task
        folder = own if own.is_dir() else self.home.folder / "bundled" / "samples" / task
        reader = str(self.home.at["reader of mednli"]) if task == "mednli" else ""
        return {"raw files": _files(folder, _READ[task]), "reader": reader}

    def _of_prompt_set(self, task: str, prompts: str) -> Ingredients:
        words = {"template": _files(self.home.folder / "templates", TEMPLATES[task])}
        if prompts == "clue":
            words["script"] = _file(self.home.home / "clue" / "eval" / SCRIPTS[task][0])
            words["commit"] = COMMITS[self.home.at["commit of the clone"]]
        shots = str(self.home.at["shots of mednli"]) if task == "mednli" else ""
        return {**words, "shots": shots, "dataset": self._rows(LakeKey("datasets", task=task))}

    def _of_generations(self, key: LakeKey) -> Ingredients:
        at = self.home.at
        prompts = {"prompts": self._rows(LakeKey("prompt_sets", task=key.task))}
        if key.model == "elsewhere":
            return {**prompts, "answers": _file(self.home.home / "external" / "elsewhere" / f"{key.task}.jsonl")}
        decoding = str(at["decoding of mednli"]) if key.task == "mednli" else ""
        if key.model.startswith("baseline-"):
            dataset = self._rows(LakeKey("datasets", task=key.task))
            return {**prompts, "dataset": dataset, "decoding": decoding, "code of it": str(at["code of baselines"])}
        setting = {"dtype": at["dtype"], "context": at["context"]} if key.model != "hub" else {}
        return {**prompts, "decoding": decoding, "engine": json.dumps(setting), **self.checkpoint(key.model)}

    def _of_scores(self, key: LakeKey) -> Ingredients:
        return {
            "dataset": self._rows(LakeKey("datasets", task=key.task)),
            "generations": self._rows(LakeKey("generations", key.model, key.task)),
            "encoder": self._encoder() if key.task == "problem_summary" else "",
        }

    def _of_repeat_check(self, key: LakeKey) -> Ingredients:
        prompts = {"prompts": self._rows(LakeKey("prompt_sets", task=key.task))}
        return {**self._of_scores(key), **prompts, **self.checkpoint(key.model)}

    def _of_leaderboard(self) -> Ingredients:
        order = self._catalog()
        cells = sorted(
            (key for key in self.made if key.asset == "metric_tables" and key.task in self.home.specs),
            key=lambda key: (
                list(self.home.specs).index(key.task),
                order.index(key.model) if key.model in order else len(order),
                key.model,
            ),
        )
        tasks = dict.fromkeys(key.task for key in cells)
        return {
            "cells": self._tables(cells),
            "datasets": self._tables(LakeKey("datasets", task=task) for task in tasks),
            "published": _file(self.home.folder / "bundled" / "reference" / "published.csv"),
        }

    def _of_comparisons(self) -> Ingredients:
        pairs = self.pairs()
        scored: list[LakeKey] = []
        for task in self.home.specs:
            there = {key.model for key in self.made if key.asset == "scores" and key.task == task}
            compared = dict.fromkeys(model for pair in pairs if there.issuperset(pair) for model in pair)
            scored += [LakeKey("scores", model, task) for model in compared]
        checks = [LakeKey("repeat_checks", key.model, key.task) for key in scored if self._checked(key)]
        return {"pairs": json.dumps(pairs), "scores": self._tables(scored), "repeat checks": self._tables(checks)}

    def _checked(self, scores: LakeKey) -> bool:
        """Whether there is a repeat check of the answers that these are the scores of."""
        check = self.made.get(LakeKey("repeat_checks", scores.model, scores.task))
        return check is not None and check.ingredients["generations"] == self.made[scores].ingredients["generations"]

    def checkpoint(self, model: str) -> Ingredients:
        """Whose answers they are."""
        at, names = self.home.at, ("weights", "tokenizer", "config", "template", "adapter", "name")
        if at["left the catalog"] == model:
            return dict.fromkeys(names, GONE)
        if model == "hub":
            found = UNSEEN if at["hub"] == "evicted" else COMMITS[at["hub"]]
            return dict.fromkeys(names, found)
        own = "other" if model == "other" else "tiny"
        if at[f"place of {own}"] == "gone":
            return dict.fromkeys(names, GONE)
        folder = self.home.home / at[f"place of {own}"]
        adapted = model == "other" and at["other is adapted"]
        return {
            "weights": _file(folder / "model.safetensors"),
            "tokenizer": _files(folder, _TOKENIZER),
            "config": _files(folder, _CONFIG),
            "template": self._template(model),
            "adapter": _file(self.home.home / "adapter" / "adapter_model.safetensors") if adapted else "",
            "name": folder.name,
        }

    def pairs(self) -> list[tuple[str, str]]:
        """Every model with the one that it is compared with."""
        order = self._catalog()
        named = {"tiny-plain": "tiny", "other": self.home.at["base of other"]}
        return [(key, named[key]) for key in order if named.get(key) in order]

    def _template(self, model: str) -> str:
        at = self.home.at
        named = "tokenizer" if model == "tiny" else at[f"template for {model}"]
        if named == "none":
            return ""
        if named == "file:own.jinja":
            return (self.home.home / "own.jinja").read_text()
        owner = "other" if model == "other" and named == "tokenizer" else "tiny"
        place = at[f"place of {owner}"]
        return GONE if place == "gone" else (self.home.home / place / "chat_template.jinja").read_text()

    def _encoder(self) -> str:
        folder = self.home.home / "encoders" / "small"
        return _files(folder, ("config.json", "tokenizer.json", "model.safetensors", "medeval.yaml"))

    def _catalog(self) -> list[str]:
        """The models there are, in the order of the catalog."""
        own = ["hub", "tiny", "tiny-plain", "other"]
        own = [key for key in own if key != self.home.at["left the catalog"]]
        own = own[::-1] if self.home.at["order"] == "reversed" else own
        answers = any((self.home.home / "external" / "elsewhere").glob("*.jsonl"))
        return ["baseline-majority", "baseline-copy", *own, *(["elsewhere"] if answers else [])]

    def _rows(self, key: LakeKey) -> str:
        return self.made[key].rows if key in self.made else self.proofs.get(key, GONE)

    def _tables(self, keys: Iterable[LakeKey]) -> str:
        return json.dumps([(key.model, key.task, self._rows(key)) for key in keys])


def _file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else GONE


def _files(folder: Path, names: Iterable[str]) -> str:
    return json.dumps({name: _file(folder / name) for name in names if (folder / name).is_file()})
