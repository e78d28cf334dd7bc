"""Why a table is stale is told by what its two derivations differ in."""

from __future__ import annotations

from typing import Any

import pytest

from medeval_assets.lake.lineage_record import Derivation, InputRecord, RawFileRecord
from medeval_assets.lake.staleness import Change, changes


def derivation(**fields: Any) -> Derivation:
    given: dict[str, Any] = {
        "code_version": "1",
        "parameters": {"limit": None, "decoding": {"max_new_tokens": 20, "stop": ()}, "empty": {}},
        "inputs": (table("datasets", "a"), table("prompt_sets", "b")),
        "raw_files": (RawFileRecord(name="test.jsonl", sha256="c", size=1),),
        "model": {"weights_sha256": "d"},
    }
    return Derivation(**(given | fields))


def table(asset: str, content: str) -> InputRecord:
    return InputRecord(asset=asset, task="mednli", content_sha256=content)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"code_version": "2"}, [Change("code version", "", "1", "2")]),
        ({"model": {"weights_sha256": "e"}}, [Change("model", "weights_sha256", "d", "e")]),
        ({"raw_files": ()}, [Change("raw file", "test.jsonl", "c", None)]),
        (
            {"inputs": (table("datasets", "z"), table("prompt_sets", "b"))},
            [Change("input", "datasets × mednli", "a", "z")],
        ),
        (
            {"parameters": {"limit": 4, "decoding": {"max_new_tokens": 20, "stop": ("\n",)}, "empty": {}}},
            [Change("parameter", "limit", None, 4), Change("parameter", "decoding.stop", [], ["\n"])],
        ),
        (
            {"parameters": {"decoding": {"max_new_tokens": 20, "stop": ()}, "empty": {}, "new": None}},
            [Change("parameter", "limit", None, None), Change("parameter", "new", None, None)],
        ),
        (
            {"inputs": (table("prompt_sets", "b"), table("datasets", "a"))},
            [Change("input", "the order of the inputs", None, None)],
        ),
    ],
)
def test_every_difference_is_named_once(fields: dict[str, Any], expected: list[Change]) -> None:
    assert changes(derivation(), derivation(**fields)) == expected
    # There is a reason exactly where the rule of staleness says that there is one.
    assert bool(expected) == (derivation() != derivation(**fields))
