"""Where a task's files are found, and what becomes of a reader that meets something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medeval_assets.catalog.task_spec import Access, Decoding, Document, Example, Group, Output, TaskSpec
from medeval_assets.errors import BadInput
from medeval_assets.settings import Settings
from medeval_assets.sources.dataset import locate, read_dataset
from medeval_assets.sources.source_folder import RowProblem, SourceFolder

SECRET = "Zylkowskaemia"

EXAMPLE = Example("e1", "e1", {"text": SECRET}, ("A",), {"A": "yes", "B": "no"})


def read_lines(source: SourceFolder) -> list[Example]:
    return [replace(EXAMPLE, example_id=line) for line in source.one("*.txt").lines()]


def task(read: Callable[[SourceFolder], list[Example]] = read_lines) -> TaskSpec:
    return TaskSpec(
        name="task_2",
        title="Task",
        about="",
        group=Group.KNOWLEDGE,
        output=Output.CHOICE,
        access=Access.CREDENTIALED,
        licence="",
        homepage="https://owner.example",
        folder="task",
        read=read,
        template=Path("task.jinja"),
        decoding=Decoding(5),
        metrics=(),
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Sources without any file, and a sample of one example."""
    (tmp_path / "sources").mkdir()
    (tmp_path / "bundled" / "samples" / "task").mkdir(parents=True)
    (tmp_path / "bundled" / "samples" / "task" / "README.md").write_text("# Synthetic\n")
    (tmp_path / "bundled" / "samples" / "task" / "data.txt").write_text("sample\n")
    return Settings(home=tmp_path / "home", sources=tmp_path / "sources", bundled=tmp_path / "bundled")


def put(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def refusal(read: Callable[[], object]) -> BadInput:
    with pytest.raises(BadInput) as refused:
        read()
    assert SECRET not in str(refused.value)
    return refused.value


def test_the_samples_serve_where_the_user_has_nothing(settings: Settings) -> None:
    put(settings.sources / "task_2", ".DS_Store", "x")
    dataset = read_dataset(task(), settings)
    assert [example.example_id for example in dataset.examples] == ["sample"]
    assert dataset.synthetic
    assert [source.name for source in dataset.sources] == ["data.txt"]


def test_missing_sources_are_no_error(settings: Settings) -> None:
    settings.sources.rmdir()
    assert locate(task(), settings).synthetic


def test_the_tasks_own_folder_comes_before_the_shared_one(settings: Settings) -> None:
    put(settings.sources / "task", "data.txt", "shared")
    shared = read_dataset(task(), settings)
    assert (shared.examples[0].example_id, shared.synthetic) == ("shared", False)
    put(settings.sources / "task_2", "data.txt", "own")
    assert read_dataset(task(), settings).examples[0].example_id == "own"


@pytest.mark.parametrize(
    ("lay", "complaint"),
    [
        (lambda path: put(path, "other.csv", "x"), "task_2/: no file named like *.txt"),
        (lambda path: put(path, "README.md", "x"), "task_2/: no file named like *.txt"),
        (lambda path: put(path, "data.txt", ""), "data.txt: the file is empty"),
        (lambda path: put(path, "data.txt.gz", "x"), "data.txt.gz: is packed"),
        (lambda path: (path / "data.txt").mkdir(parents=True), "data.txt: is a folder where a file is wanted"),
        (lambda path: path.write_text("x"), "cannot be read as a folder (Not a directory)"),
        (lambda path: path.symlink_to(path.name), "cannot be read as a folder (Too many levels of symbolic links)"),
        (lambda path: path.symlink_to("gone"), "is a link to nowhere"),
    ],
)
def test_a_broken_folder_is_never_exchanged_for_the_samples(
    settings: Settings, lay: Callable[[Path], object], complaint: str
) -> None:
    put(settings.sources / "task", "data.txt", "shared")
    lay(settings.sources / "task_2")
    assert complaint in str(refusal(lambda: read_dataset(task(), settings)))


def test_a_task_without_files_and_samples_says_where_to_put_them(settings: Settings) -> None:
    told = str(refusal(lambda: locate(replace(task(), folder="other"), settings)))
    assert str(settings.sources / "task_2") in told
    assert "https://owner.example" in told


def raising(error: Exception) -> Callable[[SourceFolder], list[Example]]:
    def read(source: SourceFolder) -> list[Example]:
        source.one("*.txt").lines()
        raise error

    return read


@pytest.mark.parametrize(
    "error", [KeyError(SECRET), TypeError(SECRET), ValueError(SECRET), RecursionError(SECRET), AssertionError(SECRET)]
)
def test_whatever_a_reader_raises_names_task_file_and_line_and_no_text(settings: Settings, error: Exception) -> None:
    put(settings.sources / "task_2", "data.txt", "x")
    refused = refusal(lambda: read_dataset(task(raising(error)), settings))
    assert refused.problems[0].where == "task_2: data.txt"
    assert f"{type(error).__name__} in test_dataset.py:" in refused.problems[0].what
    assert refused.__context__ is None
    assert refused.__cause__ is None


def test_a_row_problem_outside_the_rows_is_told(settings: Settings) -> None:
    problem = RowProblem("data.txt:3 answer", "the field is empty")
    assert "data.txt:3 answer: the field is empty" in str(
        refusal(lambda: read_dataset(task(raising(problem)), settings))
    )


@pytest.mark.parametrize(
    ("examples", "complaint"),
    [
        ([], "task_2: data.txt: no example could be read"),
        ([EXAMPLE, EXAMPLE], "task_2: data.txt example e1: the id occurs twice"),
        ([replace(EXAMPLE, targets=(SECRET,))], "example e1: the answer is none of the options"),
        ([replace(EXAMPLE, options={})], "example e1: the answer is none of the options"),
        ([replace(EXAMPLE, inputs={"a": SECRET + "\ud83d"})], "example e1: a text holds half a character"),
        ([replace(EXAMPLE, documents=(Document("d", "\udc00"),))], "example e1: a text holds half a character"),
        ([replace(EXAMPLE, example_id="\ud83d")], r"example \ud83d: a text holds half a character"),
    ],
)
def test_examples_that_nothing_later_could_use(settings: Settings, examples: list[Example], complaint: str) -> None:
    def read(source: SourceFolder) -> list[Example]:
        source.one("*.txt")
        return examples

    told = str(refusal(lambda: read_dataset(task(read), settings)))
    assert complaint in told
    told.encode()


def test_a_file_that_is_opened_twice_is_recorded_once(settings: Settings) -> None:
    def read(source: SourceFolder) -> list[Example]:
        source.one("*.txt")
        return read_lines(source)

    assert len(read_dataset(task(read), settings).sources) == 1
