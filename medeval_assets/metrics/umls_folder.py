"""UmlsFolder: where a user keeps the knowledge base of the UMLS metrics, and what identifies it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medeval_assets.catalog.file_hashes import FileHashes
from medeval_assets.errors import BadInput, Problem

LIBRARY = "scispacy"
MODEL = "en_core_sci_sm"
INDEX_FILES = ("nmslib_index.bin", "tfidf_vectors_sparse.npz", "concept_aliases.json")
"""scispaCy's index of the names in a knowledge base, as it publishes it, without its pickled vectoriser."""

# What decides which concepts are found, beside the files.
_PACKAGES = ("scispacy", "spacy", "nmslib-metabrainz", "scikit-learn")


@dataclass(frozen=True)
class UmlsFolder:
    """The folder `<home>/umls` and the spaCy pipeline that finds mentions.

    knowledge_base: JSON lines with concept_id, canonical_name, aliases, types and definition, scispaCy's format.
    index: the three `INDEX_FILES` of it in that order; empty where they are still to be made.
    pipeline: the folder `pipeline` there, else that of the installed package `en_core_sci_sm`.
    """

    folder: Path
    knowledge_base: Path
    index: tuple[Path, ...]
    pipeline: Path

    def identity(self) -> Mapping[str, str]:
        """What a score depends on: SHA-256 of the knowledge base, its index and the pipeline; the packages' versions.

        `umls_index` is "built" where the index is made from the knowledge base. Hashes are remembered in the folder.
        Raises BadInput where a file cannot be read.
        """
        hashes = FileHashes(self.folder)
        files = sorted(path for path in self.pipeline.rglob("*") if path.is_file() and path.suffix != ".pyc")
        try:
            base = hashes.of(self.knowledge_base)
            index = [hashes.of(path) for path in self.index]
            pipeline = [(path.relative_to(self.pipeline).as_posix(), hashes.of(path)) for path in files]
        except OSError as error:
            raise BadInput(
                [Problem("umls/", f"cannot be read ({error.strerror})", "Check its permissions.")]
            ) from error
        return {
            "umls_knowledge_base": base,
            "umls_index": _digest(index) if index else "built",
            "umls_pipeline": _digest(pipeline),
            **{package: importlib.metadata.version(package) for package in _PACKAGES},
        }


def umls_folder(home: Path) -> UmlsFolder | None:
    """The folder below `home`; None where there is no knowledge base and no pipeline, or scispaCy is not installed.

    Files may bear a prefix, as in scispaCy's cache of downloads: `<hash>.nmslib_index.bin`. Nothing is loaded. Raises
    BadInput with everything that is missing or there twice, since half of it would silently give no scores.
    """
    folder = home / "umls"
    own_pipeline = folder / "pipeline"
    bases = sorted(folder.glob("*.jsonl"))
    if importlib.util.find_spec(LIBRARY) is None or not (bases or own_pipeline.is_dir()):
        return None
    problems: list[Problem] = []
    if len(bases) != 1:
        what = "there is no knowledge base (*.jsonl)" if not bases else f"there are {len(bases)} knowledge bases"
        problems.append(Problem("umls/", what, "Put one there, such as scispaCy's umls_2022_ab_cat0129.jsonl."))
    found = {name: sorted(folder.glob(f"*{name}")) for name in INDEX_FILES}
    if any(found.values()):
        for name, paths in found.items():
            if len(paths) != 1:
                remedy = "Keep the three files of one index there, or none: then it is made from the knowledge base."
                problems.append(Problem(f"umls/{name}", f"there are {len(paths)} of this name", remedy))
    pipeline = own_pipeline if own_pipeline.is_dir() else _installed_model()
    if pipeline is None:
        remedy = f"Install {MODEL} from scispaCy's releases, or save a spaCy pipeline that finds entities there."
        problems.append(Problem("umls/pipeline", "there is no pipeline that finds mentions", remedy))
    if problems or pipeline is None:
        raise BadInput(problems)
    index = tuple(path for paths in found.values() for path in paths)
    return UmlsFolder(folder, bases[0], index, pipeline)


def _installed_model() -> Path | None:
    package = importlib.util.find_spec(MODEL)
    if package is None or not package.submodule_search_locations:
        return None
    # A packaged pipeline holds its data in a folder of its own, named after its version.
    root = Path(package.submodule_search_locations[0])
    return next((path.parent for path in sorted(root.rglob("config.cfg"))), None)


def _digest(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
