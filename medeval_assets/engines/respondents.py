"""Which respondent answers for a model."""

from __future__ import annotations

from collections.abc import Mapping

from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.engines.baseline import Baseline
from medeval_assets.engines.external_answers import ExternalAnswers
from medeval_assets.engines.loaded_checkpoint import LoadedCheckpoint
from medeval_assets.engines.model_under_test import ModelUnderTest
from medeval_assets.engines.respondent import Respondent
from medeval_assets.engines.served_model import ServedModel
from medeval_assets.settings import Settings


def respondent_of(
    spec: ModelSpec, models: Mapping[str, ModelSpec], settings: Settings, *, download: bool = True
) -> Respondent:
    """What answers for the model. Nothing is read or loaded yet.

    models: all there are, for templates of others.
    download: False lets it raise NotHere where files would have to be downloaded or converted first.
    """
    match spec.source:
        case "baseline":
            return Baseline(spec.checkpoint.removeprefix("baseline:"))
        case "generations":
            return ExternalAnswers(spec)
        case "served":
            return LoadedCheckpoint(ServedModel(spec, models, settings))
        case _:
            return LoadedCheckpoint(ModelUnderTest(spec, models, settings, download=download))
