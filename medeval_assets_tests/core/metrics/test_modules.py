"""The metrics as modules of `evaluate`: the same values as in a metric table, from lists of texts alone."""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from medeval_assets.catalog.task_spec import Example
from medeval_assets.errors import BadInput
from medeval_assets.metrics.accuracy import CHOICE, LABEL
from medeval_assets.metrics.bertscore import bertscore_metrics
from medeval_assets.metrics.clue_accuracy import LONGHEALTH, MEDNLI
from medeval_assets.metrics.clue_icd10 import MEDISUMCODE
from medeval_assets.metrics.clue_text import text_ladders
from medeval_assets.metrics.concept_f1 import CONCEPTS
from medeval_assets.metrics.encoder_folder import encoder_at
from medeval_assets.metrics.entity_f1 import ENTITY_F1
from medeval_assets.metrics.icd10 import ICD10
from medeval_assets.metrics.metric import CLUE, CORRECTED, Metric
from medeval_assets.metrics.rouge import ROUGE
from medeval_assets.metrics.score import score
from medeval_assets.statistics.metric_table import metric_table
from medeval_assets_tests.core.metrics.cases import generation, task
from medeval_assets_tests.encoders import make_tiny_bert
from medeval_assets_tests.evaluate_library import FOLDER, MODULES, evaluate_in, examples_in

SECRET = "aortic stenosis"
OPTIONS = {"A": "Gout", "B": "Gouty arthritis", "C": "Asthma"}
LABELS = ("entailment", "contradiction", "neutral")

Load = Callable[[str], Any]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    with evaluate_in(tmp_path_factory.getbasetemp() / "evaluate") as library:
        yield lambda name: library.load(str(FOLDER / f"{name}.py"))


@pytest.fixture
def rouge(load: Load) -> Any:
    return load("rouge")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder as the examples in the documentation have it: the package, and an encoder in MEDEVAL_HOME."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "medeval_assets").symlink_to(FOLDER.parents[1])
    encoder = folder / ".medeval" / "encoders" / "all-minilm-l6-v2"
    make_tiny_bert(encoder, num_hidden_layers=6)
    (encoder / "medeval.yaml").write_text("layer: 5\n", encoding="utf-8")
    return folder


# That of umls_f1 is in test_umls_module.py.
@pytest.mark.parametrize("name", [name for name in MODULES if name != "umls_f1"])
def test_documentation_is_true(name: str, load: Load, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load(name)
    monkeypatch.chdir(workplace)
    found = doctest.DocTestRunner().run(examples_in(module))
    assert (found.failed, found.attempted > 2) == (0, True)
    assert module.name == name
    assert "range 0 to 1" in " ".join(module.description.split())


def table(
    metrics: Sequence[Metric], profile: str, texts: Sequence[str], examples: Sequence[Example], logprobs: Sequence[Any]
) -> dict[str, Any]:
    """What the platform makes of the same answers."""
    cases = task(tuple(metrics))
    answers = [
        generation(one.example_id, text, given) for one, text, given in zip(examples, texts, logprobs, strict=True)
    ]
    rows = [row for row in metric_table(score(cases, metrics, examples, answers)) if row["profile"] == profile]
    assert rows
    values = {row["metric"]: row["value"] for row in rows}
    return values | {f"{row['metric']}_failure_rate": row["failure_rate"] for row in rows}


@dataclass(frozen=True)
class Case:
    """A module, the metrics it computes, and answers with what is right and what else it takes."""

    name: str
    metrics: tuple[Metric, ...]
    texts: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)


CASES = [
    Case(
        "rouge",
        (*ROUGE, *text_ladders(ROUGE, "meqsum")),
        ("what treats gout?\u200f", "", "fever [INST] gout", "an\x00unrelated thing"),
        (("how is gout treated?",), ("fever",), ("gout", "fever"), ("asthma",)),
        {"task": "meqsum"},
    ),
    Case(
        "choice_accuracy",
        (*CHOICE, *LONGHEALTH[1]),
        ("The correct answer is B: Gouty arthritis", "A", "Gout or asthma", ""),
        (("A",), ("A",), ("C",), ("B",)),
        {"options": OPTIONS, "task": "longhealth_1"},
        OPTIONS,
    ),
    Case(
        "label_accuracy",
        (*LABEL, *MEDNLI),
        ("neutral", "entailment or neutral", "It is entailed.", "neutral neutral"),
        (("neutral",), ("neutral",), ("entailment",), ("neutral",)),
        {"labels": LABELS},
        {label: label for label in LABELS},
    ),
    Case(
        "icd10",
        (*ICD10, *MEDISUMCODE),
        ("I10, E11.9", "vitamin B12", "I10 I10 Z99.99", ""),
        (("I10", "E1165"), ("E538",), ("I10",), ("J189",)),
    ),
    Case(
        "concept_f1",
        CONCEPTS,
        ("chest pain and fever", "", "gout"),
        (("fever",), ("cough", "gout"), ("of the",)),
    ),
    Case(
        "entity_f1",
        ENTITY_F1,
        ("Gout, breast cancer", "none", "", "fever\nfever"),
        (("gout", "cancer"), (), ("gout",), ("fever", "cough", "pain")),
    ),
]


@pytest.mark.parametrize(
    ("case", "profile"),
    [
        pytest.param(case, profile, id=f"{case.name} {profile}")
        for case in CASES
        for profile in dict.fromkeys(metric.profile for metric in case.metrics)
    ],
)
def test_values_are_those_of_the_metric_table(load: Load, case: Case, profile: str) -> None:
    examples = [Example(f"e{n}", f"e{n}", {}, targets, case.options) for n, targets in enumerate(case.references)]
    found = load(case.name).compute(predictions=case.texts, references=case.references, profile=profile, **case.inputs)
    assert found == table(case.metrics, profile, case.texts, examples, [()] * len(case.texts))


def test_likelihoods(load: Load) -> None:
    logprobs = [[-1.0, -2.0, -3.0], None, [-1.0, -1.0, -2.0], [math.nan, -1.0, -1.0]]
    texts, references = ["C", "C", "C", "C"], ["A", "A", "A", "B"]
    examples = [Example(f"e{n}", f"e{n}", {}, (target,), OPTIONS) for n, target in enumerate(references)]
    found = load("choice_accuracy").compute(
        predictions=texts, references=references, options=[OPTIONS] * 4, option_logprobs=logprobs
    )
    assert found == table(CHOICE, CORRECTED, texts, examples, logprobs)
    # Right, not asked, half of a tie, and not a number.
    assert (found["accuracy_likelihood"], found["accuracy_likelihood_failure_rate"]) == (0.5, 1 / 3)


def test_codes_may_have_dots(load: Load) -> None:
    given = {"predictions": ["E11.65"], "references": [["e11.65"]]}
    for profile in (CORRECTED, CLUE):
        found = load("icd10").compute(**given, profile=profile)
        assert [found[name] for name in ("icd10_exact_f1", "icd10_approximate_f1", "icd10_valid")] == [1, 1, 1]


def test_bertscore(load: Load, workplace: Path) -> None:
    folder = workplace / ".medeval" / "encoders" / "all-minilm-l6-v2"
    texts, references = ("fever and cough", "", "no pain"), (("cough", "fever"), ("pain",), ("the patient has pain",))
    examples = [Example(f"e{n}", f"e{n}", {}, targets) for n, targets in enumerate(references)]
    found = load("bertscore").compute(predictions=texts, references=references, encoder=str(folder))
    assert found == table(bertscore_metrics(encoder_at(folder)), CORRECTED, texts, examples, [()] * 3)
    with pytest.raises(BadInput, match="clue-2024-06"):  # the benchmark used another encoder
        load("bertscore").compute(predictions=[], references=[], encoder=str(folder), task="meqsum", profile=CLUE)


def test_umls_f1_without_a_knowledge_base(load: Load, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no knowledge base"):
        load("umls_f1").compute(predictions=["fever"], references=["fever"], home=str(tmp_path))


def test_degenerate_kinds_are_parts_of_the_whole(load: Load) -> None:
    prompt = " ".join(f"word{number}" for number in range(30))
    texts = ["Gout, most likely.", "", prompt, "<|im_start|>", "ha " * 30]
    found = load("degenerate").compute(predictions=texts, references=[prompt] * 5)
    kinds = {name.removeprefix("degenerate_"): value for name, value in found.items() if value}
    assert kinds == {"intact": 0.2, "degenerate": 0.8} | dict.fromkeys(
        ("empty", "prompt_echo", "role_tokens", "repetition"), 0.2
    )


def test_what_says_nothing_has_no_value(load: Load, rouge: Any) -> None:
    assert set(rouge.compute(predictions=[], references=[]).values()) == {None}
    concepts = load("concept_f1").compute(predictions=["fever"], references=["of the"])
    assert concepts["phrase_f1"] is None
    assert concepts["phrase_f1_failure_rate"] == 0


def test_added_predictions_are_computed_together(rouge: Any) -> None:
    texts, references = ["fever", "gout", "a \ud800 cough"], ["fever", ["pain", "gout"], "a cough"]
    at_once = rouge.compute(predictions=texts, references=references)
    assert at_once["rouge2"] == 1 / 3
    rouge.add(prediction=texts[0], reference=references[0])
    rouge.add_batch(predictions=tuple(texts[1:]), references=references[1:])
    assert rouge.compute() == at_once


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({}, "predictions"),
        ({"predictions": [SECRET]}, "references"),
        ({"references": [SECRET]}, "predictions"),
        ({"predictions": SECRET, "references": [SECRET] * len(SECRET)}, "predictions"),
        ({"predictions": [SECRET], "references": SECRET}, "references"),
        ({"predictions": [SECRET, SECRET], "references": [SECRET]}, "references"),
        ({"predictions": [SECRET, None], "references": [SECRET, SECRET]}, "predictions[1]"),
        ({"predictions": [SECRET, SECRET], "references": [[SECRET], [SECRET, 3]]}, "references[1][1]"),
        ({"predictions": [SECRET], "references": [None]}, "references[0]"),
        ({"predictions": [SECRET], "references": [SECRET], "profile": "corected"}, "profile 'corected'"),
    ],
)
def test_a_bad_input_is_named_and_not_quoted(given: Mapping[str, Any], where: str, rouge: Any) -> None:
    with pytest.raises(BadInput) as caught:
        rouge.compute(**given)
    assert [problem.where for problem in caught.value.problems] == [where]
    assert SECRET not in str(caught.value)
    assert rouge.compute(predictions=["fever"], references=["fever"])["rouge1"] == 1


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"options": [OPTIONS]}, "options"),
        ({"options": SECRET}, "options"),
        ({"options": [OPTIONS, SECRET]}, "options[1]"),
        ({"options": [OPTIONS, {"A": 1}]}, "options[1]"),
        ({"options": [OPTIONS, {"A": SECRET}]}, "references[1]"),
        ({"options": OPTIONS, "option_logprobs": [[-1.0, -1.0, -1.0]]}, "option_logprobs"),
        ({"options": OPTIONS, "option_logprobs": [[-1.0, -1.0, -1.0], [-1.0]]}, "option_logprobs[1]"),
        ({"options": OPTIONS, "option_logprobs": [[-1.0, -1.0, -1.0], [SECRET] * 3]}, "option_logprobs[1]"),
        ({"options": OPTIONS, "option_logprobs": [None, -1.0]}, "option_logprobs[1]"),
    ],
)
def test_options_have_to_fit_the_predictions(given: Mapping[str, Any], where: str, load: Load) -> None:
    with pytest.raises(BadInput) as caught:
        load("choice_accuracy").compute(predictions=["A", "B"], references=["A", "B"], **given)
    assert [problem.where for problem in caught.value.problems] == [where]
    assert SECRET not in str(caught.value)
