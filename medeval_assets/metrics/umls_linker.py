"""UmlsLinker: scispaCy's linker in memory, which turns a text into the concepts it names."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from medeval_assets.catalog.whole_folder import make_whole
from medeval_assets.errors import BadInput, Problem
from medeval_assets.metrics.umls_folder import INDEX_FILES, UmlsFolder

# The linker's defaults, which the CLUE benchmark uses.
NEIGHBOURS = 30
THRESHOLD = 0.7

LONGEST = 100_000
_MOST_BRACKETS = 100
# Tokenizing takes the square of the length of a run without white space.
_LONG_RUN = re.compile(r"\S{200}")
_PROBLEMS_SHOWN = 10
_VECTORISER_FILE = "tfidf_vectorizer.json"
_NGRAMS = {"analyzer": "char_wb", "ngram_range": (3, 3)}
_RAREST = 10
_NAMES_PER_RAREST = 10_000
_SEARCH_WIDTH = 200
_ROWS_COMPARED = 1000
_FLOAT16_STEP = 2e-3
_ANOTHER_INDEX = "Get it again from the same release, or delete its files: then it is made from the knowledge base."


class UmlsLinker:
    """spaCy pipeline, knowledge base and index of its names.

    scispaCy keeps what turns names into vectors as a pickle, which could run anything when read. It is fitted again
    from the knowledge base here, in minutes and with the same result, and kept as JSON in a subfolder that bears the
    knowledge base's hash. So is the index, where the user has none; for all of UMLS that takes hours.
    """

    def __init__(self, umls: UmlsFolder) -> None:
        """Reads everything; raises BadInput where something cannot be used."""
        import spacy
        from scispacy.abbreviation import AbbreviationDetector
        from scispacy.candidate_generation import CandidateGenerator
        from scispacy.linking import EntityLinker
        from scispacy.linking_utils import KnowledgeBase

        base = KnowledgeBase(_entities(umls.knowledge_base))
        own = umls.folder / f"index-{umls.identity()['umls_knowledge_base'][:16]}{'-vectoriser' if umls.index else ''}"
        if not own.is_dir():
            make_whole(own, lambda draft: _write_index(base, draft, with_names=not umls.index))
        vectoriser = _read_vectoriser(own / _VECTORISER_FILE)
        index = umls.index or tuple(own / name for name in INDEX_FILES)
        names, neighbours = _read_index(index, base, vectoriser)
        generator = CandidateGenerator(neighbours, vectoriser, names, base)
        try:
            self._pipeline = spacy.load(umls.pipeline, exclude=["scispacy_linker", "abbreviation_detector"])
        except Exception as error:
            what = f"cannot be loaded ({type(error).__name__})"
            raise BadInput([Problem("umls/pipeline", what, "Save it again with the installed spaCy.")]) from error
        self._abbreviations = AbbreviationDetector(self._pipeline)
        self._linkers = {
            resolved: EntityLinker(
                candidate_generator=generator, resolve_abbreviations=resolved, k=NEIGHBOURS, threshold=THRESHOLD
            )
            for resolved in (False, True)
        }

    def concepts(self, text: str, *, resolve_abbreviations: bool) -> frozenset[str]:
        """The canonical name of each mention's first candidate.

        resolve_abbreviations: a short form that the text introduces in brackets is looked up by its long form (Schwartz
        & Hearst 2003). Not done in a text with more than 100 brackets, as its time grows with their square.

        Of a longer text the first 100,000 characters are read; a run of more than 200 characters without white space is
        cut; lone surrogates become U+FFFD. The text is read by itself, so that what is found does not depend on the
        texts beside it.
        """
        whole = text[:LONGEST].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        document = self._pipeline(_LONG_RUN.sub(r"\g<0> ", whole))
        resolved = resolve_abbreviations and whole.count("(") <= _MOST_BRACKETS
        if resolved:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=r"\[W036\]")  # said of every text without a short form
                self._abbreviations(document)
        linker = self._linkers[resolved]
        linker(document)
        candidates = (mention._.kb_ents for mention in document.ents)
        return frozenset(linker.kb.cui_to_entity[found[0][0]].canonical_name for found in candidates if found)


def _entities(path: Path) -> Iterator[Any]:
    from scispacy.linking_utils import Entity

    problems: list[Problem] = []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            entity = _entity(line)
            if entity is not None:
                yield Entity(**entity)
            elif line.strip():
                remedy = "Compare it with scispaCy's own knowledge bases."
                what = "no object with `concept_id`, `canonical_name` and a list of `aliases`"
                problems.append(Problem(f"umls/{path.name}:{number}", what, remedy))
                if len(problems) == _PROBLEMS_SHOWN:
                    break
    if problems:
        raise BadInput(problems)


def _entity(line: str) -> dict[str, Any] | None:
    """The fields of a concept; None where the line is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not isinstance(record.get("aliases"), list):
        return None
    named = [record.get("concept_id"), record.get("canonical_name"), *record["aliases"]]
    if not all(isinstance(name, str) for name in named):
        return None
    kept = ("concept_id", "canonical_name", "aliases", "types", "definition")
    return {field: record[field] for field in kept if field in record}


def _vectoriser(**settings: Any) -> Any:
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(**_NGRAMS, dtype=np.float32, **settings)


def _write_index(base: Any, draft: Path, *, with_names: bool) -> None:
    """The vectoriser and, with_names, the index: fitted as scispaCy does, with its settings for the graph.

    scispaCy leaves out three-letter pieces that fewer than 10 names hold. In less than 90,000 names that would be too
    many: there the limit is one for each 10,000.
    """
    import numpy as np
    from scipy.sparse import save_npz

    names = sorted(base.alias_to_cuis)
    if not any(name.strip() for name in names):
        raise BadInput([Problem("umls/", "the knowledge base holds no name", "Put another one there.")])
    fitted = _vectoriser(min_df=min(_RAREST, 1 + len(names) // _NAMES_PER_RAREST))
    vectors = fitted.fit_transform(names)
    pieces = sorted(fitted.vocabulary_, key=fitted.vocabulary_.__getitem__)
    content = {"pieces": pieces, "idf": fitted.idf_.tolist()}
    (draft / _VECTORISER_FILE).write_text(json.dumps(content), encoding="utf-8")
    if not with_names:
        return
    # The library crashes on a vector of zeros.
    filled = np.flatnonzero(np.diff(vectors.indptr))
    graph_file, vectors_file, names_file = (draft / name for name in INDEX_FILES)
    names_file.write_text(json.dumps([names[row] for row in filled]), encoding="utf-8")
    save_npz(vectors_file, vectors[filled])
    graph = _graph(vectors[filled])
    graph.createIndex({"M": 100, "efConstruction": 2000, "post": 0, "indexThreadQty": os.cpu_count() or 1})
    graph.saveIndex(str(graph_file))


def _graph(vectors: Any) -> Any:
    import nmslib

    graph = nmslib.init(method="hnsw", space="cosinesimil_sparse", data_type=nmslib.DataType.SPARSE_VECTOR)
    graph.addDataPointBatch(vectors)
    return graph


def _read_vectoriser(path: Path) -> Any:
    import numpy as np

    try:
        content = json.loads(path.read_bytes())
        vectoriser = _vectoriser(vocabulary={piece: number for number, piece in enumerate(content["pieces"])})
        vectoriser.idf_ = np.array(content["idf"], dtype=np.float32)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from error
    return vectoriser


def _read_index(index: tuple[Path, ...], base: Any, vectoriser: Any) -> tuple[list[str], Any]:
    """The names in the index's order and the graph of their vectors, found to belong to the knowledge base."""
    import numpy as np
    from scipy.sparse import csr_array

    graph_file, vectors_file, names_file = index
    try:
        names: list[str] = json.loads(names_file.read_bytes())
    except (OSError, ValueError) as error:
        raise _unreadable(names_file, error) from error
    try:
        # scispaCy's vectors have 16 bits, which scipy's own reader no longer takes.
        with np.load(vectors_file, allow_pickle=False) as parts:
            numbers = parts["data"].astype(np.float32), parts["indices"], parts["indptr"]
            vectors = csr_array(numbers, shape=tuple(parts["shape"]))
        vectors.check_format()
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise _unreadable(vectors_file, error) from error
    fits = (
        vectors.shape == (len(names), len(vectoriser.vocabulary))
        and all(isinstance(name, str) and name in base.alias_to_cuis for name in names)
        and abs(vectoriser.transform(names[:_ROWS_COMPARED]) - vectors[:_ROWS_COMPARED]).max() <= _FLOAT16_STEP
    )
    if not fits:
        what = "the index was made from another knowledge base"
        raise BadInput([Problem(f"umls/{names_file.name}", what, _ANOTHER_INDEX)])
    graph = _graph(vectors)
    try:
        graph.loadIndex(str(graph_file))
    except RuntimeError as error:
        raise _unreadable(graph_file, error) from error
    graph.setQueryTimeParams({"efSearch": _SEARCH_WIDTH})
    return names, graph


def _unreadable(path: Path, error: Exception) -> BadInput:
    what = f"cannot be read ({type(error).__name__})"
    return BadInput([Problem(f"umls/{path.name}", what, _ANOTHER_INDEX)])
