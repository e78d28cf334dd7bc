"""UMLS F1 as a module of `evaluate`, through scispaCy's real linker with a small knowledge base made here."""

from __future__ import annotations

import doctest
import json
from pathlib import Path

import pytest

pytest.importorskip("scispacy", reason="scispaCy needs an environment of its own: make test-umls")

import spacy

from medeval_assets.metrics.metric import CLUE
from medeval_assets_tests.evaluate_library import FOLDER, evaluate_in, examples_in

pytestmark = pytest.mark.umls

CONCEPTS = [("Myocardial Infarction", "heart attack"), ("Gout", "podagra"), ("Asthma", "bronchial asthma")]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder as in the documentation's example: the package, and a knowledge base in MEDEVAL_HOME."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "medeval_assets").symlink_to(FOLDER.parents[1])
    umls = folder / ".medeval" / "umls"
    umls.mkdir(parents=True)
    pipeline = spacy.blank("en")
    ruler = pipeline.add_pipe("entity_ruler", config={"phrase_matcher_attr": "LOWER"})
    ruler.add_patterns([{"label": "ENTITY", "pattern": name} for names in CONCEPTS for name in names])
    pipeline.to_disk(umls / "pipeline")
    lines = [
        {"concept_id": f"C{number}", "canonical_name": name, "aliases": [alias], "types": [], "definition": name}
        for number, (name, alias) in enumerate(CONCEPTS)
    ]
    (umls / "small.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return folder


def test_documentation_and_profiles(
    workplace: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    with evaluate_in(tmp_path_factory.getbasetemp() / "evaluate") as library:
        module = library.load(str(FOLDER / "umls_f1.py"))
        found = doctest.DocTestRunner().run(examples_in(module))
        assert (found.failed, found.attempted > 2) == (0, True)
        texts, references = ["gout and asthma", "none"], ["podagra", "nothing"]
        given = {"predictions": texts, "references": references, "home": ".medeval"}
        # One of two concepts is right, and the other reference names none. The benchmark counts the first prediction
        # twice, and the second as 0: (2·2/3 + 0) / 3.
        assert module.compute(**given)["umls_f1"] == pytest.approx(2 / 3)
        clue = module.compute(**given, task="problem_summary", profile=CLUE)
        assert clue["umls_f1"] == pytest.approx(4 / 9)
