"""What happens by itself: new models become partitions, new checkpoints are evaluated, all models are evaluated weekly.

Belongs here: jobs, sensors, schedules. Does not belong here: automation conditions of single assets (they stand on the
asset) and the shape of a run (`partitions.model_run_request`).
GPU work is only ever asked for here: a declarative condition on `generations` would request every model as soon as a
prompt set is made again.
Concept: https://docs.dagster.io/guides/automate
"""

import json

import dagster as dg

from medeval_assets.catalog.incoming import incoming_models
from medeval_assets.catalog.models_file import read_models
from medeval_assets.checks import up_to_date
from medeval_assets.instance import missing_partitions
from medeval_assets.partitions import EVALUATION_JOB, MODELS, model_run_request
from medeval_assets.resources import Home, all_models


def _with_own_checks(*assets: str) -> dg.AssetSelection:
    """The assets with the checks of what is made. What is out of date is asked of all tables, by the audit alone."""
    return dg.AssetSelection.assets(*assets) - dg.AssetSelection.checks(up_to_date)


evaluate_model = dg.define_asset_job(
    EVALUATION_JOB,
    selection=_with_own_checks("generations", "scores", "metric_tables"),
    description="One model on a range of tasks: loads it once, answers, scores.",
)

prepare_tasks = dg.define_asset_job(
    "prepare_tasks",
    selection=_with_own_checks("datasets", "prompt_sets"),
    description="Datasets and prompt sets of a range of tasks.",
)

check_repeats = dg.define_asset_job(
    "check_repeats",
    selection=_with_own_checks("repeat_checks"),
    description="Ask a model some of its prompts again: the noise floor under every difference.",
)

refresh_reports = dg.define_asset_job(
    "refresh_reports",
    selection=_with_own_checks("leaderboard", "comparisons"),
    description="The leaderboard and the comparisons over all cells there are.",
)

audit_lineage = dg.define_asset_job(
    "audit_lineage",
    selection=dg.AssetSelection.assets("lineage_audit") | dg.AssetSelection.checks(up_to_date),
    description="Every file of the lake: is it what it was, where is it from, and what is out of date?",
)


@dg.sensor(
    name="new_models",
    job=evaluate_model,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def new_models(context: dg.SensorEvaluationContext, home: Home) -> dg.SensorResult | dg.SkipReason:
    """Models that are no partition yet become one; a complete checkpoint under `incoming/` is also evaluated once."""
    settings = home.settings
    models = all_models(settings)
    incoming, incomplete = incoming_models(settings.incoming, read_models(settings.catalog_files))
    missing = missing_partitions(context.instance, models)
    # Not the missing ones: the UI and the command line make models partitions too, and evaluate none of these.
    asked: list[str] = json.loads(context.cursor or "[]")
    unasked = [key for key in incoming if key not in asked]
    unprompted = _tasks_without_prompts(home)
    if unasked and unprompted:
        return dg.SensorResult(
            dynamic_partitions_requests=[MODELS.build_add_request(missing)] if missing else [],
            skip_reason=dg.SkipReason(f"no prompt set yet: {', '.join(unprompted)}; `follow_up` makes them"),
            cursor=context.cursor,
        )
    if not missing and not unasked:
        waiting = "; ".join(f"incoming/{key}: {problems[0]}" for key, problems in sorted(incomplete.items()))
        return dg.SkipReason(waiting or "every model is a partition already")
    return dg.SensorResult(
        run_requests=[model_run_request(models[key], run_key=f"incoming/{key}") for key in unasked],
        dynamic_partitions_requests=[MODELS.build_add_request(missing)] if missing else [],
        cursor=json.dumps([*asked, *unasked]),
    )


def _tasks_without_prompts(home: Home) -> list[str]:
    """Tasks whose prompts are still to come: of those whose data could be read, or of all where none were read yet."""
    lake = home.open_lake()
    prompted = {key.task for key in lake.keys("prompt_sets")}
    return [key.task for key in lake.keys("datasets") if key.task not in prompted] or ([] if prompted else ["any task"])


@dg.schedule(name="weekly_evaluation", job=evaluate_model, cron_schedule="0 2 * * 6", execution_timezone="UTC")
def weekly_evaluation(context: dg.ScheduleEvaluationContext, home: Home) -> list[dg.RunRequest] | dg.SkipReason:
    """Every model on every task; cells in which nothing changed cost no model load."""
    models = home.models()
    # Answers from elsewhere do not come by themselves: they are evaluated when they are registered.
    known = [key for key in context.instance.get_dynamic_partitions("models") if key in models]
    keys = [key for key in known if models[key].source != "generations"]
    if not keys:
        return dg.SkipReason("no model is a partition yet")
    week = context.scheduled_execution_time.date().isoformat()
    return [model_run_request(models[key], run_key=f"{week}/{key}") for key in keys]


daily_audit = dg.ScheduleDefinition(
    name="daily_audit",
    job=audit_lineage,
    cron_schedule="0 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

follow_up = dg.AutomationConditionSensorDefinition(
    "follow_up",
    target=dg.AssetSelection.assets("datasets", "prompt_sets", "scores", "metric_tables", "leaderboard", "comparisons"),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
)

JOBS = [prepare_tasks, evaluate_model, check_repeats, refresh_reports, audit_lineage]
SENSORS = [new_models, follow_up]
SCHEDULES = [weekly_evaluation, daily_audit]
