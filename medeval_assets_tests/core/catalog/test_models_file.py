from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medeval_assets.catalog.model_spec import EngineNeeds, ModelSpec
from medeval_assets.catalog.models_file import find_models, read_models
from medeval_assets.errors import BadInput
from medeval_assets.settings import Settings

GOOD = "models:\n  good: {checkpoint: 'hub:org/good', role: generalist}\n"

# Each line that is wrong says in its comment which field of which entry is, and with which words.
BAD = """\
models:
  good: {checkpoint: 'hub:a/b', role: generalist}
  Bad|Key:  # models.Bad|Key: not a usable key
    checkpoint: hub:a/b
    role: generalist
  good: {checkpoint: 'hub:a/c', role: generalist}  # models.good: already used in line 2
  nowhere:
    checkpoint: hub:a/b
    role: biomedical
    base: goood  # models.nowhere.base: Did you mean `good`?
    chat_template: as:gooood  # models.nowhere.chat_template: Did you mean `good`?
    chta_template: none  # models.nowhere.chta_template: Did you mean `chat_template`?
    title: one
    title: two  # models.nowhere.title: already used in line 13
    engine:
      gpus: "1"  # models.nowhere.engine.gpus: expected a whole number, found text
      dtype: bf16  # models.nowhere.engine.dtype: Did you mean `bfloat16`?
      gpu: 3  # models.nowhere.engine.gpu: Did you mean `gpus`?
      context: 0  # models.nowhere.engine.context: less than 1
  itself:
    extends: good
    base: itself  # models.itself.base: a pair with itself
  round:
    extends: robin  # models.round.extends: `round` → `robin` → `round`
  robin:
    extends: round
    role: general  # models.robin.role: Did you mean `generalist`?
  values:
    extends: good
    revision: 1.5  # models.values.revision: expected text, found a number
    demo: "yes"  # models.values.demo: expected true or false
    size: [7, B]  # models.values.size: expected text, found a list
    licence: 2024-99-99  # models.values.licence: not a readable value
    engine:
      tensor_parallel: 4  # models.values.engine.tensor_parallel: exceeds the 1 GPUs
  elsewhere:
    checkpoint: served:gpt-x
    role: generalist
    engine:
      name: openai
      server: http://me:pa55word@h/v1  # models.elsewhere.engine.server: not the address of a server
  nothing-here: {checkpoint: 'served:gpt-x', role: generalist}  # models.nothing-here.engine: without a server
  lacking:  # models.lacking.checkpoint: the field is missing
    role: generalist
  child-of-lacking: {extends: lacking}
  number: 12  # models.number: not a mapping
  child-of-number: {extends: number}
  orphan: {extends: nobody-at-all}  # models.orphan.extends: no model `nobody-at-all`
  first: {extends: good, chat_template: 'as:second'}  # models.first.chat_template: goes in a circle
  second: {extends: good, chat_template: 'as:first'}
  own: {extends: good, chat_template: 'as:own'}  # models.own.chat_template: goes in a circle
  engine: {extends: good, engine: 3}  # models.engine.engine: expected a mapping, found a number
  place: {extends: good, checkpoint: 's3://bucket'}  # models.place.checkpoint: Write `hub:org/name`
  pinned: {extends: good, checkpoint: 'folder:x', revision: main}  # models.pinned.revision: without a `hub:`
  ? [a, b]  # models: a name that is no plain text
  : {extends: good}
extra: 1  # extra: unknown field
"""


def write(folder: Path, text: str, name: str = "models.yaml") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(*paths: Path) -> list[str]:
    with pytest.raises(BadInput) as caught:
        read_models(paths)
    return [str(problem) for problem in caught.value.problems]


def test_all_that_is_wrong_comes_in_one_message_with_its_line(tmp_path: Path) -> None:
    expected = [
        (f"models.yaml:{number} {comment.partition(': ')[0]}: ", comment.partition(": ")[2])
        for number, line in enumerate(BAD.splitlines(), 1)
        if (comment := line.partition("  # ")[2])
    ]
    found = problems_of(write(tmp_path, BAD))
    assert [problem.split(": ")[0] + ": " for problem in found] == [where for where, _ in expected]
    for problem, (_, words) in zip(found, expected, strict=True):
        assert words in problem


def test_lists_are_read_whatever_they_hold(tmp_path: Path) -> None:
    entry = (
        "models:\n  a: {checkpoint: 'served:x', role: generalist, engine: {name: openai, server: 'http://h', MAY}}\n"
    )
    tasks = write(tmp_path, entry.replace("MAY", "may_leave: [mednli, meqsum]"))
    assert read_models([tasks])["a"].engine.may_leave == ["mednli", "meqsum"]
    [problem] = problems_of(write(tmp_path, entry.replace("MAY", "may_leave: mednli")))
    assert "engine.may_leave: expected a list, found text. Write `[one, two]`." in problem
    for wrong in ("[1]", "[[mednli]]", "&a [*a]", "[{mednli: yes}]"):
        [problem] = problems_of(write(tmp_path, entry.replace("MAY", f"may_leave: {wrong}")))
        assert "expected text, found" in problem


def test_no_message_shows_a_password(tmp_path: Path) -> None:
    assert "pa55word" in BAD
    assert "pa55word" not in "".join(problems_of(write(tmp_path, BAD)))


def test_problems_of_all_files_come_together_and_tell_the_files_apart(tmp_path: Path) -> None:
    shipped = write(tmp_path / "shipped", "models:\n  a: {checkpoint: x, role: generalist}\n")
    own = write(tmp_path / "own", "models:\n  a: {checkpoint: 'hub:o/a', role: generalist}\n  b: {extends: c}\n")
    found = problems_of(shipped, own)
    assert [problem.split(": ")[0] for problem in found] == [
        "shipped/models.yaml:2 models.a.checkpoint",
        "own/models.yaml:2 models.a",
        "own/models.yaml:3 models.b.extends",
    ]
    assert "already used at shipped/models.yaml:2" in found[1]


@pytest.mark.parametrize(
    ("content", "where", "words"),
    [
        (b"", "models.yaml", "the file is empty"),
        (b"# only a comment\n", "models.yaml", "the file is empty"),
        (b"- a\n", "models.yaml:1", "not a mapping"),
        (b"models:\n  a: {role\n", "models.yaml:3", "not YAML"),
        (b"models:\n\t a: 1\n", "models.yaml:2", "not YAML"),
        (b"models: {}\n---\nmodels: {}\n", "models.yaml:2", "not YAML"),
        (b"models: *nowhere\n", "models.yaml:1", "not YAML"),
        (b"models:\n  a: caf\xe9\n", "models.yaml:2", "0xe9 is not UTF-8"),
        (b"models:\n  a: \x07\n", "models.yaml:2", "control character"),
        (b"models: " + b"[" * 100_000, "models.yaml", "nested too deeply"),
        (b"models: {}\n", "models.yaml:1 models", "not a mapping of keys"),
        (b"models:\n", "models.yaml:1 models", "not a mapping of keys"),
        (b"model: {}\n", "models.yaml:1 model", "one field, `models`"),
        (b"#" * 5_000_000, "models.yaml", "larger than"),
    ],
)
def test_a_file_that_is_no_catalog(tmp_path: Path, content: bytes, where: str, words: str) -> None:
    path = tmp_path / "models.yaml"
    path.write_bytes(content)
    found = problems_of(path)[0]
    assert found.startswith(f"{where}: ")
    assert words in found


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "absent.yaml")[0].startswith("absent.yaml: cannot be read")


def test_an_unreadable_file_makes_no_links_point_nowhere(tmp_path: Path) -> None:
    broken = write(tmp_path, "models: [", "broken.yaml")
    own = write(tmp_path, "models:\n  b: {extends: in-the-broken-one}\n", "own.yaml")
    found = problems_of(broken, own)
    assert len(found) == 1
    assert found[0].startswith("broken.yaml")


def test_messages_do_not_echo_what_is_huge_or_unprintable(tmp_path: Path) -> None:
    long, key = "x" * 5000, "k" * 1000
    fields = f'checkpoint: {long}, role: {long}, base: "\\x9b31m", {key}: 1, engine: {{dtype: {long}}}'
    found = "\n".join(problems_of(write(tmp_path, f"models:\n  {key}: {{{fields}}}\n")))
    assert "31m" in found
    assert len(found) < 3000
    assert "\x9b" not in found


@given(st.dictionaries(st.text(min_size=1, max_size=12), st.text(max_size=12), min_size=1, max_size=4))
def test_any_entry_is_read_or_refused_at_its_line(
    tmp_path_factory: pytest.TempPathFactory, entry: dict[str, str]
) -> None:
    import json

    # JSON is YAML, apart from letters that YAML refuses and that json.dumps writes as escapes.
    text = "models:\n  m: " + json.dumps(entry) + "\n"
    path = write(tmp_path_factory.mktemp("catalog"), text)
    try:
        assert list(read_models([path])) == ["m"]
    except BadInput as error:
        assert all(problem.where.startswith("models.yaml:2 models.m") for problem in error.problems)


EXTENDED = """\
models:
  child:
    extends: parent
    checkpoint: folder:../weights
    engine: {gpus: 4, tensor_parallel: 4}
  grandchild:
    extends: child
    base: null
    note: own
  parent:
    title: The parent
    checkpoint: hub:org/parent
    role: biomedical
    base: general
    note: a note
    demo: true
    engine: {dtype: bfloat16, context: 4096, gpus: 1}
  general: {checkpoint: 'hub:org/general', role: generalist, chat_template: 'file:templates/a.jinja'}
"""


def test_extending_takes_over_every_field_but_the_key(tmp_path: Path) -> None:
    models = read_models([write(tmp_path / "catalog", EXTENDED)])
    assert list(models) == ["child", "grandchild", "parent", "general"]
    child = models["child"]
    assert child == ModelSpec(
        key="child",
        title="The parent",
        checkpoint=f"folder:{tmp_path / 'catalog' / '..' / 'weights'}",
        role="biomedical",
        base="general",
        note="a note",
        demo=True,
        engine=EngineNeeds(gpus=4, dtype="bfloat16", context=4096, tensor_parallel=4),
    )
    assert models["grandchild"] == child.model_copy(update={"key": "grandchild", "base": None, "note": "own"})


def test_paths_start_from_the_file_they_are_written_in(tmp_path: Path) -> None:
    shipped = write(tmp_path / "shipped", EXTENDED)
    own = write(tmp_path / "own", "models:\n  mine: {extends: general, checkpoint: 'folder:w'}\n")
    mine = read_models([shipped, own])["mine"]
    assert mine.checkpoint == f"folder:{tmp_path / 'own' / 'w'}"
    assert mine.chat_template == f"file:{tmp_path / 'shipped' / 'templates' / 'a.jinja'}"


def test_a_key_that_begins_like_another_inherits_from_it(tmp_path: Path) -> None:
    text = "models:\n  m: {extends: m.1, role: wrong}\n  m.1: {checkpoint: 'nowhere', role: generalist}\n"
    found = problems_of(write(tmp_path, text))
    assert [problem.split(": ")[0] for problem in found] == [
        "models.yaml:2 models.m.role",
        "models.yaml:3 models.m.1.checkpoint",
    ]


def test_a_long_chain_of_extends(tmp_path: Path) -> None:
    links = "".join(f"  m{i}: {{extends: m{i + 1}}}\n" for i in range(300))
    models = read_models([write(tmp_path, f"models:\n{links}  m300: {{checkpoint: 'hub:o/m', role: generalist}}\n")])
    assert {model.checkpoint for model in models.values()} == {"hub:o/m"}


def test_models_are_found_by_name_and_unknown_ones_all_named(tmp_path: Path) -> None:
    models = read_models([write(tmp_path, EXTENDED)])
    assert [model.key for model in find_models(["parent", "child", "parent"], models)] == ["parent", "child"]
    with pytest.raises(BadInput) as caught:
        find_models(["child", "genral", "x|y"], models)
    first, second = caught.value.problems
    assert (first.where, first.remedy) == ("model `genral`", "Did you mean `general`?")
    assert second.remedy == "Known: child, general, grandchild, parent."


def test_the_shipped_catalog() -> None:
    models = read_models(Settings.from_environment({"MEDEVAL_HOME": "nowhere"}).catalog_files)
    baselines = [f"baseline-{kind}" for kind in ("majority", "random", "copy")]
    assert [key for key, model in models.items() if model.demo] == ["smollm2-135m", "smollm2-135m-plain", *baselines]
    assert [(key, m.checkpoint) for key, m in models.items() if m.role == "baseline"] == [
        (key, key.replace("-", ":")) for key in baselines
    ]
    for model in models.values():
        assert model.role in {"generalist", "baseline"} or model.base is not None, model.key
        if model.base is not None:
            pair = models[model.base]
            assert (pair.role, pair.kind) == ("generalist", model.kind)
            # The demo has no biomedical model: it compares one with itself under another template.
            assert model.role == ("generalist" if model.demo else "biomedical")
            assert (model.engine.gpus, model.engine.dtype) == (pair.engine.gpus, pair.engine.dtype), model.key
    own, llama = models["openbiollm-8b"], models["openbiollm-8b-llama3-template"]
    assert (own.checkpoint, own.engine, own.base) == (llama.checkpoint, llama.engine, llama.base)
    assert (own.chat_template, llama.chat_template) == ("tokenizer", "as:llama-3-8b-instruct")
