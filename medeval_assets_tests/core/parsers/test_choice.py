"""Choices: what counts as an answer, by which rule, and what is left unread."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medeval_assets.parsers import choice
from medeval_assets.parsers.parsed import Parsed

OPTIONS = {
    "A": "Acute pancreatitis",
    "B": "Pancreatitis",
    "C": "Clostridioides difficile colitis",
    "D": "E. coli infection",
    "E": "B-cell lymphoma",
}
WORDS = {word: word for word in ("yes", "no", "maybe")}


@pytest.mark.parametrize(
    ("text", "label"),
    [
        *[
            (form, "B")
            for form in ("B", " B\n", "B.", "B)", "B:", "(B)", "[B]", "**B**", "**B.**", '"B"', "\u200fB\u200e")
        ],
        ("\uff22\uff0e", "B"),  # full-width letter and full stop
        ("B. Pancreatitis", "B"),
        ("B) pancreatitis.", "B"),
        ("**D. E. coli infection**", "D"),
        ("A Acute pancreatitis", "A"),
    ],
)
def test_strict_reads_the_label_alone_or_with_its_own_text(text: str, label: str) -> None:
    assert choice.strict(text, OPTIONS) == choice.lenient(text, OPTIONS) == Parsed(label, "strict")


@pytest.mark.parametrize(
    "text", ["b", "The answer is B", "B. Acute pancreatitis", "B or C", "F", "Pancreatitis", "A patient", "BB"]
)
def test_strict_reads_nothing_else(text: str) -> None:
    assert choice.strict(text, OPTIONS) == Parsed(None, failure="no_match")


@pytest.mark.parametrize(
    ("text", "label", "rule"),
    [
        ("B\n\nQuestion: What next?\nAnswer: D", "B", "first_line"),
        ("**C. Clostridioides difficile colitis**\n\nThe toxin test is positive.", "C", "first_line"),
        (r"So the result is $\boxed{C}$, not B.", "C", "boxed"),
        (r"\boxed{\text{D}}", "D", "boxed"),
        ("The correct answer is B.", "B", "stated"),
        ("Explanation first.\n\n**Answer:** (D) E. coli infection", "D", "stated"),
        ("The best option is most likely C, given the toxin.", "C", "stated"),
        ("I would choose option D.", "D", "stated"),
        ("After all that, B is the most appropriate.", "B", "stated"),
        ("answer: a", "A", "stated"),
        ("The answer is not A. The answer is B.", "B", "stated"),
        ("I don't think the answer is B. C is correct.", "C", "stated"),
        ("The answer is B, and A is wrong.", "B", "stated"),
        ("The answer is A. Wait. Final answer: D", "D", "stated"),
        ("The answer is A because lipase is high.", "A", "stated"),
        ("The answer is B-cell lymphoma.", "E", "stated_text"),
        ("The answer is E. coli infection.", "D", "stated_text"),
        ("The most likely diagnosis is acute pancreatitis, while B-cell lymphoma is rare.", "A", "stated_text"),
        ("b) since lipase is high", "B", "start"),
        ("D: because of the urine culture", "D", "start"),
        ("I would go for option C here", "C", "named"),
        ("I find that **B** fits better than A", "B", "marked"),
        ("B because lipase is high", "B", "only_label"),
        ("Not A but C", "C", "only_label"),
        ("Acute pancreatitis", "A", "option_text"),  # contains the text of B, which is shorter
        ("A patient with pain and lipase has pancreatitis", "B", "option_text"),
        ("E. coli infection is likely", "D", "option_text"),
        ("Not pancreatitis: CLOSTRIDIOIDES  difficile\ncolitis", "C", "option_text"),
        ("\ud800 The answer is \x00B\x07", "B", "stated"),
    ],
)
def test_the_first_rule_that_applies_reads_the_answer(text: str, label: str, rule: str) -> None:
    assert choice.lenient(text, OPTIONS) == Parsed(label, rule)


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("", "empty"),
        (" \n\t\u200b", "empty"),
        ("A 45-year-old man presents with fever", "no_match"),
        ("The answer is a combination of both", "no_match"),
        ("Option B is incorrect", "no_match"),
        ("A. is wrong because of the lipase.\nB. is wrong too.", "no_match"),
        ("Hepatitis B and C, influenza A, vitamin B", "no_match"),
        ("neither pancreatitis nor B", "no_match"),
        ("\u05ea\u05e9\u05d5\u05d1\u05d4", "no_match"),
        ("Answer: C or D", "ambiguous"),
        ("The answer is A. The answer is B.", "ambiguous"),
        ("A, B and C", "ambiguous"),
        ("A\nB\nC", "ambiguous"),
        ("A. Acute pancreatitis\nB. Pancreatitis\nC. Clostridioides difficile colitis", "ambiguous"),
        ("Either B-cell lymphoma or pancreatitis", "ambiguous"),
        (r"\boxed{A} \boxed{B}", "ambiguous"),
    ],
)
def test_an_unreadable_answer_has_no_default(text: str, failure: str) -> None:
    parsed = choice.lenient(text, OPTIONS)
    assert (parsed.value, parsed.failure) == (None, failure)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("YES.", Parsed("yes", "strict")),
        ("No, it does not.", Parsed("no", "start")),
        ("Answer: maybe", Parsed("maybe", "stated")),
        ("The answer is no.", Parsed("no", "stated")),
        ("Yes there is an effect", Parsed("yes", "only_label")),
        ("No significant difference was found", Parsed(None, failure="no_match")),
        ("The answer is no longer clear", Parsed(None, failure="no_match")),
        ("Yes and no", Parsed(None, "only_label", "ambiguous")),
        ("Yes\nNo", Parsed(None, "start", "ambiguous")),
    ],
)
def test_options_that_are_words(text: str, expected: Parsed[str]) -> None:
    assert choice.lenient(text, WORDS) == expected


def test_two_options_with_the_same_text_cannot_be_told_apart() -> None:
    assert choice.lenient("aspirin", {"A": "Aspirin", "B": "aspirin"}).failure == "ambiguous"


@pytest.mark.parametrize("piece", ["x", " ", "A ", "answer is ", "not B ", "*", "(", "\ud800", "pancreatitis "])
def test_ten_megabytes_are_read(piece: str) -> None:
    text = (piece * (10_000_000 // len(piece) + 1))[:10_000_000]
    assert choice.strict(text, OPTIONS).value is None
    assert choice.lenient(text + "\nThe final answer is D.", OPTIONS) == Parsed("D", "stated")


@given(st.text(alphabet=st.characters(), max_size=60) | st.text(alphabet="ABCDEabn .,:()*'\n-answer is", max_size=60))
def test_any_text_gives_an_option_or_a_failure(text: str) -> None:
    strict, lenient = choice.strict(text, OPTIONS), choice.lenient(text, OPTIONS)
    for parsed in (strict, lenient):
        assert (parsed.value in OPTIONS) != bool(parsed.failure)
    if strict.value:
        assert lenient == strict
