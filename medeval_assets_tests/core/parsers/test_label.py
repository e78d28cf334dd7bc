"""Labels: one stated label is read, a negated one never."""

from __future__ import annotations

import pytest

from medeval_assets.parsers import label
from medeval_assets.parsers.parsed import Parsed

OPTIONS = {word: word for word in ("entailment", "contradiction", "neutral")}


@pytest.mark.parametrize("text", ["neutral", "Neutral.", "**NEUTRAL**", " 'neutral'\n", "\uff4eeutral"])
def test_strict_reads_exactly_one_word(text: str) -> None:
    assert label.strict(text, OPTIONS) == label.lenient(text, OPTIONS) == Parsed("neutral", "strict")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("contradiction\n\nNote: fever.\nAnswer: neutral", Parsed("contradiction", "first_line")),
        ("Answer: neutral. It is no entailment.", Parsed("neutral", "stated")),
        ("Entailment? The relationship is a contradiction.", Parsed("contradiction", "stated")),
        ("This is neutral, clearly neutral", Parsed("neutral", "only_label")),
        ("It is not entailment but neutral", Parsed("neutral", "only_label")),
        ("The note entails the statement", Parsed("entailment", "synonym")),
        ("The statement is certainly false.", Parsed("contradiction", "synonym")),
        ("It cannot be told from the note", Parsed("neutral", "synonym")),
        ("entailment, contradiction, neutral", Parsed(None, "only_label", "ambiguous")),
        ("The label is neutral. The label is entailment.", Parsed(None, "stated", "ambiguous")),
        ("not entailment", Parsed(None, failure="no_match")),
        ("The note does not entail it", Parsed(None, failure="no_match")),
        ("neutrophils", Parsed(None, failure="no_match")),
        ("", Parsed(None, failure="empty")),
    ],
)
def test_lenient(text: str, expected: Parsed[str]) -> None:
    assert label.lenient(text, OPTIONS) == expected
    assert label.strict(text, OPTIONS).value is None


@pytest.mark.parametrize("piece", [" ", "not neutral ", "answer: ", "*"])
def test_ten_megabytes_are_read(piece: str) -> None:
    text = (piece * (10_000_000 // len(piece) + 1))[:10_000_000]
    assert label.lenient(f"entailment\n\n{text}x", OPTIONS).value == "entailment"


@pytest.mark.parametrize("answer", ["Enta\u0131lment, I would say", "the answer is: enta\u0130lment"])
def test_a_turkish_i_is_an_i(answer: str) -> None:
    # `re` takes it for an i when it ignores case, while case folding does not: the label was then not found.
    assert label.lenient(answer, OPTIONS).value == "entailment"
