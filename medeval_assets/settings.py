"""Where things are: MEDEVAL_HOME, MEDEVAL_SOURCES, and the data that ship with the project."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_BUNDLED = _PACKAGE / "_data" if (_PACKAGE / "_data").is_dir() else _PACKAGE.parent / "data"


@dataclass(frozen=True)
class Settings:
    """Folders the platform reads and the one it writes.

    home: everything that is written lies below it (lake, Dagster instance, demo checkpoints, hub downloads).
    sources: `<sources>/<task>/` holds a task's real files in their owner's format.
    bundled: the project's own `data/`: catalog, synthetic samples, reference values.
    lake_url: where the tables are, as any fsspec URL; "" for `<home>/lake`.
    journal_folder: where answers are kept; None for `<home>/journal`.
    """

    home: Path
    sources: Path
    bundled: Path = _BUNDLED
    lake_url: str = ""
    journal_folder: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """The folders and the lake that the environment names.

        MEDEVAL_HOME: default `.medeval` in the working folder. MEDEVAL_SOURCES: default `<home>/sources`.
        MEDEVAL_LAKE: any fsspec URL, default `<home>/lake`.
        """
        values = os.environ if environment is None else environment
        home = Path(values.get("MEDEVAL_HOME") or ".medeval").expanduser().absolute()
        sources = Path(values.get("MEDEVAL_SOURCES") or home / "sources").expanduser().absolute()
        return cls(home=home, sources=sources, lake_url=values.get("MEDEVAL_LAKE") or "")

    @property
    def samples(self) -> Path:
        return self.bundled / "samples"

    @property
    def lake(self) -> Path:
        """The lake's folder where no `lake_url` says otherwise."""
        return self.home / "lake"

    @property
    def checkpoints(self) -> Path:
        return self.home / "checkpoints"

    @property
    def incoming(self) -> Path:
        return self.home / "incoming"

    @property
    def external(self) -> Path:
        return self.home / "external"

    @property
    def encoders(self) -> Path:
        """Language models that BERTScore compares texts with, a folder each."""
        return self.home / "encoders"

    @property
    def journal(self) -> Path:
        """Every answer that a loaded model gave, by what it was asked."""
        return self.journal_folder or self.home / "journal"

    @property
    def dagster(self) -> Path:
        return self.home / "dagster"

    @property
    def catalog_files(self) -> tuple[Path, ...]:
        """The shipped catalog and, where the user wrote one, `<home>/models.yaml`."""
        own = self.home / "models.yaml"
        shipped = self.bundled / "catalog" / "models.yaml"
        return (shipped, own) if own.is_file() else (shipped,)


def keep_libraries_at_home(home: Path, environment: MutableMapping[str, str] | None = None) -> None:
    """Turn telemetry off and point the libraries' caches below `home`, unless the user set them."""
    values = os.environ if environment is None else environment
    for name in ("DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY", "VLLM_NO_USAGE_STATS"):
        values[name] = "1"
    folders = {
        "HF_HOME": "hub",
        "MPLCONFIGDIR": "cache/matplotlib",
        "TORCHINDUCTOR_CACHE_DIR": "cache/torchinductor",
        "TRITON_CACHE_DIR": "cache/triton",
        "FLASHINFER_WORKSPACE_BASE": "cache/flashinfer",
        "VLLM_CACHE_ROOT": "cache/vllm",
        "VLLM_CONFIG_ROOT": "cache/vllm",
    }
    for name, folder in folders.items():
        values.setdefault(name, str(home / folder))
    values.setdefault("TOKENIZERS_PARALLELISM", "false")
