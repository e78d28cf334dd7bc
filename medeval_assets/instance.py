"""The Dagster instance below MEDEVAL_HOME, which the command line and the UI share.

Belongs here: where runs are kept and how the instance is set up. Does not belong here: anything about assets.
Concept: https://docs.dagster.io/deployment/oss/oss-instance-configuration
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg

from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.errors import BadInput, Problem
from medeval_assets.partitions import MODELS
from medeval_assets.settings import Settings

_CONFIGURATION = Path(__file__).with_name("dagster.yaml")


def prepare_instance(settings: Settings) -> None:
    """Make the instance's folder, with the shipped configuration unless there is one, and name it to Dagster."""
    configuration = settings.dagster / "dagster.yaml"
    try:
        settings.dagster.mkdir(parents=True, exist_ok=True)
        if not configuration.exists():
            configuration.write_text(_CONFIGURATION.read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        what = f"it cannot be written to ({error.strerror})"
        remedy = "Check the folder and its permissions, or set MEDEVAL_HOME to another one."
        raise BadInput([Problem(str(settings.dagster), what, remedy)]) from error
    os.environ["DAGSTER_HOME"] = str(settings.dagster)


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance of MEDEVAL_HOME; close it, or use it as a context. BadInput where its databases cannot be opened."""
    from sqlalchemy.exc import DBAPIError

    prepare_instance(settings)
    # Two processes that make Dagster's databases at the same moment spoil them.
    with alone(settings.dagster):
        try:
            instance = dg.DagsterInstance.get()
            for storage in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
                if storage is not None:
                    storage.alembic_version()
        except DBAPIError as error:
            what = f"Dagster's databases cannot be opened ({error.orig})"
            remedy = "Check that there is space, the folder and its permissions."
            raise BadInput([Problem(str(settings.dagster), what, remedy)]) from error
    return instance


@contextlib.contextmanager
def open_instance_to_read(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The instance of MEDEVAL_HOME as it is now; where nothing can be written there, a copy of it.

    SQLite reads no database beside which it cannot write.
    """
    with contextlib.ExitStack() as stack:
        try:
            instance = open_instance(settings)
        except BadInput:
            copy = replace(settings, home=Path(stack.enter_context(tempfile.TemporaryDirectory())))
            with contextlib.suppress(OSError):
                _copy_databases(settings.dagster, copy.dagster)
            if not (copy.dagster / "dagster.yaml").is_file():
                raise
            instance = open_instance(copy)
        yield stack.enter_context(instance)


def _copy_databases(source: Path, target: Path) -> None:
    databases = [*source.glob("*/*.db*"), *source.glob("*/*/index.db*")]
    for path in (*databases, source / "dagster.yaml"):
        copied = target / path.relative_to(source)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copied)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """No other process is in here for the same folder meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def missing_partitions(instance: dg.DagsterInstance, models: dict[str, ModelSpec]) -> list[str]:
    """Keys of models that are no partition yet, in the catalog's order."""
    name = MODELS.name
    known = set(instance.get_dynamic_partitions(name)) if name else set()
    return [key for key in models if key not in known]


def add_model_partitions(instance: dg.DagsterInstance, models: dict[str, ModelSpec]) -> None:
    """Make every model a partition."""
    missing = missing_partitions(instance, models)
    if missing and MODELS.name:
        instance.add_dynamic_partitions(MODELS.name, missing)
