"""`medeval tasks`, `models`, `fetch`, `dataset`, `prompts`, `evaluate`, `plan`, `demo`, `score`, `compare`, `ui`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from medeval_assets.catalog.models_file import find_models
from medeval_assets.catalog.quoted import quoted
from medeval_assets.cli.app import (
    AsJson,
    Limit,
    Models,
    TaskName,
    Tasks,
    Wording,
    app,
    named_task,
    notice_of_access,
    wrong_use,
)
from medeval_assets.console import CellBars, err, out, show, show_leaderboard, show_plan, show_repeats
from medeval_assets.errors import BadInput, Problem, nearest
from medeval_assets.lake.whole_file import write_whole
from medeval_assets.metrics.metric import CORRECTED
from medeval_assets.settings import Settings
from medeval_assets.tasks import all_tasks, find_tasks

DEMO_LIMIT = 4


@app.command()
def tasks(as_json: AsJson = False) -> None:
    """List the tasks, and whether real files or samples are used."""
    from medeval_assets.sources.dataset import locate

    settings = Settings.from_environment()
    rows = [
        {
            "task": task.name,
            "title": task.title,
            "about": task.about,
            "group": task.group.value,
            "output": task.output.value,
            "access": task.access.value,
            "licence": task.licence,
            "shots": task.shots.count,
            "headline": task.metrics[0].name,
            "data": "synthetic samples" if locate(task, settings).synthetic else "real",
        }
        for task in all_tasks().values()
    ]
    show(rows, ["task", "title", "group", "output", "access", "data"], as_json)


@app.command()
def models(
    check: Annotated[
        bool, typer.Option("--check", help="Whether chat template, tokenizer and config of each fit together.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the models of the catalog, of `incoming/` and of `external/`; tell what keeps a folder from being one."""
    from medeval_assets.resources import all_models, model_problems

    settings = Settings.from_environment()
    if check:
        _check_models(settings, as_json)
        return
    rows = [spec.model_dump(mode="json") for spec in all_models(settings).values()]
    show(rows, ["key", "role", "base", "checkpoint", "chat_template", "size"], as_json)
    for problem in model_problems(settings):
        err.print(str(problem), highlight=False, markup=False, soft_wrap=True)


@app.command()
def fetch(task: TaskName, as_json: AsJson = False) -> None:
    """Get a task's public files into MEDEVAL_SOURCES."""
    from medeval_assets.sources.fetching import fetch as fetch_files

    spec = named_task(task)
    err.print(f"{escape(spec.title)}: {escape(spec.licence)} ({escape(spec.homepage)})")
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=err, transient=True) as bars:
        rows: dict[str, Any] = {}

        def progress(name: str, done: int, total: int | None) -> None:
            if name not in rows:
                rows[name] = bars.add_task(name, total=total)
            bars.update(rows[name], completed=done, total=total)

        files = fetch_files(spec, Settings.from_environment(), progress)
    listed = [
        {
            "file": str(file.path),
            "sha256": file.sha256,
            "verified": file.verified,
            "fetched": file.fetched,
            "licence": file.licence,
            "url": file.url,
        }
        for file in files
    ]
    show(listed, ["file", "sha256", "verified", "fetched"], as_json)


@app.command()
def dataset(task: TaskName) -> None:
    """Print a task's examples as JSON lines."""
    from medeval_assets.sources.dataset import read_dataset
    from medeval_assets.sources.example_rows import rows_of

    spec = named_task(task)
    data = read_dataset(spec, Settings.from_environment())
    notice_of_access(spec, data.synthetic)
    for row in rows_of(data.examples):
        sys.stdout.write(json.dumps({**row, "synthetic": data.synthetic}, ensure_ascii=False) + "\n")


@app.command()
def prompts(task: TaskName, wording: Wording = "project", limit: Limit = None) -> None:
    """Print a task's prompts as JSON lines, so that any model can be asked with what ours are asked with.

    A line has `example_id`; `prompt_sha256`, to be copied into the prediction; `messages`; and `cue`, the words that
    open an answer where a model knows no chat messages.

    Where examples rest on documents, the last message holds the mark ⟦documents⟧, and `documents` lists what goes
    there, the most important first: as many as the model's context takes, the last one cut short if need be, shuffled,
    with `separator` between them.
    """
    from medeval_assets.prompts.prompt_rows import rows_of
    from medeval_assets.prompts.prompt_set import prompt_set
    from medeval_assets.prompts.selection import select
    from medeval_assets.prompts.wording import wording_for
    from medeval_assets.sources.dataset import read_dataset

    spec = named_task(task)
    settings = Settings.from_environment()
    data = read_dataset(spec, settings)
    asked = select(prompt_set(spec, data.examples, wording_for(spec, wording, settings)), limit)
    notice_of_access(spec, data.synthetic)
    for row in rows_of(asked):
        line = {name: row[name] for name in ("example_id", "prompt_sha256", "messages", "cue")}
        if spec.documents:
            line |= {"documents": row["documents"], "separator": spec.documents.separator}
        sys.stdout.write(json.dumps({**line, "synthetic": data.synthetic}, ensure_ascii=False) + "\n")


@app.command()
def evaluate(
    model: Models,
    task: Tasks = None,
    limit: Limit = None,
    prompts: Wording = "project",
    generations: Annotated[
        list[str] | None,
        typer.Option(
            "--generations",
            "-g",
            metavar="TASK=FILE",
            help='Answers of the one model, which runs elsewhere: JSON lines of {"example_id": …, "text": …}, and if '
            'known "prompt_sha256" and "finish_reason". They are kept; give it again for more tasks.',
        ),
    ] = None,
    base: Annotated[str, typer.Option("--base", help="With -g: the generalist the model is compared with.")] = "",
    title: Annotated[str, typer.Option("--title", help="With -g: the model's name in tables.")] = "",
    repeat_check: Annotated[
        int | None,
        typer.Option(
            "--repeat-check",
            min=1,
            metavar="K",
            help="Ask K prompts of each task again, one a batch and on other engines: the noise under a difference.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate models on tasks through Dagster, so that the UI shows it."""
    with wrong_use():
        find_tasks(task or [])
    if generations:
        answered = _register(model, generations, base, title, prompts)
        task = task or answered
    elif base or title:
        raise typer.BadParameter("--base and --title describe the model that -g registers")
    _evaluate(model, task, limit, prompts, as_json, repeat_check)


@app.command()
def plan(
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="A model's key; give it again for more. Default: all.")
    ] = None,
    task: Tasks = None,
    limit: Limit = None,
    prompts: Wording = "project",
    as_json: AsJson = False,
) -> None:
    """Tell what `evaluate` with the same options would make again, why, and what that would cost. Nothing is made."""
    from medeval_assets.engines.cell import cells_of
    from medeval_assets.plan.planning import make_plan
    from medeval_assets.resources import all_models
    from medeval_assets.settings import keep_libraries_at_home

    settings = Settings.from_environment()
    keep_libraries_at_home(settings.home)
    with wrong_use():
        known = all_models(settings)
        specs = find_models(model, known) if model else list(known.values())
        names = [spec.name for spec in find_tasks(task)] if task else None
    keys = [spec.key for spec in specs]
    with CellBars(len(cells_of(specs, names))) as bars:
        made = make_plan(settings, known, keys, names, progress=bars, limit=limit, prompts=prompts)
    if as_json:
        sys.stdout.write(json.dumps(made.as_json(), ensure_ascii=False) + "\n")
    else:
        show_plan(made)


@app.command()
def demo(
    limit: Annotated[int, typer.Option("--limit", min=1, help="Examples a task.")] = DEMO_LIMIT,
    as_json: AsJson = False,
) -> None:
    """Evaluate both demo models and the baselines on a few samples of every task."""
    from medeval_assets.metrics.encoder_folder import place_demo_encoder
    from medeval_assets.resources import all_models

    settings = Settings.from_environment()
    place_demo_encoder(settings.home)
    keys = [key for key, spec in all_models(settings).items() if spec.demo]
    _evaluate(keys, None, limit, "project", as_json, audit=True)
    err.print("\nLook at it in the Dagster UI: make ui")


@app.command()
def score(
    task: TaskName,
    predictions: Annotated[Path, typer.Argument(help='JSON lines of {"example_id": …, "text": …}.')],
    profile: Annotated[
        str, typer.Option("--profile", help="Whose scoring rules: `corrected`, another profile, or `all`.")
    ] = CORRECTED,
    as_json: AsJson = False,
) -> None:
    """Score answers that any tool produced."""
    from medeval_assets.engines.external_answers import generation_of
    from medeval_assets.metrics.available import available_metrics
    from medeval_assets.metrics.predictions_file import read_predictions
    from medeval_assets.metrics.score import score as score_rows
    from medeval_assets.prompts.prompt_set import choose_shots
    from medeval_assets.sources.dataset import read_dataset
    from medeval_assets.statistics.metric_table import metric_table

    spec = named_task(task)
    settings = Settings.from_environment()
    metrics = available_metrics(spec, settings)
    profiles = {"all", *(metric.profile for metric in metrics)}
    if profile not in profiles:
        with wrong_use():
            raise BadInput(
                [Problem(f"profile {quoted(profile)}", "there is no such profile", nearest(profile, profiles))]
            )
    data = read_dataset(spec, settings)
    test = {example.example_id for example in data.examples if example.split == "test"}
    # Worked examples are no test of a model, whoever was shown them.
    scored = test - {shot.example_id for shot in choose_shots(spec, data.examples)}
    answers = [one for one in read_predictions(predictions, test).predictions if one.example_id in scored]
    if len(answers) < len(scored):
        err.print(f"{len(scored) - len(answers)} of {len(scored)} examples have no prediction; they are left out.")
    rows = metric_table(score_rows(spec, metrics, data.examples, [asdict(generation_of(one)) for one in answers]))
    numbers = ("n", "value", "low", "high", "failure_rate", "if_wrong", "if_right")
    show(
        [{"task": spec.name, "synthetic": data.synthetic, **row} for row in rows if profile in ("all", row["profile"])],
        ["metric", *(["profile"] if profile == "all" else []), *numbers],
        as_json,
    )


@app.command()
def compare(
    model: Annotated[str, typer.Argument(help="A model's key.")],
    base: Annotated[str, typer.Argument(help="The key of the model it is compared with.")],
    task: Tasks = None,
    every_metric: Annotated[bool, typer.Option("--all", help="Every metric, not the headline alone.")] = False,
    margin: Annotated[
        float | None, typer.Option("--margin", min=0.0, max=100.0, help="Points below which a difference is too small.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two evaluated models on the examples that both answered under the same prompt."""
    from medeval_assets.comparisons.comparison import PLANNED
    from medeval_assets.comparisons.lake_comparisons import MARGIN, comparison_rows, scored_by_pairs
    from medeval_assets.comparisons.noise import repeat_checks_of
    from medeval_assets.lake.lake import Lake
    from medeval_assets.reports.comparison_console import cause_table, difference_table
    from medeval_assets.resources import all_models

    settings = Settings.from_environment()
    with wrong_use():
        model, base = (spec.key for spec in find_models([model, base], all_models(settings)))
        chosen = {spec.name: spec for spec in find_tasks(task)} if task else all_tasks()
    lake = Lake.of(settings)
    inputs = scored_by_pairs(lake, chosen, [(model, base)])
    rows = comparison_rows(
        lake,
        chosen,
        inputs,
        [(model, base)],
        margin=MARGIN if margin is None else margin / 100,
        repeat_checks=repeat_checks_of(lake, [record for records in inputs.values() for record in records]),
    )
    if not rows:
        raise BadInput(
            [
                Problem(
                    f"{model} and {base}",
                    "there is no task on which both were evaluated",
                    f"Run `medeval evaluate -m {model} -m {base}`.",
                )
            ]
        )
    if as_json:
        sys.stdout.write(json.dumps(rows, ensure_ascii=False) + "\n")
        return
    shown = rows if every_metric else [row for row in rows if row["family"] == PLANNED]
    out.print(difference_table(shown))
    out.print()
    out.print(cause_table(shown))
    points, compared = 100 * rows[0]["margin"], sum(row["family"] == PLANNED for row in rows)
    err.print(
        f"In percentage points. Holm: adjusted over the {compared} tasks compared. "
        f"tie: the interval lies within ±{points:g}. detectable: with 80 % power. "
        f"flips: both right/only {model}/only {base}/neither. "
        "noise: how far it moves when both are asked again (`--repeat-check`), with the number of prompts.",
        highlight=False,
        markup=False,
    )
    if any(row["synthetic"] for row in shown):
        err.print("Values on synthetic samples show that the platform works; they say nothing about a model.")


@app.command()
def ui(port: Annotated[int, typer.Option("--port", help="Port on this machine.")] = 3000) -> None:
    """Open the Dagster UI on MEDEVAL_HOME; it runs until it is interrupted."""
    from medeval_assets.instance import add_model_partitions, open_instance
    from medeval_assets.resources import all_models
    from medeval_assets.settings import keep_libraries_at_home

    settings = Settings.from_environment()
    keep_libraries_at_home(settings.home)
    with open_instance(settings) as instance:
        add_model_partitions(instance, all_models(settings))
    os.environ["MEDEVAL_HOME"], os.environ["MEDEVAL_SOURCES"] = str(settings.home), str(settings.sources)
    arguments = [
        "-m",
        "dagster",
        "dev",
        "-m",
        "medeval_assets.definitions",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - fixed arguments, our own interpreter


def _check_models(settings: Settings, as_json: bool) -> None:
    """Print a line a finding, one for each model without any, and one for each whose files are not here."""
    from medeval_assets.engines.checked_template import renders_here
    from medeval_assets.engines.model_check import check_model
    from medeval_assets.resources import all_models, model_problems
    from medeval_assets.settings import keep_libraries_at_home

    keep_libraries_at_home(settings.home)
    models = all_models(settings)
    columns = ("model", "finding", "severity", "what", "remedy")
    rows: list[dict[str, str]] = []
    for spec in (spec for spec in models.values() if renders_here(spec)):
        findings = check_model(spec, models, settings)
        if findings is None:
            lines = [("", "not checked", "files that it needs are not here", "They come with its first evaluation.")]
        elif not findings:
            lines = [("", "passed", "", "")]
        else:
            lines = [(one.name, one.severity, one.what, one.remedy) for one in findings]
        rows += [dict(zip(columns, (spec.key, *line), strict=True)) for line in lines]
    broken = [
        (problem.where, "unusable", "blocking", problem.what, problem.remedy) for problem in model_problems(settings)
    ]
    rows += [dict(zip(columns, line, strict=True)) for line in broken]
    away = [row["model"] for row in rows if row["severity"] == "not checked"]
    show(rows if as_json else [row for row in rows if row["model"] not in away], columns, as_json)
    if away and not as_json:
        err.print(f"Not checked, because their files are not here: {', '.join(away)}.", highlight=False, markup=False)
    if any(row["severity"] == "blocking" for row in rows):
        raise typer.Exit(1)


def _register(
    model_keys: Sequence[str], generations: Sequence[str], base: str, title: str, wording: Literal["project", "clue"]
) -> list[str]:
    """Make the files the answers of a model; returns their tasks."""
    from medeval_assets.engines.registration import Registration, refuse_wrong_names, register
    from medeval_assets.resources import all_models

    if len(model_keys) != 1:
        raise typer.BadParameter("-g gives the answers of one model: name it with one -m")
    files: dict[str, Path] = {}
    for given in generations:
        name, _, path = given.partition("=")
        if not path or name in files:
            raise typer.BadParameter(f"-g takes TASK=FILE, and each task once: {given}")
        files[name] = Path(path).expanduser()
    settings = Settings.from_environment()
    models = all_models(settings)
    with wrong_use():
        chosen = [(task, files[task.name]) for task in find_tasks(list(files))]
        registration = Registration(model_keys[0], chosen, base, title)
        refuse_wrong_names(registration, models, settings)
    for file in register(registration, models, settings, wording):
        if file.answered < file.prompts:
            err.print(f"{file.task}: {file.prompts - file.answered} of {file.prompts} prompts have no prediction.")
        if file.other_prompts:
            err.print(
                f"{file.task}: {file.other_prompts} of {file.answered} predictions answer other prompts than ours."
            )
    return list(files)


def _evaluate(
    model_keys: Sequence[str],
    task_names: Sequence[str] | None,
    limit: int | None,
    prompts: Literal["project", "clue"],
    as_json: bool,
    repeat: int | None = None,
    *,
    audit: bool = False,
) -> None:
    from medeval_assets.resources import all_models

    settings = Settings.from_environment()
    with wrong_use():
        specs = find_models(model_keys, all_models(settings))
        task_keys = [task.name for task in find_tasks(task_names)] if task_names else None

    from medeval_assets.engines.cell import cells_of
    from medeval_assets.engines.interruption import Stopped
    from medeval_assets.evaluation import evaluate as run_evaluation
    from medeval_assets.reports.leaderboard_picture import picture

    cells = cells_of(specs, task_keys)
    try:
        with CellBars(len(cells)) as bars:
            outcome = run_evaluation(
                settings, specs, task_keys, progress=bars, limit=limit, prompts=prompts, repeat=repeat, audit=audit
            )
    except Stopped as stopped:
        err.print("Stopped. Every answer so far is kept: the same command goes on from there.", highlight=False)
        raise typer.Exit(128 + stopped.number) from stopped
    rows = [row for row in outcome.rows if (row["model"], row["task"]) in cells]
    if as_json:
        document = {"rows": rows, "problems": outcome.problems}
        document |= {} if repeat is None else {"repeat_checks": outcome.repeats}
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    else:
        show_leaderboard(rows)
        if outcome.repeats:
            show_repeats(outcome.repeats)
    if rows:
        image = settings.home / "leaderboard.png"
        write_whole(image, picture(rows))
        err.print(f"Picture: {image}", highlight=False, markup=False, soft_wrap=True)
    if outcome.problems:
        for problem in outcome.problems:
            err.print(problem, style="red", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(1)
