"""Comparisons: on what they rest, what they find, and where a difference comes from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from medeval_assets.catalog.task_spec import Example, Output
from medeval_assets.comparisons.family import with_adjusted_p
from medeval_assets.metrics.accuracy import CHOICE
from medeval_assets.metrics.entity_f1 import ENTITY_F1
from medeval_assets.metrics.rouge import ROUGE
from medeval_assets_tests.core.comparisons.score_tables import OTHER_PROMPT, answer, compared
from medeval_assets_tests.core.metrics.cases import OPTIONS, task

EXAMPLES = [Example(f"e{number}", f"e{number}", {}, ("A",), OPTIONS) for number in range(1, 9)]
LENIENT = CHOICE[:1]


def answers(texts: str, **given: Any) -> list[dict[str, Any]]:
    """One answer a character: "A" is right, "B" wrong, "?" unreadable."""
    return [answer(f"e{number}", text, **given) for number, text in enumerate(texts, 1)]


def parts(row: dict[str, Any]) -> tuple[float, ...]:
    return tuple(row[f"from_{cause}"] for cause in ("answers", "length", "format", "truncation"))


def test_two_models_on_the_same_eight_examples() -> None:
    (row,) = compared(task(LENIENT), LENIENT, EXAMPLES, {"bio": answers("AAAAAABB"), "base": answers("AABBBBBA")})
    assert (row["n"], row["clusters"], row["value"], row["base_value"], row["difference"]) == (8, 8, 0.75, 0.375, 0.375)
    assert [row[kind] for kind in ("both_right", "only_model", "only_base", "neither")] == [2, 4, 1, 1]
    # Five examples differ, four one way: 2·(C(5,4) + C(5,5))/2^5 = 12/32.
    assert (row["test"], row["p"]) == ("mcnemar_exact", pytest.approx(12 / 32))
    # Differences 1,1,1,1,-1,0,0,0 about 3/8: their squares add up to 5 - 9/8; SE² = 8/7·(31/8)/64.
    assert row["standard_error"] == pytest.approx((8 / 7 * 31 / 8 / 64) ** 0.5)
    assert (row["verdict"], row["refused"], row["family"]) == ("inconclusive", "", "planned")
    assert row["detectable"] > row["difference"]


@pytest.mark.parametrize(
    ("bio", "base", "verdict", "non_inferior", "base_non_inferior"),
    [("A" * 8, "B" * 8, "win", True, False), ("B" * 8, "A" * 8, "loss", False, True)],
)
def test_verdicts(bio: str, base: str, verdict: str, non_inferior: bool, base_non_inferior: bool) -> None:
    (row,) = compared(task(LENIENT), LENIENT, EXAMPLES, {"bio": answers(bio), "base": answers(base)})
    assert (row["verdict"], row["non_inferior"], row["base_non_inferior"]) == (verdict, non_inferior, base_non_inferior)


def test_only_answers_to_the_same_prompt_are_compared() -> None:
    base = [answer("e1", "A"), answer("e2", "A", prompt_sha256=OTHER_PROMPT), answer("e3", "B"), answer("e4", "B")]
    bio = [
        answer("e1", "A"),
        answer("e2", "A"),
        answer("e3", "A", fitting='{"shown": ["d1"]}'),
        answer("e4", "", finish_reason="skipped"),
        answer("e5", "A"),
    ]
    (row,) = compared(task(LENIENT), LENIENT, EXAMPLES, {"bio": bio, "base": base})
    assert [row[name] for name in ("examples", "other_prompt", "skipped", "fitted_differently", "n")] == [4, 1, 1, 1, 2]
    assert (row["value"], row["base_value"], row["refused"]) == (1.0, 0.5, "")


@pytest.mark.parametrize(
    ("bio", "base", "refused"),
    [
        (OTHER_PROMPT, "a" * 64, "none of the 3 examples that both answered had the same prompt"),
        # Nothing is known about either prompt, so they may be different ones.
        ("", "", "none of the 3 examples that both answered had the same prompt"),
    ],
)
def test_other_prompts_are_refused(bio: str, base: str, refused: str) -> None:
    given = {"bio": answers("AAA", prompt_sha256=bio), "base": answers("BBB", prompt_sha256=base)}
    (row,) = compared(task(LENIENT), LENIENT, EXAMPLES, given)
    assert (row["refused"], row["examples"], row["other_prompt"], row["n"]) == (refused, 3, 3, 0)
    assert (row["difference"], row["p"], row["verdict"], row["test"]) == (None, None, "", "none")


def test_models_that_share_no_example_are_refused() -> None:
    (row,) = compared(task(LENIENT), LENIENT, EXAMPLES, {"bio": [answer("e1", "A")], "base": [answer("e2", "A")]})
    assert (row["refused"], row["examples"]) == ("no example was answered by both", 0)


def test_a_difference_of_format_is_told_from_one_of_knowledge() -> None:
    # e1-e4: both right. e5-e7: the base cannot be read. e8: the base's answer was cut before it said anything.
    base = [*answers("AAAA???"), answer("e8", "Let us think about", finish_reason="length")]
    (row,) = compared(task(LENIENT), LENIENT, EXAMPLES, {"bio": answers("A" * 8), "base": base})
    assert row["difference"] == 0.5
    assert parts(row) == pytest.approx((0.0, 0.0, 3 / 8, 1 / 8))
    assert (row["format_examples"], row["truncated_examples"]) == (3, 1)


def test_a_cut_answer_that_could_be_read_did_no_harm() -> None:
    given = {"bio": answers("AA", finish_reason="length"), "base": answers("AB")}
    (row,) = compared(task(LENIENT), LENIENT, EXAMPLES, given)
    assert (parts(row), row["truncated_examples"]) == ((0.5, 0.0, 0.0, 0.0), 0)


def test_a_sign_that_depends_on_how_answers_are_read_is_flagged() -> None:
    # Read leniently the model is right everywhere; read strictly it is right nowhere, and the base on half.
    given = {"bio": [answer(f"e{number}", "I choose A") for number in (1, 2)], "base": answers("AB")}
    lenient, strict = compared(task(CHOICE), CHOICE, EXAMPLES, given)
    assert (lenient["difference"], strict["difference"]) == (0.5, -0.5)
    assert (lenient["sign_change"], strict["sign_change"]) == ("strict", "lenient")
    assert (lenient["family"], strict["family"]) == ("planned", "exploratory")


def test_what_goes_with_the_length_of_free_text_is_set_apart() -> None:
    # Twelve references of four words. The base gives the first two; the model adds eight words more, none of them in
    # the reference, in half of the examples: there its ROUGE-1 falls, and with it goes the length alone.
    examples = [Example(f"e{number}", f"e{number}", {}, ("one two three four",)) for number in range(12)]
    short, long = "one two", "one two " + "other " * 8
    given = {
        "bio": [answer(f"e{number}", long if number % 2 else short) for number in range(12)],
        "base": [answer(f"e{number}", short) for number in range(12)],
    }
    spec = replace(task(ROUGE[:1]), output=Output.TEXT)
    (row,) = compared(spec, ROUGE[:1], examples, given)
    # F1 of 2 of 2 found and 2 of 4 wanted is 2/3; of 2 of 10 and 2 of 4 it is 2/7; half of the examples differ.
    assert row["difference"] == pytest.approx((2 / 7 - 2 / 3) / 2)
    assert parts(row) == pytest.approx((0.0, row["difference"], 0.0, 0.0))


def test_a_length_that_only_one_model_writes_at_explains_nothing() -> None:
    # The model always writes more, by one to twelve words: what it would score at the base's length is not known.
    examples = [Example(f"e{number}", f"e{number}", {}, ("one two three four",)) for number in range(12)]
    given = {
        "bio": [answer(f"e{number}", "one" + " other" * (number + 1)) for number in range(12)],
        "base": [answer(f"e{number}", "one two") for number in range(12)],
    }
    (row,) = compared(replace(task(ROUGE[:1]), output=Output.TEXT), ROUGE[:1], examples, given)
    assert (row["from_length"], row["from_answers"]) == (0.0, pytest.approx(row["difference"]))


def test_a_micro_average_is_compared_as_one() -> None:
    # e1: both find the one mention; e2: the model finds 2 of 2, the base none and says so.
    examples = [Example("e1", "e1", {}, ("gout",)), Example("e2", "e2", {}, ("flu", "mumps"))]
    given = {
        "bio": [answer("e1", "gout"), answer("e2", "flu\nmumps")],
        "base": [answer("e1", "gout"), answer("e2", "none")],
    }
    (row,) = compared(replace(task(ENTITY_F1), output=Output.ENTITIES), ENTITY_F1[:1], examples, given)
    # Base: tp 1, fp 0, fn 2, so F1 = 2/(2 + 2).
    assert (row["value"], row["base_value"], row["difference"]) == (1.0, 0.5, 0.5)
    assert sum(parts(row)) == pytest.approx(0.5)
    assert (row["test"], row["both_right"]) == ("sign_flip", None)


def test_a_metric_that_one_model_lacks_is_left_out() -> None:
    given = {"bio": answers("AB", option_logprobs=(-1.0, -2.0)), "base": answers("AB")}
    rows = compared(task(CHOICE), CHOICE, EXAMPLES, given)
    assert [row["metric"] for row in rows] == ["accuracy_lenient", "accuracy_strict"]


def test_pairs_are_compared_alike_alone_and_together() -> None:
    given = {"bio": answers("AABB"), "base": answers("ABAB"), "third": answers("BBB"), "fourth": answers("AAAA")}
    pairs = [("bio", "base"), ("third", "base"), ("fourth", "bio"), ("bio", "absent")]
    together = compared(task(LENIENT), LENIENT, EXAMPLES, given, pairs)
    alone = [row for pair in pairs[:3] for row in compared(task(LENIENT), LENIENT, EXAMPLES, given, [pair])]
    assert together == alone
    assert [row["n"] for row in together] == [4, 3, 4]


def test_each_family_is_adjusted_by_itself() -> None:
    rows = [
        {"family": family, "p": p}
        for family, p in [("planned", 0.01), ("exploratory", 0.04), ("planned", 0.03), ("planned", None)]
    ]
    adjusted = with_adjusted_p(rows)
    # Two planned tests: 2·0.01 and 0.03; one exploratory test stays as it is; no test, no p.
    assert [row["p_holm"] for row in adjusted] == [0.02, 0.04, 0.03, None]
    assert [row["p_bh"] for row in adjusted] == [0.02, 0.04, 0.03, None]
