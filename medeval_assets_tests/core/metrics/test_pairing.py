"""Pairing: as many pairs as a matching can have, also where pairing greedily would find fewer."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medeval_assets.metrics.pairing import most_pairs

SETS = st.lists(st.frozensets(st.sampled_from("abcde"), max_size=3), max_size=5)


@pytest.mark.parametrize(
    ("left", "right", "pairs"),
    [
        ([], [], 0),
        (["a"], [], 0),
        (["a"], ["b"], 0),
        (["a", "a"], ["a"], 1),
        (["a", "a"], ["a", "a", "a"], 2),
        # One pair alone leaves no room: "ab" goes with "a" only when "b" takes the other.
        (["ab", "b"], ["b", "a"], 2),
        (["ab", "a"], ["a"], 1),
        # Each left set meets the next right one too; only the shift by one pairs all of them.
        (["ab", "bc", "cd"], ["b", "c", "d"], 3),
    ],
)
def test_pairs(left: list[str], right: list[str], pairs: int) -> None:
    assert most_pairs(list(map(frozenset, left)), list(map(frozenset, right))) == pairs


@settings(max_examples=100)
@given(SETS, SETS)
def test_no_order_of_pairing_finds_more(left: list[frozenset[str]], right: list[frozenset[str]]) -> None:
    short, long = sorted((left, right), key=len)
    best = max(sum(bool(one & other) for one, other in zip(short, order, strict=False)) for order in permutations(long))
    assert most_pairs(left, right) == best


def test_a_hundred_thousand_sets_with_one_word_in_common() -> None:
    many = [frozenset({"gout", f"type{number}"}) for number in range(100_000)]
    assert most_pairs(many, [*many[:3], frozenset({"asthma"})]) == 3
    assert most_pairs(many, many) == 100_000
