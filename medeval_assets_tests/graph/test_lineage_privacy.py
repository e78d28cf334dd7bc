"""Lineage tells of credentialed data without their text: whatever asks for it, wherever it is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medeval_assets.instance import open_instance
from medeval_assets.lake.key import LakeKey
from medeval_assets_tests.graph.small_platform import SmallPlatform, new_platform
from medeval_assets_tests.graph.test_privacy import MARKER, holding, nli_rows, write_nli
from medeval_assets_tests.graph.test_purge import medeval, texts_of_tables

MODEL = "elsewhere"
TEXTS = {"datasets", "prompt_sets", "generations"}
"""The tables that hold texts of examples."""


@pytest.fixture(scope="module")
def evaluated_once(roomy_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallPlatform:
    """A model whose answers quote credentialed text, on data of which there are two versions."""
    answers = [{"example_id": f"pair-{n}", "text": f"entailment, for {MARKER}"} for n in range(6)]
    with new_platform(tmp_path_factory.mktemp("evaluated") / "home", roomy_checkpoint) as platform:
        folder = platform.settings.external / MODEL
        folder.mkdir(parents=True)
        (folder / "mednli.jsonl").write_text("".join(json.dumps(answer) + "\n" for answer in answers))
        for count in (5, 6):
            write_nli(platform, [json.dumps(row) for row in nli_rows()[:count]])
            assert platform.evaluate([MODEL], ["mednli"], limit=None).problems == []
        for asset in TEXTS:
            key = LakeKey(asset, MODEL if asset == "generations" else "", "mednli")
            assert MARKER in json.dumps(platform.lake.rows(key))
        return platform


@pytest.fixture
def evaluated(evaluated_once: SmallPlatform, platform: SmallPlatform) -> SmallPlatform:
    """A copy of it."""
    return evaluated_once.copied(platform.settings.home)


def test_what_is_told_of_credentialed_data_never_quotes_them(evaluated: SmallPlatform, tmp_path: Path) -> None:
    settings = evaluated.settings
    with open_instance(settings) as instance:
        assert evaluated.run(instance, "audit_lineage", {})
    given = tmp_path / "given"
    given.mkdir()
    card, database, events = given / "README.md", given / "lake.duckdb", given / "events.jsonl"
    commands = [
        ["audit"],
        ["audit", "--full", "--json"],
        ["audit", "--seal", "--to", str(given / "seal.json")],
        ["audit", "--verify", str(given / "seal.json")],
        ["trace", MODEL, "mednli"],
        ["trace", MODEL, "mednli", "--json"],
        ["trace", MODEL, "mednli", "--example", f"{MARKER} pair-9"],
        ["plan", "-m", MODEL, "-t", "mednli", "--json"],
        ["export", "openlineage", str(events), "--all"],
        ["export", "prov"],
        ["export", "prov", MODEL, "mednli"],
        ["export", "model-card", MODEL, "--out", str(card)],
        ["export", "results", MODEL],
        ["export", "duckdb", str(database)],
        ["prune", "--older-than", "0"],
        ["purge", "mednli", "--yes"],
        ["audit"],
        ["trace", MODEL, "mednli"],
        ["export", "results", MODEL],
    ]
    for command in commands:
        code, said = medeval(evaluated, *command)
        # Only what the caller wrote itself is repeated.
        expected = 1 if MARKER in " ".join(command) else 0
        assert code == expected, (command, said)
        assert said or command[:2] == ["export", "model-card"], command
        assert MARKER not in said.replace(f"{MARKER} pair-9", ""), command
    assert {path.name for path in given.iterdir()} == {"README.md", "lake.duckdb", "events.jsonl", "seal.json"}
    assert holding(given, MARKER)[0] == set()
    assert holding(given, "datasets")[0] >= {"events.jsonl", "lake.duckdb", "seal.json"}
    # Dagster's storage with the audit's pages; then everything else that stays after a purge, packed tables too.
    found, looked = holding(settings.dagster, MARKER)
    assert (found, looked > 100) == (set(), True)
    assert holding(settings.dagster, "lineage_audit")[0]
    left = {path for path, text in texts_of_tables(settings.home).items() if MARKER in text}
    assert left | holding(settings.lake, MARKER)[0] == set()


def test_an_example_is_shown_to_whoever_asks_for_it_and_kept_nowhere(evaluated: SmallPlatform) -> None:
    before = {path for path in evaluated.settings.home.rglob("*") if path.is_file()}
    asked = str(evaluated.lake.rows(LakeKey("generations", MODEL, "mednli"))[0]["example_id"])
    code, said = medeval(evaluated, "trace", MODEL, "mednli", "--example", asked)
    assert code == 0, said
    assert MARKER in said
    assert "credentialed" in said
    assert {path for path in evaluated.settings.home.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_errors_of_damaged_tables_never_quote_them(evaluated: SmallPlatform, damage: str) -> None:
    for asset in TEXTS:
        key = LakeKey(asset, MODEL if asset == "generations" else "", "mednli")
        path = Path(evaluated.lake.path(key))
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content[:-7] if damage == "cut" else b"PAR1" + MARKER.encode() * 20 + b"PAR1")
    for command in (
        ["audit"],
        ["trace", MODEL, "mednli"],
        ["trace", MODEL, "mednli", "--example", "pair-3"],
        ["trace", MODEL, "mednli", "--replay"],
        ["plan", "-m", MODEL, "-t", "mednli"],
        ["export", "openlineage", str(evaluated.settings.home.parent / "events.jsonl")],
        ["export", "prov"],
        ["export", "results", MODEL],
    ):
        _, said = medeval(evaluated, *command)
        assert MARKER not in said, command
        assert "Traceback" not in said
    assert medeval(evaluated, "audit")[0] == 1
