"""The lake's reference pages say what is declared, and what they say is true of real files, read with pyarrow alone.

To accept a change of the declarations: `MEDEVAL_ACCEPT_SNAPSHOT=1 make unit`, then look at the difference.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from medeval_assets.lake.reference import record_schema, tables_page
from medeval_assets.lake.tables import TABLES
from medeval_assets_tests.core.audit.small_lakes import every_kind

DOCS = Path(__file__).resolve().parents[3] / "docs"

# What a reviewer would write who has the files, pyarrow, and nothing of ours.
_READ = """
import json, pathlib, sys
import pyarrow.parquet as pq

for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.parquet")):
    record = json.loads(pq.read_schema(path).metadata[b"medeval.lineage"])
    print(json.dumps({"path": str(path), "rows": pq.read_metadata(path).num_rows, "record": record}))
assert not [name for name in sys.modules if name.startswith(("medeval", "pydantic", "pandas"))]
"""


@pytest.mark.parametrize(
    ("name", "now"),
    [
        ("lineage_record.schema.json", json.dumps(record_schema(), indent=1, ensure_ascii=False) + "\n"),
        ("tables.md", tables_page()),
    ],
)
def test_the_pages_are_those_of_the_declarations(name: str, now: str) -> None:
    page = DOCS / name
    if os.environ.get("MEDEVAL_ACCEPT_SNAPSHOT"):
        page.write_text(now, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == now


def test_every_record_is_as_the_published_schema_says_and_needs_nothing_but_pyarrow(tmp_path: Path) -> None:
    small = every_kind(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(small.root)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    files = [json.loads(line) for line in done.stdout.splitlines()]
    schema = json.loads((DOCS / "lineage_record.schema.json").read_text(encoding="utf-8"))
    checked = jsonschema.Draft202012Validator(schema)
    assert {file["record"]["asset"] for file in files} == set(TABLES)
    for file in files:
        assert [error.message for error in checked.iter_errors(file["record"])] == []
        assert file["rows"] == file["record"]["rows"]
        assert [*checked.iter_errors({**file["record"], "host": "a"})]
