"""The command line's application, and what its commands share: options, wrong use, problems, notices."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import typer
from rich.markup import escape

from medeval_assets.catalog.quoted import quoted
from medeval_assets.catalog.task_spec import Access, TaskSpec
from medeval_assets.console import err
from medeval_assets.errors import BadInput, MedevalError, Problem, nearest
from medeval_assets.printable import printable
from medeval_assets.settings import Settings
from medeval_assets.tasks import find_tasks

app = typer.Typer(
    name="medeval",
    help="Evaluate biomedical language models against the general models they came from.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
Models = Annotated[list[str], typer.Option("--model", "-m", help="A model's key; give it again for more.")]
Tasks = Annotated[
    list[str] | None, typer.Option("--task", "-t", help="A task's key; give it again for more. Default: all.")
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="At most this many examples a task: a fixed, nested selection."),
]
TaskName = Annotated[str, typer.Argument(help="A task's key; `medeval tasks` lists them.")]
Wording = Annotated[
    Literal["project", "clue"],
    typer.Option("--prompts", help="`project`, or `clue`: the benchmark's own, from the clone MEDEVAL_CLUE names."),
]


def named_task(name: str) -> TaskSpec:
    with wrong_use():
        return find_tasks([name])[0]


def refuse_unknown_model(model: str, measured: Collection[str], settings: Settings) -> None:
    """Wrong use where neither the catalog nor the lake knows the model. measured: those that the lake has values of."""
    from medeval_assets.resources import all_models

    known = {*measured, *all_models(settings)}
    if model not in known:
        with wrong_use():
            what = "neither in the catalog nor evaluated"
            raise BadInput([Problem(f"model {quoted(model)}", what, nearest(model, known))])


def notice_of_access(task: TaskSpec, synthetic: bool) -> None:
    if task.access is not Access.PUBLIC and not synthetic:
        err.print(f"These rows are {task.access.value}: {escape(task.licence)}.")


@contextmanager
def wrong_use() -> Iterator[None]:
    """An unknown name on the command line is wrong use, not a problem that was found."""
    try:
        yield
    except BadInput as error:
        complain(error)
        raise typer.Exit(2) from error


def complain(error: MedevalError) -> None:
    err.print(printable(str(error)), style="red", highlight=False, markup=False, soft_wrap=True)
