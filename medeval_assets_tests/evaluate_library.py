"""Hugging Face's `evaluate`, which copies each module that it loads into a cache, with the cache in a given folder."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from medeval_assets.metrics import modules

FOLDER = Path(modules.__path__[0])
MODULES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))


@contextmanager
def evaluate_in(folder: Path) -> Iterator[Any]:
    """The library, imported here as that takes seconds. A process must keep to one folder: copies are imported by name.

    Its settings are read from the environment once, so they are set in the library itself.
    """
    import evaluate

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate.config, "HF_MODULES_CACHE", folder / "modules")
        patch.setattr(evaluate.config, "HF_METRICS_CACHE", folder / "metrics")
        yield evaluate


def examples_in(module: Any) -> doctest.DocTest:
    """The Python session in the module's documentation."""
    return doctest.DocTestParser().get_doctest(module.inputs_description, {}, module.name, None, None)
