"""Imports point one way, floor by floor, and only the upper floors know Dagster."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import medeval_assets

PACKAGE = Path(medeval_assets.__file__).parent

# From the ground up. A module may import from its own floor and from those below it.
FLOORS = [
    {"errors", "printable", "settings"},
    {"catalog"},
    {"lake", "parsers", "sources", "progress"},
    {"metrics", "statistics"},
    {"tasks", "prompts", "comparisons"},
    {"reports"},
    {"engines"},
    {"recipes"},
    {"plan", "audit", "trace", "exports", "retention"},
    {"partitions", "resources"},
    {"instance", "turns", "event_log", "settled", "assets", "checks"},
    {"automation"},
    {"definitions"},
    {"evaluation", "console"},
    {"cli"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
DAGSTER_FROM = FLOOR["partitions"]


def imports(path: Path) -> Iterator[str]:
    """Dotted names a file imports, wherever in it; imports for the type checker alone are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            yield str(node.module)


def test_no_import_points_up_and_the_core_does_not_know_dagster() -> None:
    against: list[str] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        room = place.parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for name in imports(path):
            if name.split(".")[0] == "dagster" and FLOOR[room] < DAGSTER_FROM:
                against.append(f"{place} imports dagster")
            if name.startswith("medeval_assets.") and FLOOR[name.split(".")[1]] > FLOOR[room]:
                against.append(f"{place} imports {name}")
    assert against == []
