"""A limit is a fixed, nested choice."""

from __future__ import annotations

from itertools import pairwise

from medeval_assets.prompts.prompt import Message, Prompt
from medeval_assets.prompts.selection import select

PROMPTS = [Prompt(f"example-{number}", (Message("user", "?"),), "Answer:") for number in range(50)]


def test_a_larger_limit_contains_a_smaller_one_in_the_order_of_the_file() -> None:
    chosen = [select(PROMPTS, limit) for limit in range(1, 51)]
    assert [len(prompts) for prompts in chosen] == list(range(1, 51))
    for smaller, larger in pairwise(chosen):
        assert all(prompt in larger for prompt in smaller)
        assert larger == [prompt for prompt in PROMPTS if prompt in larger]


def test_the_choice_does_not_follow_the_order_of_the_file() -> None:
    assert select(PROMPTS, 10) != PROMPTS[:10]
    assert select(PROMPTS[::-1], 10) == select(PROMPTS, 10)[::-1]


def test_no_limit_is_everything() -> None:
    assert select(PROMPTS, None) == select(PROMPTS, 99) == PROMPTS
