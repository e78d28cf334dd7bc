"""The one entry point of the code location: assembles everything, takes resource overrides for tests.

Belongs here: assembling. Does not belong here: anything that is assembled.
Concept: https://docs.dagster.io/guides/build/projects-and-components
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from medeval_assets.assets.comparisons import comparisons
from medeval_assets.assets.datasets import datasets
from medeval_assets.assets.generations import generations
from medeval_assets.assets.leaderboard import leaderboard
from medeval_assets.assets.lineage_audit import clean, lineage_audit
from medeval_assets.assets.metric_tables import metric_tables
from medeval_assets.assets.prompt_sets import prompt_sets
from medeval_assets.assets.repeat_checks import repeat_checks
from medeval_assets.assets.scores import scores
from medeval_assets.automation import JOBS, SCHEDULES, SENSORS
from medeval_assets.checks import CHECKS
from medeval_assets.progress import LoggedProgress
from medeval_assets.resources import Home
from medeval_assets.settings import Settings


def build_definitions(resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """All definitions, with the resources of the environment unless others are given."""
    resources: dict[str, Any] = {
        "home": Home.from_settings(Settings.from_environment()),
        "progress": LoggedProgress(),
    }
    return dg.Definitions(
        assets=[
            datasets,
            prompt_sets,
            generations,
            scores,
            metric_tables,
            repeat_checks,
            leaderboard,
            comparisons,
            lineage_audit,
        ],
        asset_checks=[*CHECKS, clean],
        jobs=JOBS,
        sensors=SENSORS,
        schedules=SCHEDULES,
        # Runs are processes of their own already; a process for every step costs seconds and loads the model again.
        executor=dg.in_process_executor,
        resources={**resources, **(resource_overrides or {})},
    )


defs = build_definitions()
