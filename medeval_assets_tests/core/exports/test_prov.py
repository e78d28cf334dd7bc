"""PROV-JSON is what the W3C says it is, is read whole by the library for it, and says who made what from what, once."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import prov.model
import pytest

from medeval_assets.catalog.task_spec import Access
from medeval_assets.exports.making import making_of, named
from medeval_assets.exports.openlineage_events import events_of
from medeval_assets.exports.prov import prov_document
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation, InputRecord, LineageRecord, RawFileRecord
from medeval_assets.lake.tables import TABLES
from medeval_assets.trace.chain import chain_of
from medeval_assets_tests.core.audit.small_lakes import SmallLake, every_kind, row_of

DATASET = LakeKey("datasets", task="mednli")

Document = dict[str, Any]


@pytest.fixture
def small(tmp_path: Path) -> SmallLake:
    return every_kind(tmp_path / "lake")


def record(**changes: Any) -> LineageRecord:
    about: dict[str, Any] = {
        "asset": "generations",
        "model": "m",
        "task": "mednli",
        "derivation": Derivation(code_version="1"),
        "content_sha256": "a" * 64,
        "rows": 2,
        "run_id": "run",
        "created_at": "2026-11-27T12:00:00.000001+00:00",
        "package_version": "0.1.0",
        "git_commit": "",
        "git_dirty": False,
    }
    return LineageRecord(**about | changes)


def whole(lake: Lake) -> Document:
    return prov_document(lake.records([key for asset in TABLES for key in lake.keys(asset)]))


def read(document: Document) -> prov.model.ProvDocument:
    return prov.model.ProvDocument.deserialize(content=json.dumps(document), format="json")


def awkward() -> Document:
    """Everything in a record that a name or a value could stumble over."""
    model = 'a=b/c|d "e" (f), [g]: é \u202e ∑'
    derivation = Derivation(
        code_version='1;"2"',
        inputs=(InputRecord(asset="prompt_sets", task="t=u/v", content_sha256="b" * 64),),
        raw_files=(RawFileRecord(name="dev set (2).jsonl", sha256="c" * 64, size=3 * 2**40),),
        model={"checkpoint": "hub:org/name@main", "weights_sha256": "", "server": "llm.ward7.example"},
    )
    return prov_document(
        [record(model=model, derivation=derivation, licence='CC BY 4.0; "other"\n', package_version="0.1.0+local.1")]
    )


def documents(small: SmallLake) -> dict[str, Document]:
    version = min(small.lake.versions(DATASET), key=lambda version: small.lake.version_record(version).created_at)
    removal = small.lake.remove(version, "retention")
    cell = chain_of(small.lake, LakeKey("metric_tables", "biomed", "mednli"))
    return {
        "whole": whole(small.lake),
        "chain": prov_document([link.record for link in cell.tables() if link.record is not None]),
        "removed": prov_document([removal.record], [removal]),
        "awkward": awkward(),
        "empty": prov_document([]),
    }


def test_every_document_is_as_the_schema_of_prov_json_says(small: SmallLake) -> None:
    schema = json.loads(files("prov").joinpath("tests/schemas/prov-json.schema.json").read_text(encoding="utf-8"))
    checked = jsonschema.validators.validator_for(schema)(schema)
    for name, document in documents(small).items():
        assert [error.message for error in checked.iter_errors(document)] == [], name
    assert [*checked.iter_errors({**whole(small.lake), "wasMadeBy": {}})]


@pytest.mark.parametrize("through", ["json", "provn", "jsonld"])
def test_every_document_is_read_whole_and_comes_back_the_same(small: SmallLake, through: str) -> None:
    for name, document in documents(small).items():
        found = read(document)
        statements = sum(len(document[kind]) for kind in document if kind != "prefix")
        assert len(list(found.get_records())) == statements, name
        text = found.get_provn() if through == "provn" else found.serialize(format=through)
        assert prov.model.ProvDocument.deserialize(content=text, format=through) == found, name


def test_names_can_stand_in_every_notation(small: SmallLake) -> None:
    for document in documents(small).values():
        names = [name for kind in ("entity", "activity", "agent") for name in document.get(kind, {})]
        assert all(re.fullmatch(r"medeval:[a-z]+-[0-9a-f-]{36}", name) for name in names)


def test_values_keep_their_kinds_and_are_told_as_they_are() -> None:
    found = read(awkward())
    by_type = {
        str(one.get_asserted_types().copy().pop()): one for one in found.get_records() if one.get_asserted_types()
    }
    assert set(by_type) == {
        *("medeval:table", "medeval:content", "medeval:raw_file", "medeval:model", "medeval:making"),
        "prov:SoftwareAgent",
    }

    def value(kind: str, name: str) -> Any:
        (found,) = by_type[f"medeval:{kind}"].get_attribute(f"medeval:{name}")
        return found

    assert value("table", "model") == 'a=b/c|d "e" (f), [g]: é \u202e ∑'
    assert (value("table", "rows"), value("table", "synthetic")) == (2, False)
    assert value("raw_file", "size") == 3 * 2**40
    assert value("model", "checkpoint") == "hub:org/name@main"
    assert "ward7" not in json.dumps(awkward())


def _ends(document: Document, kind: str, first: str, second: str) -> set[tuple[str, str]]:
    return {(one[f"prov:{first}"], one[f"prov:{second}"]) for one in document.get(kind, {}).values()}


def test_every_table_was_generated_once_by_its_own_making_and_specializes_its_content(small: SmallLake) -> None:
    document = whole(small.lake)
    records = small.lake.records([key for asset in TABLES for key in small.lake.keys(asset)])
    tables = {f"medeval:table-{making_of(one)}": one for one in records}
    generated = _ends(document, "wasGeneratedBy", "entity", "activity")
    assert generated == {(name, name.replace("table", "making")) for name in tables}
    contents = dict(_ends(document, "specializationOf", "specificEntity", "generalEntity"))
    assert contents.keys() == tables.keys()
    used = _ends(document, "used", "activity", "entity")
    derived = _ends(document, "wasDerivedFrom", "generatedEntity", "usedEntity")
    assert {(name.replace("table", "making"), source) for name, source in derived} == used
    by_content = {(one.key, one.content_sha256): contents[name] for name, one in tables.items()}
    assert derived == {
        (name, by_content[source.key, source.content_sha256])
        for name, one in tables.items()
        for source in one.derivation.inputs
    }
    # What is named is there, and an end is known but no beginning.
    named_there = {*document["entity"], *document["activity"], *document["agent"]}
    for kind in ("used", "wasGeneratedBy", "wasDerivedFrom", "wasAssociatedWith", "specializationOf"):
        for relation in document[kind].values():
            assert {value for name, value in relation.items() if name != "prov:time"} <= named_there
    for name, one in tables.items():
        making = document["activity"][name.replace("table", "making")]
        assert (making["prov:endTime"], "prov:startTime" in making) == (one.created_at, False)


def test_the_same_content_made_twice_is_one_content_and_two_tables() -> None:
    first = record()
    second = record(run_id="another", created_at="2026-11-28T12:00:00+00:00")
    together = read(prov_document([first, second]))
    apart = read(prov_document([first]))
    apart.update(read(prov_document([second])))
    assert apart.unified() == together.unified()
    for document in (together, apart.unified()):
        generations = Counter(str(one.args[0]) for one in document.get_records(prov.model.ProvGeneration))
        assert sorted(generations.values()) == [1, 1]
        general = {str(one.args[1]) for one in document.get_records(prov.model.ProvSpecialization)}
        assert len(general) == 1


def test_what_is_known_of_a_thing_does_not_depend_on_the_document(small: SmallLake) -> None:
    everything = whole(small.lake)
    for key in (LakeKey("metric_tables", "biomed", "mednli"), LakeKey("comparisons"), DATASET):
        part = prov_document([link.record for link in chain_of(small.lake, key).tables() if link.record is not None])
        for kind in part:
            assert part[kind].items() <= everything[kind].items(), kind
    assert whole(small.lake) == everything


def test_other_names_hashes_or_templates_are_other_things() -> None:
    def names(**changes: Any) -> set[str]:
        document = prov_document([record(derivation=Derivation(code_version="1", **changes))])
        return {name for name in document["entity"] if name.startswith(("medeval:model", "medeval:file"))}

    model = {"checkpoint": "hub:m", "weights_sha256": "1", "chat_template_sha256": "2"}
    seen = [
        names(model=model),
        names(model=model | {"chat_template_sha256": "3"}),
        names(raw_files=(RawFileRecord(name="a", sha256="1", size=1),)),
        names(raw_files=(RawFileRecord(name="b", sha256="1", size=1),)),
        names(raw_files=(RawFileRecord(name="a", sha256="2", size=1),)),
    ]
    assert len(set().union(*seen)) == sum(map(len, seen)) == 5
    assert named("a", "b") != named("a\0b", "") != named("ab")


def test_a_removal_ends_the_table_and_not_its_content(small: SmallLake) -> None:
    (version, *_) = small.lake.versions(DATASET)
    removal = small.lake.remove(version, "purge")
    document = prov_document([removal.record], [removal])
    ((table, activity),) = _ends(document, "wasInvalidatedBy", "entity", "activity")
    assert table == f"medeval:table-{making_of(removal.record)}"
    assert document["activity"][activity]["prov:endTime"] == removal.removed_at
    assert document["activity"][activity]["prov:type"]["$"] == "medeval:purge"
    (invalidation,) = read(document).get_records(prov.model.ProvInvalidation)
    assert invalidation.args[2].isoformat() == removal.removed_at


def test_a_making_has_the_same_name_as_in_openlineage(small: SmallLake) -> None:
    runs = {event.run.runId for event in events_of(small.lake) if hasattr(event, "run")}
    makings = {name.partition("-")[2] for name in whole(small.lake)["activity"]}
    assert makings == runs


def test_nothing_of_a_row_is_in_a_document(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    rows = [row_of("datasets") | {"cluster_id": "zyxomeride"}]
    lake.write(DATASET, rows, Derivation(code_version="1"), run_id="run", access=Access.CREDENTIALED)
    told = json.dumps(whole(lake))
    assert "credentialed" in told
    assert "zyxomeride" not in told
    assert str(tmp_path) not in told
