"""A home folder of real files in which all that tables are made from has a dial, and what makes its tables.

What a loaded model would return stands in for asking it: this is about which tables are stale, not what is in them.
Baselines and answers from elsewhere really answer.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import yaml
from safetensors.numpy import load, save

import medeval_assets.tasks
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.models_file import find_models
from medeval_assets.catalog.task_spec import Decoding, Shots, TaskSpec
from medeval_assets.engines.cell import cell_of
from medeval_assets.engines.generations import Generation
from medeval_assets.engines.loaded_checkpoint import LoadedCheckpoint
from medeval_assets.engines.respondents import respondent_of
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.recipe import Recipe
from medeval_assets.metrics.score import score
from medeval_assets.recipes.comparisons import comparisons_recipe
from medeval_assets.recipes.datasets import dataset_recipe
from medeval_assets.recipes.leaderboard import leaderboard_recipe
from medeval_assets.recipes.metric_tables import metric_table_recipe
from medeval_assets.recipes.prompt_sets import prompt_set_recipe
from medeval_assets.recipes.repeat_checks import repeat_checks_recipe
from medeval_assets.recipes.scores import scores_recipe
from medeval_assets.resources import all_models
from medeval_assets.retention.prune import prune
from medeval_assets.retention.purge import find_quoting, remove_quoting
from medeval_assets.settings import Settings
from medeval_assets.sources.example_rows import examples_of
from medeval_assets_tests.checkpoints import CHATML
from medeval_assets_tests.core.audit.small_lakes import row_of

TASKS = ("mednli", "problem_summary", "medqa", "pubmedqa")
"""A label, free text, a choice whose templates others share, a choice that is read from two files."""

MODELS = ("baseline-majority", "baseline-copy", "hub", "tiny", "tiny-plain", "other", "elsewhere")
COMMITS = {"first": "a" * 40, "second": "b" * 40}
CODE = {
    "datasets": "recipes.datasets",
    "prompt_sets": "recipes.prompt_sets",
    "generations": "engines.cell",
    "baselines": "engines.baseline",
    "scores": "recipes.scores",
    "metric_tables": "recipes.metric_tables",
    "repeat_checks": "recipes.repeat_checks",
    "leaderboard": "recipes.leaderboard",
    "comparisons": "recipes.comparisons",
}
"""What has a code version of its own → the module that says it."""

SCRIPTS = {
    "mednli": ("eval_mednli.py", "{sentence1} {sentence2}", "{gold_label}"),
    "problem_summary": ("eval_ProblemSummary.py", "{Subjectives} {Assessment}", "{Summary}"),
}
"""Task → the benchmark's script for it, and the texts in it."""

TEMPLATES = {
    "mednli": ("mednli.jinja",),
    "problem_summary": ("problem_summary.jinja",),
    "medqa": ("medqa.jinja", "question.jinja", "choice.jinja"),
    "pubmedqa": ("pubmedqa.jinja",),
}
"""Task → its prompt template and those that it refers to."""

PARTS = {
    "tokenizer": "tokenizer.json",
    "tokenizer settings": "tokenizer_config.json",
    "config": "config.json",
    "template": "chat_template.jinja",
    "readme": "README.md",
}
"""The text files of a checkpoint that can be exchanged."""

NO_SHOT = 0
"""The row of mednli whose right answer changes: no prompt shows it."""

_KNOWN = medeval_assets.tasks.all_tasks()


@dataclass(frozen=True)
class Choices:
    """What whoever makes a table may choose; each kind of table looks at its own."""

    prompts: Literal["project", "clue"] = "project"
    limit: int | None = None
    examples: int = 2
    margin: float = 0.02


# Sources. `spaced` says the same as `first` in other bytes, `answer` differs from it in one right answer.


def _mednli(kind: str) -> dict[str, str]:
    labels = ["neutral", "entailment", "contradiction"] * 2 + ["neutral"]
    labels[NO_SHOT] = "entailment" if kind == "answer" else labels[NO_SHOT]
    rows = [
        {"pairID": f"p{n}", "sentence1": f"Patient {n} is well.", "sentence2": _text(kind, "ill"), "gold_label": label}
        for n, label in enumerate(labels)
    ]
    return {"mli_test_v1.jsonl": _lines(rows, kind)}


def _medqa(kind: str) -> dict[str, str]:
    letters = list("ABABABA")
    letters[-1] = "B" if kind == "answer" else letters[-1]
    rows = [
        {"question": f"{_text(kind, 'Which')} {n}?", "options": {"A": "0", "B": "1"}, "answer_idx": letter}
        for n, letter in enumerate(letters)
    ]
    return {"test.jsonl": _lines(rows, kind)}


def _pubmedqa(kind: str) -> dict[str, str]:
    decisions = ["yes", "no", "maybe"] * 2
    decisions[-1] = "no" if kind == "answer" else decisions[-1]
    rows = [
        {"QUESTION": f"Is {n} so?", "CONTEXTS": [f"{_text(kind, 'Asked')} {n}."], "final_decision": decision}
        for n, decision in enumerate(decisions)
    ]
    lines = _lines(rows, kind).splitlines()
    files = {"ori_pqal.json": "{" + ",".join(f'"{n}": {line}' for n, line in enumerate(lines)) + "}"}
    return files if kind == "one file" else {**files, "test_ground_truth.json": '{"1": "", "2": "", "4": "", "5": ""}'}


def _problem_summary(kind: str) -> dict[str, str]:
    problems = [f"COPD; {n}" for n in range(6)]
    problems[-1] = "Anaemia" if kind == "answer" else problems[-1]
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL if kind == "spaced" else csv.QUOTE_MINIMAL)
    writer.writerow(["File ID", "Subjectives", "Assessment", "Summary"])
    writer.writerows([f"n{n}", f"{_text(kind, 'Ill')} {n}.", "Worse.", summary] for n, summary in enumerate(problems))
    return {"BioNLP2023-1A-Test.csv": text.getvalue().replace("Subj", "S" if kind == "broken" else "Subj")}


def _text(kind: str, text: str) -> str:
    """Of `text` and of the samples another one than of all others."""
    return f"{text}, {kind}," if kind in {"text", "sample"} else text


def _lines(rows: Sequence[Mapping[str, Any]], kind: str) -> str:
    separators = (" , ", " : ") if kind == "spaced" else (",", ":")
    lines = [json.dumps(row, separators=separators) for row in rows]
    return "\n".join(line.removesuffix("}") if kind == "broken" else line for line in lines)


SOURCES: Mapping[str, Callable[[str], dict[str, str]]] = {
    "mednli": _mednli,
    "problem_summary": _problem_summary,
    "medqa": _medqa,
    "pubmedqa": _pubmedqa,
}


@dataclass(frozen=True)
class Dial:
    """One thing that can be another one. positions: what it can be, first what it is at the beginning.

    harmless: no table is made from it.
    """

    positions: tuple[Any, ...]
    turn: Callable[[EditedHome, Any], None]
    harmless: bool = False


@dataclass
class EditedHome:
    """The folder, and where its dials stand. patch: undoes what stands in the place of the platform's tasks and code.

    originals: the files that dials exchange, as they were at the beginning. specs: the tasks there are.
    """

    folder: Path
    patch: pytest.MonkeyPatch
    at: dict[str, Any] = field(default_factory=lambda: {name: dial.positions[0] for name, dial in DIALS.items()})
    originals: dict[str, bytes] = field(default_factory=dict)
    specs: dict[str, TaskSpec] = field(default_factory=dict)
    _models: dict[str, ModelSpec] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, sources=self.home / "sources", bundled=self.folder / "bundled")

    @property
    def lake(self) -> Lake:
        return Lake.of(self.settings)

    def models(self) -> dict[str, ModelSpec]:
        if not self._models:
            self._models = all_models(self.settings)
        return self._models

    def checkpoint(self, name: str) -> Path:
        """Where the checkpoint lies, be it where the catalog says or not."""
        place = self.at[f"place of {name}"]
        return self.home / (f"away/{name}" if place == "gone" else place)

    @classmethod
    def new(cls, folder: Path, checkpoint: Path, patch: pytest.MonkeyPatch) -> EditedHome:
        """A home with all that tables are made from, and no table. checkpoint: what every checkpoint is a copy of."""
        made = cls(folder, patch)
        for task in TASKS:
            write(folder / "bundled" / "samples" / task, SOURCES[task]("sample"))
        data = Settings(home=folder, sources=folder).bundled
        write(folder / "bundled" / "reference", {"published.csv": (data / "reference" / "published.csv").read_text()})
        entries = {
            f"baseline-{name}": {"checkpoint": f"baseline:{name}", "role": "baseline"} for name in ("majority", "copy")
        }
        write(folder / "bundled" / "catalog", {"models.yaml": yaml.safe_dump({"models": entries}, sort_keys=False)})
        for place in (made.home / "mine" / "tiny", made.home / "mine" / "other", folder / "hub"):
            shutil.copytree(checkpoint, place)
            write(place, {"README.md": "A model.", ".name": place.name})
        write(made.home / "adapter", {"adapter_config.json": "{}"})
        (made.home / "adapter" / "adapter_model.safetensors").write_bytes(save({"a": np.ones(4, np.float32)}))
        write(made.home, {"own.jinja": CHATML + "{# our own #}"})
        folder_of_templates = Path(next(iter(medeval_assets.tasks.__path__)))
        names = {name for used in TEMPLATES.values() for name in used}
        write(folder / "templates", {name: (folder_of_templates / name).read_text() for name in names})
        made.in_force()
        for name, position in made.at.items():
            DIALS[name].turn(made, position)
        return made

    def copied_to(self, folder: Path, patch: pytest.MonkeyPatch) -> EditedHome:
        """A copy of all of it, in force."""
        shutil.copytree(self.folder, folder)
        copied = EditedHome(folder, patch, dict(self.at), dict(self.originals))
        copied.in_force()
        return copied

    def in_force(self) -> None:
        """Let the platform see this folder's tasks and their code, and no other folder of this machine."""
        for name in ("HF_HOME", "HF_HUB_CACHE", "MEDEVAL_CLUE"):
            self.patch.delenv(name, raising=False)
        self.patch.setattr(medeval_assets.tasks, "_own_tasks", lambda: self.specs)
        _tasks(self)
        for name in CODE:
            DIALS[f"code of {name}"].turn(self, self.at[f"code of {name}"])

    def turn(self, name: str, position: Any) -> None:
        """Set a dial; what stood there before can come back."""
        before = self.at[name]
        self.at[name] = position
        self._models = {}
        if position != before:
            DIALS[name].turn(self, position)

    def numbered(self, name: str, path: Path, number: int) -> None:
        """Make the file another one for each number, and what it was at the beginning for 0."""
        original = self.originals.setdefault(name, path.read_bytes())
        if path.suffix == ".safetensors":
            path.write_bytes(save({key: value * np.float32(1 + number) for key, value in load(original).items()}))
        else:
            mark = {".jinja": f"{{# {number} #}}", ".json": "\n" * number}.get(path.suffix, f"\n{number}")
            path.write_bytes(original + (mark.encode() if number else b""))

    # Tables

    def recipe(self, key: LakeKey, choices: Choices, said: str = "A", lake: Lake | None = None) -> Recipe:
        """How the table would be made now, in another lake if one is given. said: what loaded models always answer.

        MedevalError where it cannot be made.
        """
        lake, models, task = lake or self.lake, self.models(), self.specs.get(key.task)
        over_all: dict[str, Callable[[], Recipe]] = {
            "leaderboard": lambda: leaderboard_recipe(lake, list(models), self.settings),
            "comparisons": lambda: comparisons_recipe(lake, models, choices.margin),
        }
        if task is None:
            return over_all[key.asset]()
        of_task: dict[str, Callable[[], Recipe]] = {
            "datasets": lambda: dataset_recipe(task, self.settings, lake),
            "prompt_sets": lambda: prompt_set_recipe(lake, task, self.settings, choices.prompts),
            "generations": lambda: self._generations(key, task, choices, said, lake),
            "scores": lambda: self._scores(key, task, lake),
            "metric_tables": lambda: metric_table_recipe(lake, key.model, task.name),
            "repeat_checks": lambda: self._repeat_checks(key, task, choices, said, lake),
        }
        return of_task[key.asset]()

    def _generations(self, key: LakeKey, task: TaskSpec, choices: Choices, said: str, lake: Lake) -> Recipe:
        models = self.models()
        (spec,) = find_models([key.model], models)
        respondent = respondent_of(spec, models, self.settings, download=False)
        cell = cell_of(lake, key.model, task, respondent, choices.limit)

        def rows() -> list[Mapping[str, Any]]:
            questions = cell.questions(lake)
            if isinstance(respondent, LoadedCheckpoint):
                return [
                    asdict(Generation(one.example_id, one.prompt_sha256, said, "stop")) for one in questions.prompts
                ]
            (outcome,) = respondent.answer([questions], lambda *_: None)
            if outcome.error is not None:
                raise outcome.error
            return [asdict(one) for one in outcome.generations]

        return replace(cell.recipe(()), rows=rows)

    def _scores(self, key: LakeKey, task: TaskSpec, lake: Lake) -> Recipe:
        recipe = scores_recipe(lake, key.model, task, self.settings)
        if self.at["encoder"] is None:
            return recipe

        def rows() -> list[dict[str, Any]]:
            # The encoder's files are no model: only what rests on them is asked about.
            examples = examples_of(lake.rows(LakeKey("datasets", task=task.name)))
            return score(task, task.metrics, examples, lake.rows(LakeKey("generations", key.model, key.task)))

        return replace(recipe, rows=rows)

    def _repeat_checks(self, key: LakeKey, task: TaskSpec, choices: Choices, said: str, lake: Lake) -> Recipe:
        models = self.models()
        (spec,) = find_models([key.model], models)
        recipe = repeat_checks_recipe(
            lake, spec, models, task, self.settings, examples=choices.examples, download=False
        )
        return replace(recipe, rows=lambda: [row_of("repeat_checks", len(said))])

    def purge(self, task: str) -> None:
        """Remove the task's texts from the lake, and answers from elsewhere that quote them."""
        spec, models = _KNOWN[task], self.models()
        found = find_quoting(self.lake, self.settings, spec, tasks=_KNOWN, models=models)
        remove_quoting(self.lake, found)
        self._models = {}
        if f"answers to {task}" in self.at:
            self.at[f"answers to {task}"] = None

    def prune(self) -> None:
        """Remove old versions that no current table was made from."""
        prune(self.lake, timedelta(0))


def write(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


# What the dials do


def _source(task: str, home: EditedHome, kind: str | None) -> None:
    folder = home.home / "sources" / task
    shutil.rmtree(folder, ignore_errors=True)
    if kind is not None:
        write(folder, SOURCES[task](kind))


def _beside_sources(home: EditedHome, number: int) -> None:
    for folder in (home.home / "sources").glob("*"):
        write(folder, {"README.md": f"Note {number}.", ".hidden.jsonl": f"{number}"})


def _weights(name: str, home: EditedHome, number: int) -> None:
    home.numbered(f"weights of {name}", home.checkpoint(name) / "model.safetensors", number)


def _part(name: str, part: str, home: EditedHome, number: int) -> None:
    home.numbered(f"{part} of {name}", home.checkpoint(name) / PARTS[part], number)


def _place(name: str, home: EditedHome, place: str) -> None:
    (current,) = (path.parent for path in home.home.glob("*/*/.name") if path.read_text() == name)
    home.checkpoint(name).parent.mkdir(exist_ok=True)
    current.rename(home.checkpoint(name))
    _catalog(home)


def _hub(home: EditedHome, commit: str) -> None:
    """The hub's cache as its library lays it out, with one revision of a repository, or without it."""
    repository = home.home / "hub" / "hub" / "models--someone--tiny"
    shutil.rmtree(repository, ignore_errors=True)
    if commit != "evicted":
        write(repository / "refs", {"main": COMMITS[commit]})
        shutil.copytree(home.folder / "hub", repository / "snapshots" / COMMITS[commit])


def _adapter(home: EditedHome, number: int) -> None:
    home.numbered("adapter", home.home / "adapter" / "adapter_model.safetensors", number)


def _own_template(home: EditedHome, number: int) -> None:
    home.numbered("own template", home.home / "own.jinja", number)


def _catalog(home: EditedHome, _: Any = None) -> None:
    """`<home>/models.yaml` as the dials say."""
    at = home.at
    hub: dict[str, Any] = {"checkpoint": "hub:someone/tiny", "role": "generalist", "engine": {"gpus": 0}}
    place = {name: "mine/nowhere" if at[f"place of {name}"] == "gone" else at[f"place of {name}"] for name in _OWN}
    tiny = {
        "checkpoint": f"folder:{place['tiny']}",
        "role": "generalist",
        "title": at["title"],
        "licence": at["licence"],
        "engine": {"gpus": at["gpus"], "dtype": at["dtype"], "context": at["context"]},
    }
    plain = {"extends": "tiny", "base": "tiny", "chat_template": at["template for tiny-plain"]}
    other = {
        "extends": "tiny",
        "checkpoint": f"folder:{place['other']}",
        "role": "biomedical",
        "base": at["base of other"],
        "chat_template": at["template for other"],
        "adapter": "folder:adapter" if at["other is adapted"] else None,
    }
    entries = {"hub": hub, "tiny": tiny, "tiny-plain": plain, "other": other}
    entries.pop(at["left the catalog"], None)
    keys = list(reversed(entries)) if at["order"] == "reversed" else list(entries)
    written = {"models": {key: entries[key] for key in keys}}
    write(home.home, {"models.yaml": yaml.safe_dump(written, sort_keys=False)})


def _answers(task: str, home: EditedHome, number: int | None) -> None:
    path = home.home / "external" / "elsewhere" / f"{task}.jsonl"
    path.unlink(missing_ok=True)
    if number is not None:
        ids = [f"p{n}" for n in range(7)] if task == "mednli" else [f"line-{n}" for n in range(1, 8)]
        said = ("neutral", "entailment") if task == "mednli" else ("A", "B")
        write(
            path.parent, {path.name: "".join(json.dumps({"example_id": i, "text": said[number]}) + "\n" for i in ids)}
        )


def _encoder(home: EditedHome, number: int | None) -> None:
    folder = home.home / "encoders" / "small"
    shutil.rmtree(folder, ignore_errors=True)
    if number is not None:
        config = {"model_type": "bert", "num_hidden_layers": 2}
        write(folder, {"config.json": json.dumps(config), "tokenizer.json": "{}", "medeval.yaml": "layer: 1\n"})
        (folder / "model.safetensors").write_bytes(save({"a": np.full(4, number, np.float32)}))


def _jinja(name: str, home: EditedHome, number: int) -> None:
    home.numbered(name, home.folder / "templates" / name, number)


def _script(task: str, home: EditedHome, number: int | None) -> None:
    name, question, answer = SCRIPTS[task]
    path = home.home / "clue" / "eval" / name
    path.unlink(missing_ok=True)
    if number is not None:
        texts = {
            "sys_prompt": "You weigh notes.",
            "user_prompt_template": question,
            "assistant_response_template": answer,
        }
        lines = [f"{variable} = '''{text}'''" for variable, text in texts.items()]
        write(path.parent, {name: "\n".join([*lines, f"# {number}"])})


def _clone(home: EditedHome, commit: str) -> None:
    write(home.home / "clue" / ".git", {"HEAD": COMMITS[commit]})


def _code(name: str, home: EditedHome, version: str) -> None:
    home.patch.setattr(f"medeval_assets.{CODE[name]}.CODE_VERSION", version)


def _tasks(home: EditedHome, _: Any = None) -> None:
    """The tasks as the dials say."""
    home.specs.clear()
    for name, known in _KNOWN.items():
        if name in TASKS and name != home.at["left the tasks"]:
            spec = replace(known, template=home.folder / "templates" / known.template.name)
            if name == "mednli":
                spec = replace(
                    spec,
                    version=home.at["reader of mednli"],
                    shots=Shots(3, seed=home.at["shots of mednli"]),
                    decoding=Decoding(max_new_tokens=home.at["decoding of mednli"]),
                )
            home.specs[name] = spec


def _published(home: EditedHome, number: int) -> None:
    home.numbered("published", home.folder / "bundled" / "reference" / "published.csv", 0)
    if number:
        path = home.folder / "bundled" / "reference" / "published.csv"
        path.write_bytes(path.read_bytes() + b"tiny,mednli,accuracy_lenient,corrected,0.5,somewhere\n")


def _touched(home: EditedHome, _: int) -> None:
    """Every file with the same bytes and another time."""
    for path in home.folder.rglob("*"):
        if path.is_file() and not path.is_relative_to(home.settings.lake):
            os.utime(path)


_OWN = ("tiny", "other")
_KINDS = ("first", "spaced", "text", "answer", "broken", None)

DIALS: dict[str, Dial] = {
    "place of tiny": Dial(("mine/tiny", "moved/tiny", "mine/renamed", "gone"), partial(_place, "tiny")),
    "place of other": Dial(("mine/other", "gone"), partial(_place, "other")),
    "dtype": Dial(("float32", "bfloat16"), _catalog),
    "context": Dial((None, 2048), _catalog),
    "template for tiny-plain": Dial(("none", "tokenizer", "file:own.jinja"), _catalog),
    "template for other": Dial(("as:tiny", "none", "tokenizer"), _catalog),
    "base of other": Dial(("tiny", None), _catalog),
    "other is adapted": Dial((False, True), _catalog),
    "order": Dial(("as written", "reversed"), _catalog),
    "left the catalog": Dial((None, "other", "tiny-plain", "hub"), _catalog),
    "title": Dial(("Tiny", "Very tiny"), _catalog, harmless=True),
    "licence": Dial(("MIT", "Apache-2.0"), _catalog, harmless=True),
    "gpus": Dial((0, 1), _catalog, harmless=True),
    **{f"source of {task}": Dial(_KINDS, partial(_source, task)) for task in TASKS[:3]},
    "source of pubmedqa": Dial((*_KINDS, "one file"), partial(_source, "pubmedqa")),
    "beside the sources": Dial((0, 1), _beside_sources, harmless=True),
    **{f"weights of {name}": Dial((0, 1), partial(_weights, name)) for name in _OWN},
    **{
        f"{part} of {name}": Dial((0, 1), partial(_part, name, part), harmless=part == "readme")
        for name in _OWN
        for part in PARTS
    },
    "hub": Dial(("first", "second", "evicted"), _hub),
    "adapter": Dial((0, 1), _adapter),
    "own template": Dial((0, 1), _own_template),
    "answers to mednli": Dial((0, 1, None), partial(_answers, "mednli")),
    "answers to medqa": Dial((0, 1, None), partial(_answers, "medqa")),
    "encoder": Dial((None, 0, 1), _encoder),
    **{
        name: Dial((0, 1), partial(_jinja, name))
        for name in sorted({one for used in TEMPLATES.values() for one in used})
    },
    **{f"script of {task}": Dial((0, 1, None), partial(_script, task)) for task in SCRIPTS},
    "commit of the clone": Dial(("first", "second"), _clone),
    **{f"code of {name}": Dial(("one", "another"), partial(_code, name)) for name in CODE},
    "reader of mednli": Dial(("1", "2"), _tasks),
    "shots of mednli": Dial((1, 2), _tasks),
    "decoding of mednli": Dial((20, 5), _tasks),
    "left the tasks": Dial((None, "pubmedqa"), _tasks),
    "published": Dial((0, 1), _published),
    "touched": Dial((0, 1), _touched, harmless=True),
}
