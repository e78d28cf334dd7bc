"""`medeval trace`: what exactly produced a number."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medeval_assets.catalog.quoted import quoted
from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.cli.app import AsJson, TaskName, app, named_task, notice_of_access, refuse_unknown_model, wrong_use
from medeval_assets.console import CellBars, err, out
from medeval_assets.errors import BadInput, Problem, nearest
from medeval_assets.printable import printable
from medeval_assets.settings import Settings

if TYPE_CHECKING:
    from medeval_assets.trace.replay import Replayed


@app.command()
def trace(
    model: Annotated[str, typer.Argument(help="A model's key.")],
    task: TaskName,
    metric: Annotated[str | None, typer.Argument(help="A metric's key. Default: the headline.")] = None,
    example: Annotated[
        str | None, typer.Option("--example", metavar="ID", help="One example, from its row to its scores.")
    ] = None,
    replay: Annotated[bool, typer.Option("--replay", help="Make the cell again, and compare.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell what produced a number: tables, raw files, weights, code, and the command that makes it again."""
    from medeval_assets.lake.key import LakeKey
    from medeval_assets.lake.lake import Lake
    from medeval_assets.trace.chain import chain_of, command_of

    settings = Settings.from_environment()
    spec = named_task(task)
    lake, numbers = Lake.of(settings), LakeKey("metric_tables", model, spec.name)
    if lake.record(numbers) is None:
        refuse_unknown_model(model, {key.model for key in lake.keys(numbers.asset)}, settings)
    chain = chain_of(lake, numbers)
    rows = _chosen(lake.rows(chain.key), metric, f"{model} × {spec.name}")
    document: dict[str, Any] = {"values": rows, "chain": chain.as_json(), "command": command_of(chain)}
    if not as_json:
        from medeval_assets.trace.tree import trace_tree

        out.print(trace_tree(chain, rows))
        out.print(f"Make it again: {command_of(chain)}", markup=False, highlight=False, soft_wrap=True)
    if example is not None:
        document["example"] = _example(settings, chain, example, spec, as_json)
    if replay:
        document["replay"] = _replay(settings, chain, spec, as_json)
    if as_json:
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    if not all(one["reproduced"] for one in document.get("replay", [])):
        raise typer.Exit(1)


def _chosen(rows: Sequence[Mapping[str, Any]], metric: str | None, cell: str) -> list[Mapping[str, Any]]:
    """The rows of the metric, or the headline's."""
    found = [row for row in rows if (row["headline"] if metric is None else row["metric"] == metric)]
    if not found and metric is not None:
        names = sorted({str(row["metric"]) for row in rows})
        with wrong_use():
            raise BadInput([Problem(f"{cell} {quoted(metric)}", "there is no such metric", nearest(metric, names))])
    return found


def _example(settings: Settings, chain: Any, example_id: str, task: TaskSpec, as_json: bool) -> dict[str, Any]:
    from medeval_assets.lake.lake import Lake
    from medeval_assets.resources import all_models
    from medeval_assets.settings import keep_libraries_at_home
    from medeval_assets.trace.example import example_trace
    from medeval_assets.trace.tree import example_tree

    keep_libraries_at_home(settings.home)
    models = all_models(settings)
    found = example_trace(Lake.of(settings), chain, example_id, task=task, models=models, settings=settings)
    notice_of_access(task, chain.record.synthetic)
    if not as_json:
        out.print(example_tree(found))
    return asdict(found)


def _replay(settings: Settings, chain: Any, task: TaskSpec, as_json: bool) -> list[dict[str, Any]]:
    from medeval_assets.resources import all_models
    from medeval_assets.settings import keep_libraries_at_home
    from medeval_assets.trace.replay import replay

    keep_libraries_at_home(settings.home)
    name = f"{chain.key.model} × {task.name}"
    with CellBars(1) as bars:
        generations = chain.of("generations")
        bars.started(name, generations.record.rows if generations and generations.record else 0)
        tables = replay(
            chain,
            task=task,
            models=all_models(settings),
            settings=settings,
            on_batch=lambda _, count, tokens: bars.advanced(name, count, tokens),
        )
        bars.finished(name)
    if not as_json:
        for one in tables:
            out.print(f"replayed {one.asset}: {_verdict(one)}", markup=False, highlight=False, soft_wrap=True)
            for change in one.changes:
                told = printable(f"  {change.kind} {change.name}: another one today")
                err.print(told, markup=False, highlight=False, soft_wrap=True)
    return [{**asdict(one), "same": one.same, "reproduced": one.reproduced} for one in tables]


def _verdict(one: Replayed) -> str:
    if one.same:
        return "the same, bit for bit"
    if one.answers is None:
        return f"differs: {one.recorded[:16]} then, {one.again[:16]} now"
    answers = one.answers
    likelihoods = (
        f"the likelihoods of {answers.likelihoods} of {answers.rows} prompts differ, by {answers.largest:.1e} at most"
    )
    if one.reproduced:
        return f"the same answers; {likelihoods}: they shared other batches then"
    if not answers.other:
        return f"differs: the same answers, but {likelihoods}"
    return f"differs: {answers.other} of {answers.rows} answers are others"
