"""LakeKey: which table of the lake."""

from __future__ import annotations

from typing import NamedTuple


class LakeKey(NamedTuple):
    """One file of the lake: an asset, and the model and task where the asset is partitioned by them."""

    asset: str
    model: str = ""
    task: str = ""

    @property
    def folder(self) -> str:
        """The hive-style folder below the lake's root: `generations/model=m/task=t`."""
        parts = [self.asset]
        parts += [f"model={self.model}"] if self.model else []
        parts += [f"task={self.task}"] if self.task else []
        return "/".join(parts)

    @classmethod
    def from_folder(cls, folder: str) -> LakeKey:
        asset, *parts = folder.split("/")
        values = dict(part.split("=", 1) for part in parts)
        return cls(asset, values.get("model", ""), values.get("task", ""))

    @classmethod
    def named(cls, folder: str) -> LakeKey | None:
        """The table of a folder below the lake's root; None where the folder is none of a table."""
        try:
            key = cls.from_folder(folder)
        except ValueError:
            return None
        return key if key.folder == folder else None

    def __str__(self) -> str:
        return " × ".join(filter(None, (self.asset, self.model, self.task)))
