"""The benchmark's own functions of June 2024 and the `clue-2024-06` profile, on the same random answers.

The functions are taken out of a clone of the benchmark (TIO-IKIM/CLUE at ff75877) that MEDEVAL_CLUE names.
"""

from __future__ import annotations

import ast
import os
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from medeval_assets.catalog.task_spec import Example
from medeval_assets.metrics.clue_text import ENCODER, text_ladder
from medeval_assets.metrics.metric import CLUE, CORRECTED, Metric, Response, Score
from medeval_assets.tasks import all_tasks

CLONE = Path(os.environ.get("MEDEVAL_CLUE", ""))


def _is_june() -> bool:
    script = CLONE / "eval" / "eval_mednli.py"
    return script.is_file() and "InferenceClient" in script.read_text(encoding="utf-8")


pytestmark = pytest.mark.skipif(not _is_june(), reason="MEDEVAL_CLUE names no clone of the benchmark at ff75877")

SCRIPTS = {
    "mednli": "eval_mednli.py",
    "meqsum": "eval_meqsum.py",
    "problem_summary": "eval_ProblemSummary.py",
    "medisumqa": "eval_MeDiSumQA.py",
    "medisumcode": "eval_MeDiSumCode.py",
    "longhealth": "eval_LongHealth.py",
}
SCIBERT, CLINICAL_BERT = "allenai/scibert_scivocab_uncased", "emilyalsentzer/Bio_ClinicalBERT"
LABELS = ("entailment", "contradiction", "neutral")


def functions(name: str, known: dict[str, Any]) -> dict[str, Any]:
    """The functions of a script of the benchmark, with nothing else of it, and what they may call."""
    tree = ast.parse((CLONE / "eval" / name).read_text(encoding="utf-8"))
    wanted: list[ast.stmt] = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    space = dict(known)
    exec(compile(ast.Module(wanted, []), name, "exec"), space)  # from the user's own clone
    return space


def preparation(name: str, loop: int = 0) -> Callable[[str], str]:
    """What a script does to the server's answer before scoring it, in one of its loops that ask for answers."""
    tree = ast.parse((CLONE / "eval" / name).read_text(encoding="utf-8"))
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.For) and _assigns(node.body)]
    answer, *changes = _assigns(loops[loop].body)
    code = compile(ast.fix_missing_locations(ast.Module(changes, [])), name, "exec")
    trims = "strip" in ast.dump(answer)

    def prepare(text: str) -> str:
        args = SimpleNamespace(model_name_or_path="microsoft/Phi-3-mini-128k-instruct")
        space = {"re": re, "args": args, "output": text.strip() if trims else text}
        exec(code, space)
        return str(space["output"])

    return prepare


def _assigns(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """The statements of a loop's body, not of a loop in it, that give `output` a value."""
    return [
        node
        for node in body
        if not isinstance(node, ast.For)
        and any(
            isinstance(name, ast.Name) and name.id == "output" and isinstance(name.ctx, ast.Store)
            for name in ast.walk(node)
        )
    ]


def benchmark() -> dict[str, Any]:
    import icd10

    return functions("utils.py", {"re": re, "mean": statistics.mean, "icd10": icd10})


FRAGMENTS = st.sampled_from(
    [
        *LABELS,
        *(label.upper() for label in LABELS),
        "Enta\u0131lment",
        "You are an AI",
        "[INST]",
        "<|user|>",
        " <|end|>",
        "<|end|>",
        "\n",
        "\r",
        "\u2028",
        "I10",
        "E11.9",
        "F32.A",
        "U07.1",
        "B12",
        "C4A.0",
        "Z99.99",
        "I10I10",
        "\u0661",
        ",",
        "sepsis",
        "Sepsis",
        "of the lung",
        "The correct answer is A:",
        "The correct answer is B:",
        "The correct answer is C",
        "The correct answer is F: 5 mg.",
        "The correct answer is \u00c4:",
        "\ud800",
        "\x00",
    ]
)
TEXTS = st.lists(FRAGMENTS | FRAGMENTS | FRAGMENTS | st.text(max_size=3), max_size=8).flatmap(
    lambda parts: st.sampled_from(["", " "]).map(lambda between: between.join(parts))
)
FEW = settings(max_examples=150)


def clue(task: str, name: str) -> Metric:
    return next(metric for metric in all_tasks()[task].metrics if (metric.name, metric.profile) == (name, CLUE))


def same(ours: list[Score | None], theirs: Sequence[float], average: float | None = None) -> None:
    """Each example's value is the same to the last bit; so is their mean, but for the rounding of the sum."""
    assert [score.numerator / score.denominator for score in ours if score] == list(theirs)
    numerators, denominators = (sum(getattr(score, part) for score in ours) for part in ("numerator", "denominator"))
    expected = sum(theirs) / len(theirs) if average is None else average
    assert numerators / denominators == pytest.approx(expected, rel=1e-14)


def averaged(results: Sequence[dict[str, float]]) -> dict[str, float]:
    """The benchmark's means over examples, taken as its scripts do."""
    space = benchmark()
    table: dict[str, list[float]] = {}
    for result in results:
        space["update_results"](table, result)
    averages: dict[str, float] = space["compute_average_results"](table)
    return averages


@FEW
@given(st.lists(st.tuples(st.sampled_from(LABELS), TEXTS), min_size=1, max_size=5))
@example([("neutral", "[INST] entailment\nneutral")])
def test_mednli(cases: list[tuple[str, str]]) -> None:
    prepare, compute = preparation(SCRIPTS["mednli"]), functions(SCRIPTS["mednli"], {"re": re})["compute_metrics"]
    theirs = [compute(prepare(text), label) for label, text in cases]
    options = {label: label for label in LABELS}
    responses = [Response(Example("e", "e", {}, (label,), options), text) for label, text in cases]
    scores = clue("mednli", "accuracy_lenient").scores(responses)
    same(scores, [result["ACCURACY"] for result in theirs], averaged(theirs)["ACCURACY"])


CODES = st.lists(st.sampled_from(["I10", "E119", "F32A", "E1165", "Z9999", "B12"]), min_size=1, max_size=5)


@FEW
@given(st.lists(st.tuples(CODES, TEXTS), min_size=1, max_size=4))
@example([(["I10", "E119"], "U07.1, I10, I10, B12, F32.A")])
def test_medisumcode(cases: list[tuple[list[str], str]]) -> None:
    prepare, space = preparation(SCRIPTS["medisumcode"]), benchmark()
    compute = functions(SCRIPTS["medisumcode"], space)["compute_metrics"]
    theirs = [compute(space["parse_icd_codes"](prepare(text)), ", ".join(codes)) for codes, text in cases]
    responses = [Response(Example("e", "e", {}, tuple(codes)), text) for codes, text in cases]
    averages = averaged(theirs)
    names = {"icd10_exact_f1": "ICD EM F1", "icd10_approximate_f1": "ICD AP F1", "icd10_valid": "VALID CODES"}
    for name, key in names.items():
        same(clue("medisumcode", name).scores(responses), [result[key] for result in theirs], averages[key])


OPTIONS = st.lists(st.sampled_from(["5 mg", "2.5 mg", "25 mg", "mg", "10 mg"]), min_size=5, max_size=5)


@FEW
@given(OPTIONS, st.integers(0, 4), st.sampled_from([1, 2, 3]), st.lists(TEXTS, min_size=1, max_size=4))
@example(["10 mg", "5 mg", "25 mg", "2.5 mg", "mg"], 1, 1, ["The correct answer is B", "The correct answer is D:"])
@example(["10 mg", "5 mg", "25 mg", "2.5 mg", "mg"], 1, 2, ["The correct answer is D:", "The correct answer is F: so."])
def test_longhealth(texts: list[str], right: int, number: int, answers: list[str]) -> None:
    question: dict[str, Any] = {f"answer_{letter}": text for letter, text in zip("abcde", texts, strict=True)}
    question |= {"question": "", "correct": texts[right], "answer_location": {}}
    options = dict(zip("ABCDE", texts, strict=True))
    if number > 1:
        question["answer_f"] = "Nothing here says so"
        options["F"] = "No document says so, not even of 5 mg"
    # The first task has a loop of its own, the other two share one.
    prepare = preparation(SCRIPTS["longhealth"], loop=min(number, 2) - 1)
    compute = functions(SCRIPTS["longhealth"], {"re": re})["compute_metrics"]
    theirs = [float(compute(prepare(text), question, task3=number == 3)[0]) for text in answers]
    target = "F" if number == 3 else "ABCDE"[right]
    responses = [Response(Example("e", "e", {}, (target,), options), text) for text in answers]
    same(clue(f"longhealth_{number}", "accuracy_lenient").scores(responses), theirs)


@dataclass(frozen=True)
class Seen:
    """A metric that keeps the answers and references that reach it."""

    name: str
    title: str = "Seen"
    profile: str = CORRECTED
    reads_likelihood: bool = False
    pairs: list[tuple[str, str]] = field(default_factory=list)

    def scores(self, responses: Sequence[Response]) -> list[Score | None]:
        self.pairs[:] = [(response.text, response.example.targets[0]) for response in responses]
        return [Score(0) for _ in responses]


class Rouge:
    """What `evaluate` 0.4.0 computes from one answer and one reference, which needs the hub to be loaded."""

    def compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        from rouge_score.rouge_scorer import RougeScorer
        from rouge_score.scoring import BootstrapAggregator

        aggregator = BootstrapAggregator(n_samples=10)
        aggregator.add_scores(RougeScorer(["rouge1", "rouge2", "rougeL"]).score(references[0], predictions[0]))
        return {name: float(score.mid.fmeasure) for name, score in aggregator.aggregate().items()}


@FEW
@given(st.sampled_from(sorted(ENCODER)), st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3))
def test_texts(task: str, cases: list[tuple[str, str]]) -> None:
    to_bertscore: list[tuple[str, str]] = []
    to_umls: list[tuple[str, str]] = []
    encoders: set[str] = set()

    def b_score(predictions: list[str], references: list[str], model_type: str = "", lang: str = "") -> Any:
        to_bertscore.extend(zip(predictions, references, strict=True))
        encoders.add(model_type or {"en-sci": SCIBERT}[lang])
        nothing = SimpleNamespace(cpu=lambda: SimpleNamespace(item=lambda: 0.0))
        return nothing, nothing, nothing

    def umls(prediction: str, reference: str) -> tuple[float, float, float]:
        to_umls.append((prediction, reference))
        return 0.0, 0.0, 0.0

    known = {"b_score": b_score, "compute_UMLS_F1": umls}
    prepare, compute = preparation(SCRIPTS[task]), functions(SCRIPTS[task], known)["compute_metrics"]
    theirs = [compute(prepare(text), reference, Rouge()) for text, reference in cases]
    averages = averaged(theirs)

    responses = [Response(Example("e", "e", {}, (reference,)), text) for text, reference in cases]
    for name, key in {"rougeL": "ROUGE_L", "rouge1": "ROUGE1", "rouge2": "ROUGE2"}.items():
        same(clue(task, name).scores(responses), [result[key] for result in theirs], averages[key])
    assert encoders == {SCIBERT if ENCODER[task].startswith("scibert") else CLINICAL_BERT}
    for name, theirs_seen in ((f"bertscore_f1.{ENCODER[task]}", to_bertscore), ("umls_f1", to_umls)):
        seen = Seen(name)
        for rung in text_ladder(seen, task)[-1:]:
            rung.scores(responses)
        assert seen.pairs == theirs_seen
