"""Dataset: the examples of a task, and the raw files they were read from."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from medeval_assets.catalog.task_spec import Example, Output, TaskSpec
from medeval_assets.errors import BadInput, MedevalError, Problem
from medeval_assets.settings import Settings
from medeval_assets.sources.source_folder import RowProblem, SourceFolder, SourceRecord

_SHAPE_REMEDY = "Compare the files with the task's sample under data/samples."


@dataclass(frozen=True)
class Dataset:
    """What a task is scored on.

    sources: every raw file that was opened, each once, in order.
    synthetic: True where the project's own samples were read, because the user has no files of the task.
    """

    examples: tuple[Example, ...]
    sources: tuple[SourceRecord, ...]
    synthetic: bool


def locate(task: TaskSpec, settings: Settings) -> SourceFolder:
    """The task's own folder below the sources, else the one it shares, else the bundled samples.

    A folder of the user's counts as soon as it holds anything that is not hidden, so that a broken one is an error
    and never exchanged for the samples.
    """
    own = [settings.sources / name for name in dict.fromkeys((task.name, task.folder))]
    for path in own:
        if _holds_anything(path):
            return SourceFolder(path, synthetic=False)
    samples = settings.samples / task.folder
    if _holds_anything(samples):
        return SourceFolder(samples, synthetic=True)
    what = "there are no files of it, and no samples of it are bundled"
    raise BadInput([Problem(task.name, what, f"Put its files into {own[0]} ({task.homepage}).")])


def read_dataset(task: TaskSpec, settings: Settings) -> Dataset:
    """Read a task's examples from where its files lie.

    BadInput where they cannot be read or used. Whatever else a reader raises becomes one as well, which names the
    reader's line and not what it held.
    """
    folder = locate(task, settings)
    examples: list[Example] = []
    unexpected = ""
    try:
        examples = task.read(folder)
    except MedevalError:
        raise
    except RowProblem as error:
        raise BadInput([error.problem]) from None
    except Exception as error:
        unexpected = f"{type(error).__name__} in {_line_of(error)}"
    files = ", ".join(record.name for record in folder.used) or f"{folder.path.name}/"
    if unexpected:
        # Raised outside the handler: as its cause, the reader's error could show an example.
        what = f"the file has another shape than its reader expects ({unexpected})"
        raise BadInput([Problem(f"{task.name}: {files}", what, _SHAPE_REMEDY)])
    problems = list(_problems(task, examples, files))
    if problems:
        raise BadInput(problems)
    return Dataset(tuple(examples), tuple(dict.fromkeys(folder.used)), folder.synthetic)


def _holds_anything(path: Path) -> bool:
    try:
        with os.scandir(path) as entries:
            return any(not entry.name.startswith(".") for entry in entries)
    except FileNotFoundError:
        if not path.is_symlink():
            return False
        what = "is a link to nowhere"
    except OSError as error:
        what = f"cannot be read as a folder ({error.strerror})"
    raise BadInput([Problem(str(path), what, "Make it a folder you may read, or remove it to use the samples.")])


def _line_of(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def _problems(task: TaskSpec, examples: Sequence[Example], files: str) -> Iterator[Problem]:
    """What no later step could mend, whichever reader let it through."""
    where = f"{task.name}: {files}"
    if not examples:
        yield Problem(where, "no example could be read", _SHAPE_REMEDY)
    seen: set[str] = set()
    for example in examples:
        at = f"{where} example {_printable(example.example_id)}"
        if example.example_id in seen:
            yield Problem(at, "the id occurs twice", "Remove one of the two, or rename it.")
        seen.add(example.example_id)
        if task.output in {Output.CHOICE, Output.LABEL} and not set(example.targets) <= set(example.options):
            yield Problem(at, "the answer is none of the options", _SHAPE_REMEDY)
        if any(not _is_unicode(text) for text in _texts(example)):
            yield Problem(
                at, "a text holds half a character (an unpaired surrogate)", "Write the character out as UTF-8."
            )


def _texts(example: Example) -> Iterator[str]:
    yield from (example.example_id, example.cluster_id, *example.targets)
    for label, text in (*example.inputs.items(), *example.options.items()):
        yield from (label, text)
    for document in example.documents:
        yield from (document.document_id, document.text)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _printable(example_id: str) -> str:
    return example_id.encode(errors="backslashreplace").decode()
