"""What the modules rely on in Hugging Face's `evaluate`, and what they shield from. An upgrade's changes fail here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from medeval_assets_tests.evaluate_library import FOLDER, MODULES, evaluate_in

SECRET = "aortic stenosis"
SCRIPT = """
import abc
import datasets
import evaluate
{imports}
class Base(evaluate.Metric{bases}):
    def _info(self):
        text = datasets.Value("string")
        features = datasets.Features({{"predictions": text, "references": datasets.List(text)}})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)
    {mark}
    def _compute(self, predictions, references):
        raise OSError
class Own(Base):
    def _compute(self, predictions, references):
        return {{"found": predictions, "wanted": references}}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with evaluate_in(tmp_path_factory.getbasetemp() / "evaluate") as library:
        yield library


@pytest.fixture
def load(library: Any, tmp_path: Path) -> Callable[..., Any]:
    def load(*, abstract: bool = True, imports: str = "") -> Any:
        script = tmp_path / "own.py"
        bases, mark = (", abc.ABC", "@abc.abstractmethod") if abstract else ("", "")
        script.write_text(SCRIPT.format(bases=bases, mark=mark, imports=imports), encoding="utf-8")
        return library.load(str(script), cache_dir=str(tmp_path / "cache"))

    return load


def test_the_first_class_that_is_not_abstract_is_the_module(load: Callable[..., Any]) -> None:
    assert type(load(abstract=False)).__name__ == "Base"
    module = load()
    assert type(module).__name__ == "Own"
    assert module.compute(predictions=["a"], references=[["b", "c"]]) == {"found": ["a"], "wanted": [["b", "c"]]}


def test_an_import_names_one_module(load: Callable[..., Any]) -> None:
    with pytest.raises(ImportError, match="json,"):
        load(imports="import json, math")


def test_predictions_are_written_to_a_file_that_an_error_leaves_behind(
    load: Callable[..., Any], tmp_path: Path
) -> None:
    """The reason why our modules keep them in memory."""
    module = load(abstract=False)
    with pytest.raises(OSError):
        module.compute(predictions=[SECRET], references=[[""]])
    (left,) = tmp_path.rglob("*.arrow")
    assert SECRET.encode() in left.read_bytes()


def test_only_the_first_entry_is_checked_and_its_error_quotes_the_others(load: Callable[..., Any]) -> None:
    """The reason why our modules look at inputs first."""
    assert load().compute(predictions=["a", 3], references=[[], []])["found"] == ["a", "3"]
    with pytest.raises(ValueError, match=SECRET):
        load().compute(predictions=[3, SECRET], references=[[], []])


def test_a_lone_surrogate_is_refused(load: Callable[..., Any]) -> None:
    """The reason why our modules replace it."""
    with pytest.raises(UnicodeEncodeError):
        load().compute(predictions=["\ud800"], references=[[""]])


def test_our_modules_load_anywhere_without_a_network_and_write_below_home_only(tmp_path: Path) -> None:
    home, user, folder = tmp_path / "platform", tmp_path / "user", tmp_path / "work"
    user.mkdir()
    folder.mkdir()
    program = f"""
import socket
from pathlib import Path
from medeval_assets.settings import keep_libraries_at_home
def refuse(*_): raise SystemExit("a connection was asked for")
socket.socket.connect = socket.getaddrinfo = refuse
keep_libraries_at_home(Path({str(home)!r}))
import evaluate
for name in {MODULES!r}:
    module = evaluate.load(str(Path({str(FOLDER)!r}, name + ".py")))
    assert module.description.strip(), name
    module.add(prediction={SECRET!r}, reference={SECRET!r})
print(len({MODULES!r}))
"""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_"))}
    environment = {**kept, "HOME": str(user), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout.split(), done.returncode) == ([str(len(MODULES))], 0), done.stderr
    assert not [*user.rglob("*"), *folder.rglob("*")]
    written = [path for path in home.rglob("*") if path.is_file()]
    assert len([path for path in written if path.suffix == ".py" and path.stem in MODULES]) == len(MODULES)
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
