"""UMLS F1 through scispaCy's real linker and nmslib, with a small knowledge base made here."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("scispacy", reason="scispaCy needs an environment of its own: make test-umls")

import numpy as np
import spacy
from sklearn.feature_extraction.text import TfidfVectorizer

from medeval_assets.catalog.task_spec import Example
from medeval_assets.errors import BadInput
from medeval_assets.metrics.clue_text import text_ladder
from medeval_assets.metrics.metric import Response, Score
from medeval_assets.metrics.umls_f1 import umls_identity, umls_metrics, without_abbreviations
from medeval_assets.metrics.umls_folder import INDEX_FILES, umls_folder
from medeval_assets.metrics.umls_linker import UmlsLinker

pytestmark = pytest.mark.umls

# Canonical name, aliases. All have a definition but the last.
CONCEPTS = [
    ("Myocardial Infarction", ["heart attack", "acute myocardial infarction", "cardiac infarction"]),
    ("Amiodarone", ["AMI", "amiodarone hydrochloride"]),
    ("Gout", ["gouty arthritis", "podagra"]),
    ("Kidney Failure", ["renal failure", "renal insufficiency", "kidney failure"]),
    ("Heart failure", ["cardiac failure", "decompensated heart failure"]),
    ("Asthma", ["bronchial asthma"]),
    ("Pneumonia", ["lung infection", "bacterial pneumonia"]),
    ("Diabetes Mellitus, Type 2", ["type 2 diabetes", "adult onset diabetes"]),
    ("Fever", ["pyrexia", "elevated body temperature"]),
    ("Sepsis", ["blood poisoning", "septicaemia"]),
    ("Stroke", ["cerebrovascular accident", "brain attack"]),
    ("Unexplained tremulous phenomenon", ["unexplained trembling"]),
]
NAMES = {name: canonical for canonical, aliases in CONCEPTS for name in [canonical, *aliases]}
# What the pipeline takes for a mention, whatever its case.
MENTIONS = [*(name.lower() for name in NAMES), "unexplained tremulous", "septicemia", "guideline", "heart attacks"]


def concept(number: int, canonical: str, aliases: list[str]) -> str:
    definition = {} if number == len(CONCEPTS) - 1 else {"definition": f"Definition {number}."}
    fields = {"concept_id": f"C{number:07}", "canonical_name": canonical, "aliases": aliases, "types": ["T047"]}
    return json.dumps(fields | definition)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a knowledge base and a pipeline, before anything has been built from them."""
    home = tmp_path_factory.mktemp("home")
    (home / "umls").mkdir()
    pipeline = spacy.blank("en")
    ruler = pipeline.add_pipe("entity_ruler", config={"phrase_matcher_attr": "LOWER"})
    ruler.add_patterns([{"label": "ENTITY", "pattern": mention} for mention in MENTIONS])
    pipeline.to_disk(home / "umls" / "pipeline")
    lines = [concept(number, *entry) for number, entry in enumerate(CONCEPTS)]
    (home / "umls" / "small.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return home


@pytest.fixture(scope="module")
def built(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the index, as scoring leaves it. Not to be changed."""
    home = tmp_path_factory.mktemp("built") / "home"
    shutil.copytree(made, home)
    linker_of(home)
    return home


@pytest.fixture
def home(built: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return shutil.copytree(built, tmp_path / "home")


def linker_of(home: Path) -> UmlsLinker:
    umls = umls_folder(home)
    assert umls is not None
    return UmlsLinker(umls)


def index_of(home: Path) -> Path:
    (index,) = (home / "umls").glob("index-*")
    return index


def scores(home: Path, text: str, *targets: str) -> list[Score | None]:
    response = Response(Example("e1", "e1", {}, targets), text)
    return [metric.scores([response])[0] for metric in umls_metrics(home)]


def test_every_name_finds_its_concept(built: Path) -> None:
    linker = linker_of(built)
    found = {name: linker.concepts(f"He had {name.lower()}.", resolve_abbreviations=True) for name in NAMES}
    assert found == {name: {canonical} for name, canonical in NAMES.items()}


def test_the_first_candidate_is_the_nearest_name_by_exact_search(built: Path) -> None:
    """Cosine of tf-idf vectors of three-letter pieces with every name, by a full product instead of the graph."""
    linker = linker_of(built)
    names = sorted(NAMES)
    vectoriser = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3)).fit(names)
    similar = (vectoriser.transform(MENTIONS) @ vectoriser.transform(names).T).toarray()
    linked = 0
    for mention, row in zip(MENTIONS, similar, strict=True):
        nearest = NAMES[names[int(row.argmax())]]
        least = 0.95 if nearest == CONCEPTS[-1][0] else 0.7
        expected = {nearest} if row.max() > least else set()
        assert linker.concepts(mention, resolve_abbreviations=True) == expected, mention
        linked += bool(expected)
    assert linked < len(MENTIONS)


@pytest.mark.parametrize(
    ("text", "targets", "expected"),
    [
        # Said: infarction, kidney failure, gout. Meant: infarction, gout. P 2/3, R 2/2, F1 2·(2/3)·1 / (5/3) = 4/5.
        (
            "Heart attack, renal failure, podagra",
            ["cardiac infarction and gout"],
            [Score(4 / 5), Score(2 / 3), Score(1)],
        ),
        # Two names of one concept are one.
        ("fever, pyrexia", ["Fever and sepsis"], [Score(2 / 3), Score(1), Score(1 / 2)]),
        ("asthma", ["sepsis"], [Score(0)] * 3),
        ("nothing of note", ["sepsis"], [Score(0)] * 3),
        (" \n", ["sepsis"], [Score(0, failure="empty")] * 3),
        # The best reference for each value.
        ("sepsis", ["sepsis, fever, gout", "stroke", "sepsis"], [Score(1)] * 3),
        # No concept in any reference: nothing can be said, whatever the answer.
        ("sepsis", ["nothing of note"], [Score(0, 0, perfect=0)] * 3),
        ("nothing of note", ["nothing of note"], [Score(0, 0, perfect=0)] * 3),
        ("", ["nothing of note"], [Score(0, 0, failure="empty", perfect=0)] * 3),
    ],
)
def test_scores(built: Path, text: str, targets: list[str], expected: list[Score]) -> None:
    assert scores(built, text, *targets) == expected


def test_names_and_titles(built: Path) -> None:
    assert [(metric.name, metric.title) for metric in umls_metrics(built)] == [
        ("umls_f1", "UMLS F1"),
        ("umls_precision", "UMLS precision"),
        ("umls_recall", "UMLS recall"),
    ]


def test_a_short_form_is_looked_up_by_the_long_form_its_text_gives(built: Path) -> None:
    """AMI is a name of amiodarone, but not in a text that introduces it as an infarction."""
    introduced = "After an acute myocardial infarction (AMI) came fever. The AMI was large."
    linker = linker_of(built)
    assert linker.concepts(introduced, resolve_abbreviations=True) == {"Myocardial Infarction", "Fever"}
    assert linker.concepts(introduced, resolve_abbreviations=False) == {"Myocardial Infarction", "Amiodarone", "Fever"}
    assert linker.concepts("AMI and fever", resolve_abbreviations=True) == {"Amiodarone", "Fever"}
    bracketed = introduced + " ()" * 100
    assert "Amiodarone" in linker.concepts(bracketed, resolve_abbreviations=True)


def test_the_benchmark_resolves_no_abbreviation_and_counts_a_reference_without_concepts_as_0(built: Path) -> None:
    f1 = umls_metrics(built)[0]
    response = Response(Example("e1", "e1", {}, ("Heart attack",)), "An acute myocardial infarction (AMI).")
    assert f1.scores([response]) == [Score(1)]
    # Said: infarction, amiodarone. P 1/2, R 1.
    assert without_abbreviations(f1).scores([response]) == [Score(2 / 3)]
    assert without_abbreviations(f1).name == f1.name

    silent = Response(Example("e2", "e2", {}, ("nothing of note",)), "nothing of note")
    benchmark = text_ladder(f1, "problem_summary")[-1]
    assert benchmark.profile == "clue-2024-06"
    (first, second) = benchmark.scores([response, silent])
    assert second == Score(0, 1)
    assert first is not None
    assert first.denominator == 2


def test_an_index_as_scispacy_publishes_it_is_read_and_its_pickle_is_not(home: Path, tmp_path: Path) -> None:
    """scispaCy's vectors have 16 bits; in its cache each file's name begins with a hash."""
    built, umls = index_of(home), home / "umls"
    before = umls_identity(home)
    graph_file, vectors_file, names_file = INDEX_FILES
    shutil.copy(built / graph_file, umls / f"0a1b.{graph_file}")
    shutil.copy(built / names_file, umls / f"2c3d.{names_file}")
    with np.load(built / vectors_file) as parts:
        halved = {name: parts[name].astype(np.float16) if name == "data" else parts[name] for name in parts}
    np.savez_compressed(umls / f"4e5f.{vectors_file}", **halved)
    trace = tmp_path / "trace"
    (umls / "6a7b.tfidf_vectorizer.joblib").write_bytes(pickle.dumps(Dangerous(trace)))
    shutil.rmtree(built)

    assert scores(home, "Heart attack, renal failure, podagra", "cardiac infarction and gout")[0] == Score(4 / 5)
    assert not trace.exists()
    assert sorted(path.name for path in index_of(home).iterdir()) == ["tfidf_vectorizer.json"]
    after = umls_identity(home)
    assert {name for name in after if after[name] != before[name]} == {"umls_index"}


class Dangerous:
    """Creates a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.trace,)


def test_the_index_is_made_once(home: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in index_of(home).iterdir()}
    linker_of(home)
    assert {path.name: path.stat().st_mtime_ns for path in index_of(home).iterdir()} == before


def test_another_knowledge_base_is_another_identity_and_gets_an_index_of_its_own(home: Path) -> None:
    before, base = umls_identity(home), home / "umls" / "small.jsonl"
    assert scores(home, "podagra", "guideline")[0] == Score(0, 0, perfect=0)
    with base.open("a", encoding="utf-8") as file:
        file.write("\n" + concept(0, "Guideline", ["guidelines"]).replace("C0000000", "C0000099"))
    after = umls_identity(home)
    assert {name for name in after if after[name] != before[name]} == {"umls_knowledge_base"}
    assert scores(home, "podagra", "guideline")[0] == Score(0)
    assert len(list((home / "umls").glob("index-*"))) == 2


def test_nothing_is_read_before_scores_are_asked_for(home: Path) -> None:
    (home / "umls" / "small.jsonl").write_text("no knowledge", encoding="utf-8")
    f1 = umls_metrics(home)[0]
    with pytest.raises(BadInput):
        f1.scores([Response(Example("e1", "e1", {}, ("gout",)), "gout")])


@pytest.mark.parametrize(
    "text",
    [
        "\ud800 gout \udfff",
        "gout \x00\x07",
        "\u202egout\u202c gout",
        "gout " + "(" * 200_000,
        "gout " + "x" * 10_000_000,
    ],
)
def test_hostile_answers_are_read(built: Path, text: str) -> None:
    assert linker_of(built).concepts(text, resolve_abbreviations=True) == {"Gout"}


def test_only_the_beginning_of_an_endless_answer_is_read(built: Path) -> None:
    text = "gout " * 19_000 + "- " * 2_500 + "fever " * 10
    assert linker_of(built).concepts(text, resolve_abbreviations=True) == {"Gout"}


def problems(home: Path) -> list[str]:
    with pytest.raises(BadInput) as caught:
        linker_of(home)
    return [f"{problem.where}: {problem.what}" for problem in caught.value.problems]


def test_lines_that_are_no_concept_are_named_and_not_shown(home: Path) -> None:
    bad = ["{", "[]", '{"concept_id": "C1"}', '{"concept_id": "C1", "canonical_name": "secret", "aliases": [1]}', ""]
    (home / "umls" / "small.jsonl").write_text("\n".join([concept(0, *CONCEPTS[0]), *bad]), encoding="utf-8")
    found = problems(home)
    assert [problem.split(": ")[0] for problem in found] == [f"umls/small.jsonl:{line}" for line in (2, 3, 4, 5)]
    assert "secret" not in "".join(found)


def test_a_knowledge_base_without_names_is_refused(home: Path) -> None:
    (home / "umls" / "small.jsonl").write_text("\n", encoding="utf-8")
    assert problems(home) == ["umls/: the knowledge base holds no name"]


def test_an_index_of_another_knowledge_base_is_refused(home: Path) -> None:
    built = index_of(home)
    for name in INDEX_FILES:
        shutil.copy(built / name, home / "umls" / name)
    names = json.loads((built / INDEX_FILES[2]).read_text(encoding="utf-8"))
    (home / "umls" / INDEX_FILES[2]).write_text(json.dumps(names[::-1]), encoding="utf-8")
    assert problems(home) == ["umls/concept_aliases.json: the index was made from another knowledge base"]


@pytest.mark.parametrize("name", [*INDEX_FILES, "tfidf_vectorizer.json"])
@pytest.mark.parametrize("keep", [0, 0.5])
def test_a_damaged_index_is_refused(home: Path, name: str, keep: float) -> None:
    path = index_of(home) / name
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    (found,) = problems(home)
    assert found.startswith(f"umls/{name}: cannot be read")


def test_a_damaged_pipeline_is_refused(home: Path) -> None:
    (home / "umls" / "pipeline" / "config.cfg").write_text("nonsense", encoding="utf-8")
    (found,) = problems(home)
    assert found.startswith("umls/pipeline: cannot be loaded")


@pytest.mark.parametrize(
    ("change", "places"),
    [
        (lambda umls: shutil.rmtree(umls / "pipeline"), ["umls/pipeline"]),
        (lambda umls: (umls / "small.jsonl").unlink(), ["umls/"]),
        (lambda umls: (umls / "other.jsonl").touch(), ["umls/"]),
        (lambda umls: (umls / INDEX_FILES[0]).touch(), [f"umls/{name}" for name in INDEX_FILES[1:]]),
    ],
)
def test_half_a_folder_is_refused(home: Path, change: Callable[[Path], None], places: list[str]) -> None:
    change(home / "umls")
    with pytest.raises(BadInput) as caught:
        umls_metrics(home)
    assert [problem.where for problem in caught.value.problems] == places


def test_without_a_folder_there_are_no_metrics(tmp_path: Path) -> None:
    assert umls_metrics(tmp_path) == ()
    assert umls_identity(tmp_path) == {}
    (tmp_path / "umls").mkdir()
    assert umls_metrics(tmp_path) == ()


def test_other_metrics_have_no_abbreviations_to_leave_out(built: Path) -> None:
    rung = text_ladder(umls_metrics(built)[0], "problem_summary")[0]
    assert without_abbreviations(rung) is rung
    assert replace(rung) == rung
