"""Purge: remove a task's data and everything that quotes them; the numbers stay, and the proof of the removal.

Belongs here: what holds a task's texts, and how it goes. Does not belong here: asking the user, and whether anything
runs meanwhile (`cli.purge`).
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from medeval_assets.catalog.external import generations_file
from medeval_assets.catalog.model_spec import ModelSpec
from medeval_assets.catalog.task_spec import TaskSpec
from medeval_assets.errors import BadInput, Problem
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake, LakeOutOfReach, Version
from medeval_assets.settings import Settings

QUOTING = ("datasets", "prompt_sets", "generations")
"""The assets whose tables hold texts of examples. All others hold numbers, hashes and the names of rules."""

_VERSIONS = "_versions"


@dataclass(frozen=True)
class Quoting:
    """All that holds texts of a task.

    versions: of tables, those in the archive; current ones are among them.
    strays: files of the lake that no version accounts for, below its root: drafts of writes that were killed, tables
    that are not in the archive. They go too.
    journal: folders of answers. external: files of answers given from elsewhere.
    sources: folders of raw files that may be removed.
    elsewhere: what must be removed by the user, and why, in words.
    """

    task: str
    versions: tuple[Version, ...] = ()
    strays: tuple[str, ...] = ()
    journal: tuple[Path, ...] = ()
    external: tuple[Path, ...] = ()
    sources: tuple[Path, ...] = ()
    elsewhere: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether there is nothing left to remove."""
        return not (self.versions or self.strays or self.journal or self.external or self.sources)


@dataclass(frozen=True)
class Purged:
    """What was removed. damaged: tables that could not be read, so that there is no proof of what they were."""

    removed: Quoting
    damaged: tuple[str, ...] = ()


def find_quoting(
    lake: Lake,
    settings: Settings,
    task: TaskSpec,
    *,
    tasks: Mapping[str, TaskSpec],
    models: Mapping[str, ModelSpec],
    sources: bool = False,
) -> Quoting:
    """What a purge of the task would remove. tasks, models: all there are. sources: its raw files as well."""
    files = _files_of(lake, task.name)
    keys = sorted({key for path in files if (key := _key_of(path)) is not None})
    current = {key: lake.file_sha256(key) for key in keys}
    # The current one last: as long as something is left to be removed, there is a current table.
    versions = sorted(
        (version for key in keys for version in lake.versions(key)),
        key=lambda version: (version.key, version.file_sha256 == current[version.key]),
    )
    prefix = len(lake.root) + 1
    accounted = {version.path[prefix:] for version in versions}
    hashes: dict[LakeKey, set[str]] = {}
    for version in versions:
        hashes.setdefault(version.key, set()).add(version.file_sha256)
    for key in keys:
        if current[key] in hashes.get(key, set()):
            accounted.add(lake.path(key)[prefix:])
    external, elsewhere = _external(settings, task, models)
    elsewhere += [
        f"{other.name}: its tables are made from the same raw files; purge it as well"
        for other in tasks.values()
        if other.name != task.name and other.folder == task.folder and _files_of(lake, other.name)
    ]
    removable, kept = _sources(lake, settings, task, tasks)
    if (versions or files) and not lake.is_local:
        kept_by_itself = (
            "what the bucket itself keeps: deleted files, if it keeps versions, and uploads that were cut short"
        )
        elsewhere.append(f"{lake.root}: {kept_by_itself}")
    if not sources:
        kept = [*(f"{path}: its raw files, which --sources removes" for path in removable), *kept]
        removable = []
    return Quoting(
        task.name,
        versions=tuple(versions),
        strays=tuple(path for path in files if path not in accounted),
        journal=tuple(sorted(path for path in settings.journal.glob(f"*/{task.name}") if path.is_dir())),
        external=tuple(external),
        sources=tuple(removable),
        elsewhere=(*elsewhere, *kept),
    )


def remove_quoting(lake: Lake, found: Quoting) -> Purged:
    """Remove what was found. Cut short anywhere, the same purge again removes the rest.

    The raw files and the answers go first: as long as a table is left, it tells that there is something to finish.
    BadInput where something cannot be removed; what could be is gone by then.
    """
    damaged: list[str] = []
    problems: list[Problem] = []

    @contextlib.contextmanager
    def told(where: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            pass  # another purge was faster
        except LakeOutOfReach as error:
            problems.extend(error.problems)
        except OSError as error:
            what = f"it cannot be removed ({error.strerror or type(error).__name__})"
            problems.append(Problem(where, what, "Check its permissions and purge again."))

    for path in found.external:
        with told(str(path)):
            path.unlink()
    for path in (*found.sources, *found.journal):
        _remove_folder(path, problems)
    for version in found.versions:
        with told(version.path):
            if not _removed(lake, version):
                damaged.append(f"{version.key} ({version.file_sha256[:12]}…)")
    for stray in found.strays:
        with told(stray):
            proven = _removed_stray(lake, stray)
            if not proven and stray.endswith(".parquet"):
                damaged.append(stray)
    if problems:
        raise BadInput(problems)
    return Purged(found, tuple(damaged))


def _files_of(lake: Lake, task: str) -> list[str]:
    """Every file of the task's quoting tables, current, in the archive or unfinished, by its path below the root."""
    folders = [f"{above}{asset}" for asset in QUOTING for above in ("", f"{_VERSIONS}/")]
    paths = [file.path for folder in folders for file in lake.all_files(folder, drafts=True)]
    return [path for path in paths if f"task={task}" in path.split("/")[:-1]]


def _key_of(path: str) -> LakeKey | None:
    return LakeKey.named(path.removeprefix(f"{_VERSIONS}/").rpartition("/")[0])


def _removed(lake: Lake, version: Version) -> bool:
    """Remove a version and keep its proof. False: it was damaged, and is gone without one."""
    try:
        lake.remove(version, "purge")
    except (LakeOutOfReach, OSError):
        raise
    except Exception:  # a damaged footer breaks its reader in more ways than one
        lake.discard(version)
        return False
    return True


def _removed_stray(lake: Lake, path: str) -> bool:
    """Remove a file that no version accounts for. A whole table gets into the archive first, so that a proof stays."""
    key = _key_of(path)
    if key is not None and not path.startswith(f"{_VERSIONS}/") and path.endswith("/data.parquet"):
        version = lake.archived(key)
        return version is not None and _removed(lake, version)
    lake.remove_file(f"{lake.root}/{path}")
    return False


def _external(settings: Settings, task: TaskSpec, models: Mapping[str, ModelSpec]) -> tuple[list[Path], list[str]]:
    """(files of answers that are removed, those that lie elsewhere): of models that run elsewhere, drafts included."""
    name = f"{task.name}.jsonl"
    own = [
        path
        for folder in (sorted(settings.external.iterdir()) if settings.external.is_dir() else [])
        if folder.is_dir() and not folder.is_symlink()
        for path in sorted(folder.iterdir())
        # A draft of a registration that was killed has the name with a dot before it and something random behind.
        if path.name == name or path.name.startswith(f".{name}-")
    ]
    others = [generations_file(model, task.name) for model in models.values() if model.source == "generations"]
    listed = [f"{path}: answers that quote it" for path in others if path not in own and path.is_file()]
    return own, listed


def _sources(
    lake: Lake, settings: Settings, task: TaskSpec, tasks: Mapping[str, TaskSpec]
) -> tuple[list[Path], list[str]]:
    """(folders of raw files that may be removed, those that may not and why)."""
    removable: list[Path] = []
    kept: list[str] = []
    home = settings.home.resolve()
    for name in dict.fromkeys((task.name, task.folder)):
        folder = settings.sources / name
        if not folder.exists() and not folder.is_symlink():
            continue
        users = [
            other.name
            for other in tasks.values()
            if other.name != task.name
            and name in {other.name, other.folder}
            and lake.file_sha256(LakeKey("datasets", task=other.name))
        ]
        if users:
            kept.append(f"{folder}: its raw files, which {', '.join(users)} also reads; purge that first")
        elif folder.resolve().is_relative_to(home) and not folder.is_symlink():
            removable.append(folder)
        else:
            kept.append(f"{folder}: its raw files, which lie outside MEDEVAL_HOME; remove them yourself")
    return removable, kept


def _remove_folder(path: Path, problems: list[Problem]) -> None:
    def told(_: object, name: str, error: BaseException) -> None:
        if not isinstance(error, FileNotFoundError):
            reason = getattr(error, "strerror", None) or type(error).__name__
            problems.append(Problem(name, f"it cannot be removed ({reason})", "Check its permissions and purge again."))

    shutil.rmtree(path, onerror=lambda function, name, about: told(function, name, about[1]))
