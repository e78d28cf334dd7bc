"""Fitting: never over the budget, never silent, the same for the same example."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from unittest.mock import ANY

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from medeval_assets.catalog.task_spec import Document, DocumentRule
from medeval_assets.errors import MedevalError
from medeval_assets.prompts.fitting import Fitted, Skipped, TokenCounter, fit
from medeval_assets.prompts.prompt import DOCUMENTS, Message, Prompt


class Words:
    """A token is a word; a message costs one more."""

    def count_messages(self, messages: Sequence[Message]) -> int:
        return sum(1 + self.count(message.content) for message in messages)

    def count(self, text: str) -> int:
        return len(text.split())

    def truncate(self, text: str, most: int) -> str:
        ends = [word.end() for word in re.finditer(r"\S+", text)]
        return text if len(ends) <= most else text[: ends[most - 1] if most > 0 else 0]


class Quarters:
    """Four characters a token, plus one: the count of a whole is not the sum of its parts' counts."""

    def count_messages(self, messages: Sequence[Message]) -> int:
        return self.count("".join(f"<{message.role}>{message.content}" for message in messages))

    def count(self, text: str) -> int:
        return len(text) // 4 + 1

    def truncate(self, text: str, most: int) -> str:
        return text[: max(4 * most - 1, 0)]


class Growing(Words):
    """A joint between two documents costs far more in the rendered prompt than the separator alone."""

    def count_messages(self, messages: Sequence[Message]) -> int:
        return super().count_messages(messages) + 10 * messages[-1].content.count("|")


class Broken(Words):
    """Truncates nothing and always reports a prompt that is too long once it holds a document."""

    def count_messages(self, messages: Sequence[Message]) -> int:
        return 10_000 if "word" in messages[-1].content else 1

    def truncate(self, text: str, most: int) -> str:
        return text


def prompt_of(*texts: str, question: str = "Which one?") -> Prompt:
    documents = tuple(Document(f"d{number}", text) for number, text in enumerate(texts))
    slot = f"Read: {DOCUMENTS} end. " if texts else ""
    return Prompt(
        "p1/q01/s0",
        (Message("system", "Be brief."), Message("user", slot + question)),
        "Answer:",
        {},
        documents,
    )


def words(count: int) -> str:
    return " ".join(f"word{number}" for number in range(count))


def shown_in(fitted: Fitted) -> set[str]:
    names = fitted.fitting["documents"]
    assert isinstance(names, list)
    return set(names)


RULE = DocumentRule(max_tokens=100, separator=" | ")


def test_without_documents_the_prompt_stays_as_it_is_or_is_skipped() -> None:
    prompt = prompt_of()
    # system: 1 + 2 words, user: 1 + 2 words
    assert fit(prompt, None, Words(), budget=6) == Fitted(prompt.messages, {})
    assert fit(prompt, None, Words(), budget=5) == Skipped("the prompt has 6 tokens and the context leaves 5")


def test_all_documents_are_shown_whole_where_they_fit() -> None:
    # Bare: 3 + (1 + "Read:" "end." "Which" "one?") = 8; with two separators 20 + 30 + 40 + 2 = 92 more.
    fitted = fit(prompt_of(words(20), words(30), words(40)), RULE, Words(), budget=100)
    assert isinstance(fitted, Fitted)
    expected = {"documents": ANY, "truncated": "", "truncated_tokens": 0, "left_out": [], "budget": 100}
    assert fitted.fitting == expected
    assert shown_in(fitted) == {"d0", "d1", "d2"}
    assert Words().count_messages(fitted.messages) == 100


@pytest.mark.parametrize(
    ("budget", "shown", "truncated", "kept", "left_out"),
    [
        (
            99,
            {"d0", "d1", "d2"},
            "d2",
            39,
            ["d3"],
        ),  # one token short: the third loses one, the fourth is not tried
        (76, {"d0", "d1", "d2"}, "d2", 16, ["d3"]),  # 76 - 8 = 68 = 20 + 1 + 30 + 1 + 16: just worth keeping
        (75, {"d0", "d1"}, "", 0, ["d2", "d3"]),  # 15 tokens would be a scrap
        (24, {"d0"}, "d0", 16, ["d1", "d2", "d3"]),
        (
            10_000,
            {"d0", "d1", "d2", "d3"},
            "",
            0,
            [],
        ),  # the rule's 100 bind: 20 + 30 + 40 + 5 + 3 separators = 98
    ],
)
def test_documents_are_taken_in_order_and_only_the_last_is_cut(
    budget: int, shown: set[str], truncated: str, kept: int, left_out: list[str]
) -> None:
    fitted = fit(prompt_of(words(20), words(30), words(40), words(5)), RULE, Words(), budget)
    assert isinstance(fitted, Fitted)
    assert shown_in(fitted) == shown
    assert (fitted.fitting["truncated"], fitted.fitting["truncated_tokens"]) == (truncated, kept)
    assert fitted.fitting["left_out"] == left_out


def test_the_rule_binds_where_the_context_is_long() -> None:
    fitted = fit(prompt_of(words(90), words(90)), RULE, Words(), budget=10_000)
    # 100 - 90 - 1 separator = 9 tokens are left, too few to keep
    assert isinstance(fitted, Fitted)
    assert fitted.fitting["documents"] == ["d0"]
    assert fitted.fitting["left_out"] == ["d1"]


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (7, "the prompt has 8 tokens without its documents and the context leaves 7"),
        (
            23,
            "none of 1 documents fits into 15 tokens (the prompt has 8 without them, the context leaves 23)",
        ),
    ],
)
def test_what_cannot_be_fitted_is_skipped_with_its_numbers(budget: int, reason: str) -> None:
    assert fit(prompt_of(words(50)), RULE, Words(), budget) == Skipped(reason)


def test_the_order_depends_on_the_example_alone() -> None:
    texts = [words(3)] * 8
    prompt = prompt_of(*texts)
    first = fit(prompt, RULE, Words(), budget=200)
    again = fit(prompt, RULE, Words(), budget=300)
    other = fit(replace(prompt, example_id="p1/q01/s1"), RULE, Words(), budget=200)
    assert isinstance(first, Fitted) and isinstance(again, Fitted) and isinstance(other, Fitted)
    assert first.messages == again.messages
    assert first.fitting["documents"] == ["d5", "d2", "d1", "d0", "d4", "d3", "d7", "d6"]
    assert other.fitting["documents"] != first.fitting["documents"]


def test_a_document_that_holds_the_slot_is_shown_as_it_is() -> None:
    fitted = fit(prompt_of(f"a {DOCUMENTS} b", "other text"), RULE, Words(), budget=100)
    assert isinstance(fitted, Fitted)
    content = fitted.messages[-1].content
    assert content in {
        f"Read: a {DOCUMENTS} b | other text end. Which one?",
        f"Read: other text | a {DOCUMENTS} b end. Which one?",
    }


@pytest.mark.parametrize("content", ["no slot", f"{DOCUMENTS} and {DOCUMENTS}"])
def test_a_template_without_exactly_one_slot_is_refused(content: str) -> None:
    prompt = replace(prompt_of(words(20)), messages=(Message("user", content),))
    with pytest.raises(MedevalError, match="exactly once"):
        fit(prompt, RULE, Words(), budget=100)


def test_documents_without_a_rule_are_refused() -> None:
    with pytest.raises(MedevalError, match="no rule"):
        fit(prompt_of(words(20)), None, Words(), budget=100)


def test_what_joining_adds_is_taken_from_the_last_document() -> None:
    # 8 bare + 30 + 1 + 40 = 79 by the parts, 89 with the joint: the second document loses 9.
    fitted = fit(prompt_of(words(30), words(40)), RULE, Growing(), budget=80)
    assert isinstance(fitted, Fitted)
    assert (fitted.fitting["truncated"], fitted.fitting["truncated_tokens"]) == ("d1", 31)
    assert Growing().count_messages(fitted.messages) == 80


def test_a_tokenizer_that_breaks_its_word_ends_in_a_skip() -> None:
    assert isinstance(fit(prompt_of(words(200), words(200)), RULE, Broken(), budget=100), Skipped)


@given(
    texts=st.lists(st.text(alphabet="ab |⟦\n", max_size=400), min_size=1, max_size=6),
    budget=st.integers(0, 400),
    most=st.integers(0, 200),
    separator=st.sampled_from([" | ", "\n\n---\n\n", ""]),
    tokens=st.sampled_from([Words(), Quarters(), Growing()]),
)
@example(texts=["", ""], budget=100, most=100, separator=" | ", tokens=Words())
def test_a_fitted_prompt_is_within_its_budget_and_accounts_for_every_document(
    texts: list[str], budget: int, most: int, separator: str, tokens: TokenCounter
) -> None:
    prompt = prompt_of(*texts)
    result = fit(prompt, DocumentRule(most, separator), tokens, budget)
    if isinstance(result, Skipped):
        assert str(budget) in result.reason
        return
    bare = tokens.count_messages(
        (*prompt.messages[:-1], Message("user", prompt.messages[-1].content.replace(DOCUMENTS, "")))
    )
    whole = tokens.count_messages(result.messages)
    assert whole <= budget
    assert whole - bare <= most

    order, left_out = result.fitting["documents"], result.fitting["left_out"]
    assert isinstance(order, list) and isinstance(left_out, list)
    assert sorted(order) + left_out == [document.document_id for document in prompt.documents]
    assert result.messages[:-1] == prompt.messages[:-1]

    text_of = {document.document_id: document.text for document in prompt.documents}
    head, _, tail = prompt.messages[-1].content.partition(DOCUMENTS)
    cut, kept = result.fitting["truncated"], result.fitting["truncated_tokens"]
    if not cut:
        assert kept == 0
        assert result.messages[-1].content == head + separator.join(text_of[name] for name in order) + tail
        return
    assert isinstance(cut, str) and cut == max(order)
    place = order.index(cut)
    head += "".join(text_of[name] + separator for name in order[:place])
    tail = "".join(separator + text_of[name] for name in order[place + 1 :]) + tail
    content = result.messages[-1].content
    assert content.startswith(head) and content.endswith(tail)
    shown = content[len(head) : len(content) - len(tail)]
    assert text_of[cut].startswith(shown) and len(shown) < len(text_of[cut])
    assert kept == tokens.count(shown) >= 16
