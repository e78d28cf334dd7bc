"""The template check of a model whose files are here, as a list of findings and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from medeval_assets.catalog.checkpoint_source import NotHere
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.engines.model_under_test import ModelUnderTest
from medeval_assets.engines.template_check import Finding
from medeval_assets.errors import BadInput
from medeval_assets.settings import Settings


def check_model(spec: ModelSpec, models: Mapping[str, ModelSpec], settings: Settings) -> list[Finding] | None:
    """What was found, what keeps the model from being used included; None where its files are not here.

    Nothing is downloaded. models: all there are, for templates of others.
    """
    try:
        return ModelUnderTest(spec, models, settings, download=False).template_findings
    except NotHere:
        return None
    except BadInput as error:
        return [Finding("unusable", "blocking", f"{one.where}: {one.what}", one.remedy) for one in error.problems]
