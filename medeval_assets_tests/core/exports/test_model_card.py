"""Values go into a card's metadata as huggingface_hub reads them, and not another byte of the card changes."""

from __future__ import annotations

import os
import re
import resource
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard, RepoCard, metadata_load
from huggingface_hub.repocard_data import EvalResult, model_index_to_eval_results
from hypothesis import given, settings
from hypothesis import strategies as st

from medeval_assets.errors import BadInput
from medeval_assets.exports.card_metadata import card_with
from medeval_assets.exports.evaluation_results import CellResults, Value
from medeval_assets.exports.model_card import card_metadata, eval_results, merge_into_card
from medeval_assets.tasks import all_tasks

NOBODY = 65534


def value(metric: str = "accuracy", **told: Any) -> Value:
    about: dict[str, Any] = {
        "metric": metric,
        "title": metric.capitalize(),
        "profile": "corrected",
        "headline": True,
        "value": 0.625,
        "low": 0.54,
        "high": 0.7,
        "confidence": 0.95,
        "interval": "wilson",
        "standard_error": None,
        "n": 120,
        "clusters": 100,
        "skipped": 0,
        "unreadable_rate": 0.0,
        "if_unreadable_wrong": 0.625,
        "if_unreadable_right": 0.625,
    }
    return Value(**about | told)


def cell(task: str = "mednli", *values: Value, synthetic: bool = False, title: str | None = None) -> CellResults:
    spec = all_tasks()[task]
    return CellResults(
        task=task,
        title=title or (f"{spec.title} (synthetic samples)" if synthetic else spec.title),
        about=spec.about,
        homepage=spec.homepage,
        access=spec.access,
        licence=spec.licence,
        synthetic=synthetic,
        limit=None,
        created_at="2026-01-01T00:00:00.000000+00:00",
        computed_with="medeval-assets 1",
        metric_table_sha256="a" * 64,
        dataset_sha256="b" * 64,
        metrics=values or (value(), value("rouge", headline=False)),
        lineage=(),
    )


BODY = "# A model\n\nText.\n\n---\n\nmodel-index:\n- name: no metadata\n\n---\nlast line"
HEAD = "license: mit\ntags: [medical]  # a comment\nloss: .nan\nwhen: 2024-01-01\nodd: 12:30\nmore: 1e3\n"
OTHERS = """\
# Theirs.
license: mit
model-index:
- name: theirs   # their own
  results:
  # measured by hand
  - task: {type: text-generation}
    dataset:
      name: "A: b"
      type: x/y
    metrics:
    - type: accuracy
      value: 20.90
      name: 'It''s'
    - type: loss
      value: 1e-3
  - dataset: {name: B, type: b}
    task:
        type: text-generation
    metrics: [{type: wer, value: .nan}]  # the last

language: en
# The end.
"""

RESULT = "{task: {type: t}, dataset: {type: d, name: D}, metrics: []}"
CARDS = {
    "nothing": "",
    "text alone": BODY,
    "text that begins with a line": "---\n# No metadata\n",
    "no line": "# A model",
    "empty metadata": f"---\n\n---\n{BODY}",
    "comments alone": f"---\n# license: mit\n---\n{BODY}",
    "fields": f"---\n{HEAD}---\n{BODY}",
    "fields and nothing else": f"---\n{HEAD}---",
    "blank lines before and after": f"\n\n---\n\n{HEAD}\n\n---  \n\n\n{BODY}",
    "indented fields": "---\n  license: mit\n  tags:\n  - a\n---\n",
    "a text of lines at the end": f"---\n{HEAD}prompt: |\n  Be brief.\n  ---\n---\n{BODY}",
    "a folded text that keeps its line breaks": f"---\n# Why\n{HEAD}prompt: >+\n  Be brief.\n\n\n---\n{BODY}",
    "index without models": f"---\nmodel-index:  # none yet\n{HEAD}---\n{BODY}",
    "empty index": f"---\nmodel-index: «[]»  # none yet\n{HEAD}---\n{BODY}",
    "index of null": f"---\n{HEAD}model-index: «null»\n---\n{BODY}",
    "model of others": f"---\n{OTHERS}---\n{BODY}",
    "index in the end": f"---\nmodel-index:\n- name: a\n  results:\n  - {RESULT}\n---\n{BODY}",
    "dashes on lines of their own": f"---\nmodel-index:\n-\n  name: biomed\n  results:\n  -\n    {RESULT}\n---\n",
    "our model without results": f"---\nmodel-index:\n  - name: biomed\n    note: x\n{HEAD}---\n{BODY}",
    "our model with an empty list": f"---\nmodel-index:\n- results: «[]»\n  name: biomed\n{HEAD}---\n{BODY}",
    "our model with results of others": f"---\n{OTHERS.replace('name: theirs', 'name: biomed')}---\n{BODY}",
    "a note of lines": "---\nmodel-index:\n- name: a\n  results: []\n  note: |\n    One.\n\nx: 1\n---\n",
    "indented lists": f"---\nmodel-index:\n    -   name: biomed\n        results:\n            -   {RESULT}\n---\n",
}
"""Cards by what is odd about them. What stands between « and » says that there is nothing, and gives way."""


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return tmp_path / "README.md"


def merged(path: Path, *results: CellResults, model: str = "biomed") -> str:
    merge_into_card(path, model, results or [cell()])
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    return path.read_bytes().decode()


def told_by(path: Path) -> list[EvalResult]:
    """What huggingface_hub reads of all models."""
    metadata = metadata_load(path)
    assert metadata is not None
    return model_index_to_eval_results(metadata["model-index"])[1]


def metadata_of(card: str) -> dict[str, Any]:
    """The metadata as huggingface_hub reads them, whatever they hold."""
    return {str(name): told for name, told in vars(RepoCard(card).data).items()}


def ours(path: Path, model: str = "biomed") -> dict[tuple[str, str], float]:
    """(dataset, metric) → value of a model's results that we gave."""
    return {
        (one.dataset_type, one.metric_type): one.metric_value
        for one in told_by(path)
        if (one.metric_args or {}).get("model") == model
    }


def alike(one: str, other: str) -> int:
    """How many letters two texts begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def inserted(before: str, after: str) -> str:
    """What was put into a text at one place; the rest of it must be as it was."""
    start = alike(before, after)
    end = alike(before[start:][::-1], after[start:][::-1])
    assert start + end >= len(before), "more than an insertion"
    return after[start : len(after) - (len(before) - start)]


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Work as somebody whom permissions stop."""
    root = os.geteuid() == 0
    folder.chmod(0o555)
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("name", CARDS)
def test_every_other_byte_of_a_card_stays(card: Path, name: str, mark: str, line_end: str) -> None:
    marked = CARDS[name].replace("\n", line_end)
    before = marked.replace("«", "").replace("»", "")
    card.write_bytes((mark + before).encode())
    metadata = metadata_load(card) or {}

    after = merged(card)

    new = inserted(mark + re.sub("«.*»", "", marked), after)
    assert new.count("\r\n") == new.count("\r") == (new.count("\n") if line_end in before and line_end != "\n" else 0)
    read = metadata_load(card)
    assert read is not None
    index = read.pop("model-index")
    assert [entry["name"] for entry in index].count("biomed") == 1
    assert ours(card) == {("mednli", "accuracy"): 0.625, ("mednli", "rouge"): 0.625}
    metadata.pop("model-index", None)
    assert yaml.safe_dump(read, sort_keys=False) == yaml.safe_dump(metadata, sort_keys=False)
    assert ModelCard.load(card).text == RepoCard(before).text
    assert merged(card) == after


def test_huggingface_hub_reads_the_values_that_were_given(card: Path) -> None:
    results = [cell("mednli", value(value=1 / 3), value("rouge", low=None, high=None)), cell("medqa", value(value=0.0))]
    card.write_text(f"---\nlicense: mit\n---\n{BODY}")
    merged(card, *results)
    given_away = eval_results("biomed", results)
    loaded = ModelCard.load(card)
    assert loaded.data.model_name == "biomed"
    assert loaded.data.eval_results == given_away
    assert told_by(card) == given_away
    assert loaded.data.license == "mit"
    # What `metadata_update` would do with the same values: nothing.
    assert all(any(new == old for old in loaded.data.eval_results or []) for new in given_away)
    alone = metadata_of(card_metadata("biomed", results))
    assert model_index_to_eval_results(alone["model-index"]) == ("biomed", given_away)


def test_how_sure_a_value_is_stands_with_its_metric_and_nobody_has_verified_it(card: Path) -> None:
    merged(card, cell("mednli", value(low=None, high=None), value("rouge")))
    bare, told = told_by(card)
    assert (told.verified, told.verify_token, told.metric_config) == (False, None, "corrected")
    arguments = told.metric_args
    assert arguments is not None
    assert {name: arguments[name] for name in ("low", "high", "confidence", "interval", "n", "clusters")} == {
        "low": 0.54,
        "high": 0.7,
        "confidence": 0.95,
        "interval": "wilson",
        "n": 120,
        "clusters": 100,
    }
    assert (arguments["metric_table_sha256"], arguments["dataset_sha256"]) == ("a" * 64, "b" * 64)
    assert arguments.keys() - (bare.metric_args or {}).keys() == {"low", "high"}
    assert told.source_url == all_tasks()["mednli"].homepage


def test_a_value_on_synthetic_samples_says_so_wherever_it_is_shown(card: Path) -> None:
    merged(card, cell(synthetic=True))
    for one in told_by(card):
        for shown in (one.dataset_type, one.dataset_name, one.metric_name, one.source_name):
            assert "synthetic" in (shown or "")
        assert (one.metric_args or {})["synthetic"] is True


def test_values_that_were_measured_again_take_the_place_of_ours_alone(card: Path) -> None:
    card.write_text(f"---\n{OTHERS}---\n{BODY}")
    before = card.read_text()
    merged(card, cell("mednli"), cell("medqa"))
    theirs = [one for one in told_by(card) if one.metric_args is None]
    # Somebody adds a model after ours, and comments.
    text = card.read_text().replace("\nlanguage: en", f"\n- name: late\n  results: [{RESULT}]\nlanguage: en")
    card.write_text(text)

    after = merged(card, cell("mednli", value(value=0.125)))

    assert ours(card) == {("mednli", "accuracy"): 0.125, ("medqa", "accuracy"): 0.625, ("medqa", "rouge"): 0.625}
    assert str([one for one in told_by(card) if one.metric_args is None]) == str(theirs)
    for line in before.splitlines():
        assert line in after.splitlines()
    assert merged(card, cell("mednli"), cell("medqa")).count("model: ") == 4
    assert f"\n- name: late\n  results: [{RESULT}]\nlanguage: en" in card.read_text()


def test_what_others_took_over_from_us_is_theirs(card: Path) -> None:
    theirs = merged(card).replace("measured with medeval-assets", "measured by somebody")
    card.write_text(theirs)
    inserted(theirs, merged(card, cell("mednli", value(value=0.125))))
    assert [one.metric_value for one in told_by(card)] == [0.625, 0.625, 0.125]


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        (True, True, {"synthetic-mednli": 0.5}),
        (True, False, {"mednli": 0.5}),
        (False, True, {"mednli": 0.25, "synthetic-mednli": 0.5}),
        (False, False, {"mednli": 0.5}),
    ],
)
def test_a_value_on_real_data_gives_way_to_none_on_synthetic_samples(
    card: Path, first: bool, second: bool, left: dict[str, float]
) -> None:
    merged(card, cell("mednli", value(value=0.25), synthetic=first))
    merged(card, cell("mednli", value(value=0.5), synthetic=second))
    assert {dataset: told for (dataset, _), told in ours(card).items()} == left


def test_several_models_of_ours_stand_in_one_card(card: Path) -> None:
    merged(card, cell("mednli", value(value=0.25)), model="biomed")
    merged(card, cell("mednli", value(value=0.5)), model="biomed-plain")
    merged(card, cell("mednli", value(value=0.75)), model="biomed")
    metadata = metadata_load(card)
    assert metadata is not None
    assert [(entry["name"], len(entry["results"])) for entry in metadata["model-index"]] == [
        ("biomed", 1),
        ("biomed-plain", 1),
    ]
    assert ours(card, "biomed") == {("mednli", "accuracy"): 0.75}
    assert ours(card, "biomed-plain") == {("mednli", "accuracy"): 0.5}


def test_values_follow_a_model_that_was_renamed_in_the_card(card: Path) -> None:
    text = merged(card, cell("mednli", value(value=0.25)))
    card.write_text(text.replace('name: "biomed"', "name: org/Biomed-7B"))
    merged(card, cell("mednli", value(value=0.5)))
    metadata = metadata_load(card)
    assert metadata is not None
    assert [entry["name"] for entry in metadata["model-index"]] == ["org/Biomed-7B"]
    assert ours(card) == {("mednli", "accuracy"): 0.5}


HOSTILE = [
    *("---", "\n---\n", "a: b", "- x", "#", "'", '"', "\\", "]: {", "&a", "*a", "!!python/object:os", "%YAML 9"),
    *("1e3", "12:30", "0o7", "yes", "null", "~", "2024-01-01", "=", "<<", " ", "", "\t", "\x85", "\u2028", "\ufeff"),
    *("<script>", "\x1b[31m", "\x00", "😀", "|\n  a", "model-index:", "${HOME}", "{{ x }}"),
]
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(), st.lists(st.sampled_from(HOSTILE)).map("".join))
NAMES = TEXTS.filter(bool)


@settings(max_examples=60)
@given(model=NAMES, title=TEXTS, metric=NAMES, body=st.sampled_from([CARDS["text alone"], CARDS["model of others"]]))
def test_no_text_becomes_markup(model: str, title: str, metric: str, body: str) -> None:
    results = [cell("mednli", value(metric, title=title), title=title)]
    entry = {"task": {"type": "t"}, "dataset": {"type": "d", "name": title}, "metrics": [{"type": metric, "value": 1}]}
    for given_away in ([entry], [{**entry, "source": {"name": title, "url": model}}]):
        after = card_with(body, "card", model, given_away, lambda _: False)
        assert inserted(body, after)
        read = RepoCard(after)
        assert read.text == RepoCard(body).text
        assert metadata_of(after)["model-index"][-1] == {"name": model, "results": given_away}
    name, told = model_index_to_eval_results(metadata_of(card_metadata(model, results))["model-index"])
    assert (name, told) == (model, eval_results(model, results))


SCALARS = st.one_of(TEXTS, st.booleans(), st.none(), st.integers(), st.floats(), st.dates())
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
MODELS = st.fixed_dictionaries(
    {"name": NAMES | st.just("biomed"), "results": st.none() | st.lists(VALUES, max_size=3)}, optional={"note": VALUES}
)


class InLines(yaml.SafeDumper):
    """Writes as people do: no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


@settings(max_examples=80)
@given(
    metadata=st.dictionaries(NAMES, VALUES, max_size=4),
    index=st.none() | st.lists(MODELS, max_size=3),
    first=st.booleans(),
    indent=st.integers(2, 6),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_any_metadata_that_are_written_in_lines_stay(
    metadata: dict[str, Any], index: list[dict[str, Any]] | None, first: bool, indent: int, line_end: str
) -> None:
    fields = {"license": "mit"} | metadata
    there = {"model-index": index}
    fields = there | fields if first else fields | there
    block = yaml.dump(
        fields, Dumper=InLines, sort_keys=False, default_flow_style=False, indent=indent, allow_unicode=True
    )
    before = f"---\n{block}---\n{BODY}".replace("\n", line_end)

    after = card_with(before, "card", "biomed", [{"metrics": []}], lambda _: False)

    read, was = metadata_of(after), metadata_of(before)
    told = next(entry for entry in read.pop("model-index") if entry["name"] == "biomed")
    assert told["results"][-1] == {"metrics": []}
    was.pop("model-index")
    assert repr(read) == repr(was)
    assert RepoCard(after).text == RepoCard(before).text == BODY.replace("\n", line_end)


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ("{license: mit}", "not written in lines"),
        ("- license: mit", "something else"),
        ("just text", "something else"),
        ("model-index: [{name: a, results: []}]", "not written in lines"),
        ("model-index:\n- {name: biomed, results: []}", "not written in lines"),
        ("model-index:\n- name: biomed\n  results: [{metrics: []}]", "not written in lines"),
        ("model-index:\n  name: a", "where its `model-index` should be"),
        ("model-index:\n- a", "where its `results` should be"),
        ("model-index:\n- results: 1", "where its `results` should be"),
        ("base: &a x\nmodel: *a", "aliases"),
        ("license: mit\n...", "cannot be read"),
        ("license: [mit", "cannot be read"),
        ("when: 2024-13-45", "cannot be read"),
        ("tag: !!python/object:os.system x", "cannot be read"),
        ("bell: \x07", "cannot be read"),
        ("model-index:\nmodel-index: 3", "where its `model-index` should be"),
        ("model-index:\n- name: a\nmodel-index:", "more would change than was meant to"),
        ("a: " + "[" * 600 + "]" * 600, "cannot be read"),
    ],
)
def test_a_card_that_cannot_be_changed_in_one_place_stays_as_it_is(card: Path, metadata: str, why: str) -> None:
    before = f"---\n{metadata}\n---\n{BODY}".encode()
    card.write_bytes(before)
    with pytest.raises(BadInput) as caught:
        merge_into_card(card, "biomed", [cell()])
    assert str(caught.value).startswith("`README.md`: ")
    assert why in str(caught.value)
    assert "mit" not in str(caught.value)
    assert card.read_bytes() == before
    assert [one.name for one in card.parent.iterdir()] == [card.name]


def test_a_card_in_another_encoding_stays_as_it_is(card: Path) -> None:
    card.write_bytes("# Modèle".encode("latin-1"))
    with pytest.raises(BadInput, match="not UTF-8"):
        merge_into_card(card, "biomed", [cell()])
    assert card.read_bytes() == "# Modèle".encode("latin-1")


def test_who_may_read_a_card_stays(card: Path) -> None:
    card.write_text(BODY)
    card.chmod(0o640)
    merged(card)
    assert stat.S_IMODE(card.stat().st_mode) == 0o640


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_cannot_be_written_is_told(there: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:  # below pytest's own, others may not even look
        card = Path(folder) / "README.md"
        if there:
            card.write_text(BODY)
        with as_nobody(card.parent), pytest.raises(BadInput) as caught:
            merge_into_card(card, "biomed", [cell()])
        assert "`README.md`: the card cannot be read or written (Permission denied)" in str(caught.value)
        assert [(path.name, path.read_text()) for path in card.parent.iterdir()] == [("README.md", BODY)] * there


def test_a_place_that_is_no_file_is_told(tmp_path: Path) -> None:
    for place, why in ((tmp_path, "Is a directory"), (tmp_path / "none" / "README.md", "No such file or directory")):
        with pytest.raises(BadInput, match=why):
            merge_into_card(place, "biomed", [cell()])
    assert list(tmp_path.iterdir()) == []


def test_on_a_full_disk_the_card_stays_as_it_is(card: Path) -> None:
    card.write_text(BODY)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(BadInput, match="File too large"):
            merge_into_card(card, "biomed", [cell()])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [(path.name, path.read_text()) for path in card.parent.iterdir()] == [("README.md", BODY)]
