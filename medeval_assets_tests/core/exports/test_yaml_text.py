"""YAML that says the same to every reader: texts in quotes, numbers to the last bit, no aliases."""

from __future__ import annotations

import json
import math

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from medeval_assets.exports.yaml_text import as_yaml

TEXTS = st.text() | st.sampled_from(["1e3", "12:30", "0o7", "yes", "~", "---", "\n---\n", "\u2028", "\x85", "\ud800"])
FIELDS = st.from_regex(r"[a-z_]+", fullmatch=True)
VALUES = st.recursive(
    TEXTS | st.booleans() | st.none() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(FIELDS, inner),
    max_leaves=12,
)


@settings(max_examples=150)
@given(VALUES)
def test_what_is_read_is_what_was_written(value: object) -> None:
    assert repr(yaml.safe_load(as_yaml(value))) == repr(value)


@settings(max_examples=150)
@given(TEXTS)
def test_a_text_is_in_quotes_on_one_line(text: str) -> None:
    key, value = as_yaml({"yes": 1, "name": text}).split("\n", 1)
    assert key in {'"yes": 1', "'yes': 1"}
    assert value.startswith('name: "')
    assert value.endswith('"\n')
    assert len(value.splitlines()) == 1


@given(st.floats(0, 1))
def test_a_number_is_one_for_readers_of_either_version_of_yaml(number: float) -> None:
    written = as_yaml(number).split()[0]
    # YAML 1.1 asks for a dot, JSON and so YAML 1.2 for digits on both sides of it.
    assert "." in written
    assert math.copysign(1, json.loads(written)) == math.copysign(1, number)
    assert json.loads(written) == number


def test_what_stands_twice_is_written_twice() -> None:
    same = {"a": [1]}
    assert "*" not in as_yaml([same, same])
