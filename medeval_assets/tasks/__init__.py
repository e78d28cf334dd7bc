"""The tasks: every module of this package is one task family and lists its tasks in `TASKS`.

A new task is one new file here, with its template beside it; nothing else has to be told about it.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Sequence
from functools import cache
from types import ModuleType

from medeval_assets.catalog.task_spec import Group, TaskSpec
from medeval_assets.errors import BadInput, Problem, nearest

_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SECTIONS = list(Group)


def all_tasks() -> dict[str, TaskSpec]:
    """Every task by name: by group as the leaderboard shows them, then by module, then as it lists them."""
    return dict(_own_tasks())


def find_tasks(names: Sequence[str]) -> list[TaskSpec]:
    """The tasks of these names in the order asked for, each once; BadInput lists every unknown name."""
    known = all_tasks()
    unknown = [name for name in dict.fromkeys(names) if name not in known]
    if unknown:
        raise BadInput([Problem(f"task {name!r}", "there is no such task", nearest(name, known)) for name in unknown])
    return [known[name] for name in dict.fromkeys(names)]


def tasks_of(package: ModuleType) -> dict[str, TaskSpec]:
    """The tasks of every module of a package, in the order of `all_tasks`.

    A module without `TASKS` is refused, since a misspelt name would make its tasks vanish; so is a name or a
    folder that is no slug (names become partition keys and folders) and a name that two tasks share. Modules
    whose name begins with an underscore are no task families.
    """
    found: list[tuple[str, TaskSpec]] = []
    problems: list[Problem] = []
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda module: module.name):
        if module.name.startswith("_"):
            continue
        tasks = getattr(importlib.import_module(f"{package.__name__}.{module.name}"), "TASKS", None)
        if not isinstance(tasks, tuple) or not tasks or not all(isinstance(task, TaskSpec) for task in tasks):
            remedy = "List the module's tasks there: TASKS = (TaskSpec(...),)."
            problems.append(Problem(f"{module.name}.py TASKS", "expected a tuple of TaskSpec", remedy))
            continue
        found += [(module.name, task) for task in tasks]
    first: dict[str, str] = {}
    for module_name, task in found:
        for what, word in (("name", task.name), ("folder", task.folder)):
            if not _SLUG.fullmatch(word):
                where = f"{module_name}.py {what} {word!r}"
                remedy = "Use a-z, 0-9, dot, dash and underscore, beginning with a letter or digit."
                problems.append(Problem(where, f"the {what} is no slug", remedy))
        if task.name in first:
            where = f"{module_name}.py name {task.name!r}"
            problems.append(Problem(where, f"{first[task.name]}.py has a task of that name", "Rename one of the two."))
        first.setdefault(task.name, module_name)
    if problems:
        raise BadInput(problems)
    return {task.name: task for _, task in sorted(found, key=lambda entry: _SECTIONS.index(entry[1].group))}


@cache
def _own_tasks() -> dict[str, TaskSpec]:
    return tasks_of(importlib.import_module(__name__))
