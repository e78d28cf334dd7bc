"""The registry: what it finds in a package of task modules, in which order, and what it refuses."""

from __future__ import annotations

import importlib
import itertools
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from medeval_assets.catalog.task_spec import Group
from medeval_assets.errors import BadInput
from medeval_assets.tasks import all_tasks, find_tasks, tasks_of

MODULE = """
from pathlib import Path
from medeval_assets.catalog.task_spec import Access, Decoding, Group, Output, TaskSpec

def task(name, group, folder="folder"):
    return TaskSpec(
        name=name, title=name, about="", group=group, output=Output.TEXT, access=Access.PUBLIC, licence="",
        homepage="", folder=folder, read=lambda folder: [], template=Path("x.jinja"), decoding=Decoding(1),
        metrics=(),
    )
"""

_numbers = itertools.count()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """An empty package on the import path; its name is new each time, for modules stay imported."""
    name = f"registry_test_{next(_numbers)}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module(name)


def add(package: ModuleType, name: str, tasks: str) -> None:
    (Path(package.__path__[0]) / f"{name}.py").write_text(MODULE + tasks)
    importlib.invalidate_caches()


def test_a_new_file_is_a_new_task_and_the_order_is_group_module_position(package: ModuleType) -> None:
    add(
        package,
        "zebra",
        'TASKS = (task("z2", Group.LEVEL_1), task("z1", Group.LEVEL_1), task("z0", Group.CASES))',
    )
    add(package, "ant", 'TASKS = (task("a", Group.CONTROL), task("b", Group.LEVEL_1))')
    add(package, "_shared", "")
    # Cases first, then level 1 (`ant` before `zebra`, within `zebra` as it is written), then the control.
    assert list(tasks_of(package)) == ["z0", "b", "z2", "z1", "a"]


@pytest.mark.parametrize(
    ("tasks", "complaint"),
    [
        ("TASK = ()", "one.py TASKS: expected a tuple of TaskSpec"),
        ("TASKS = ()", "one.py TASKS: expected a tuple of TaskSpec"),
        ('TASKS = [task("a", Group.CASES)]', "one.py TASKS: expected a tuple of TaskSpec"),
        ('TASKS = (task("a|b", Group.CASES),)', "one.py name 'a|b': the name is no slug"),
        ('TASKS = (task("A", Group.CASES),)', "one.py name 'A': the name is no slug"),
        ('TASKS = (task("..", Group.CASES),)', "one.py name '..': the name is no slug"),
        ('TASKS = (task("a", Group.CASES, "../b"),)', "one.py folder '../b': the folder is no slug"),
        (
            'TASKS = (task("a", Group.CASES), task("a", Group.CASES))',
            "one.py name 'a': one.py has a task of that name",
        ),
    ],
)
def test_a_bad_module_is_refused(package: ModuleType, tasks: str, complaint: str) -> None:
    add(package, "one", tasks)
    with pytest.raises(BadInput) as refused:
        tasks_of(package)
    assert complaint in str(refused.value)


def test_all_bad_modules_are_told_together(package: ModuleType) -> None:
    add(package, "one", 'TASKS = (task("a", Group.CASES),)')
    add(package, "two", 'TASKS = (task("a", Group.CASES), task("b b", Group.CASES))')
    with pytest.raises(BadInput) as refused:
        tasks_of(package)
    assert [problem.where for problem in refused.value.problems] == ["two.py name 'a'", "two.py name 'b b'"]


def test_the_projects_own_tasks() -> None:
    tasks = all_tasks()
    assert all(name == task.name for name, task in tasks.items())
    groups = [list(Group).index(task.group) for task in tasks.values()]
    assert groups == sorted(groups)
    assert [task.name for task in tasks.values() if not task.template.is_file()] == []


def test_what_a_caller_changes_does_not_stay() -> None:
    all_tasks().clear()
    assert "mednli" in all_tasks()


def test_find_tasks_keeps_the_order_asked_for_and_tells_every_unknown_name() -> None:
    first, second = list(all_tasks())[:2]
    assert [task.name for task in find_tasks([second, first, second])] == [second, first]
    with pytest.raises(BadInput) as refused:
        find_tasks(["mednly", "mednli", "qqqq"])
    unknown = refused.value.problems
    assert [problem.where for problem in unknown] == ["task 'mednly'", "task 'qqqq'"]
    assert unknown[0].remedy == "Did you mean `mednli`?"
    assert "mednli" in unknown[1].remedy


def test_importing_the_tasks_imports_no_heavy_library() -> None:
    heavy = {
        "torch",
        "transformers",
        "vllm",
        "evaluate",
        "datasets",
        "bert_score",
        "matplotlib",
        "pandas",
        "pandera",
    }
    heavy |= {"scipy", "openpyxl", "pooch", "dagster"}
    code = f"import sys, medeval_assets.tasks as t; t.all_tasks(); print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
