"""The resources: where things are, and what answers the prompts.

Belongs here: configuration a user can change without touching an asset. Does not belong here: how any of it works.
Concept: https://docs.dagster.io/guides/build/external-resources
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from medeval_assets.catalog.external import external_models
from medeval_assets.catalog.incoming import incoming_models
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.models_file import read_models
from medeval_assets.errors import Problem
from medeval_assets.lake.lake import Lake
from medeval_assets.settings import Settings, keep_libraries_at_home


class Home(dg.ConfigurableResource):  # type: ignore[type-arg]  # generic only for resources that build another object
    """Folders of the platform. `lake` may be any fsspec URL; empty means `<home>/lake`."""

    home: str
    sources: str
    lake: str = ""

    @classmethod
    def from_settings(cls, settings: Settings) -> Home:
        return cls(home=str(settings.home), sources=str(settings.sources), lake=settings.lake_url)

    @property
    def settings(self) -> Settings:
        return Settings(home=Path(self.home), sources=Path(self.sources), lake_url=self.lake)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        keep_libraries_at_home(self.settings.home)

    def open_lake(self) -> Lake:
        return Lake.of(self.settings)

    def models(self) -> dict[str, ModelSpec]:
        return all_models(self.settings)


def all_models(settings: Settings) -> dict[str, ModelSpec]:
    """Every model there is: the catalog's, the complete checkpoints under `<home>/incoming`, then `<home>/external`."""
    return _found(settings)[0]


def model_problems(settings: Settings) -> list[Problem]:
    """Everything that keeps folders under `<home>/incoming` and `<home>/external` from being models."""
    return _found(settings)[1]


def _found(settings: Settings) -> tuple[dict[str, ModelSpec], list[Problem]]:
    models = read_models(settings.catalog_files)
    problems: list[Problem] = []
    for place, look in ((settings.incoming, incoming_models), (settings.external, external_models)):
        found, wrong = look(place, models)
        models |= found
        problems += [
            Problem(f"{place.name}/{problem.where}", problem.what, problem.remedy)
            for listed in wrong.values()
            for problem in listed
        ]
    return models, problems
