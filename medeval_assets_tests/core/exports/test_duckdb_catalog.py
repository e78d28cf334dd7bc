"""The database shows the lake's current tables, wherever the lake lies and whatever is in it, and holds no row."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from medeval_assets.catalog.task_spec import Access
from medeval_assets.errors import BadInput
from medeval_assets.exports.duckdb_catalog import FOLDERS, write_catalog
from medeval_assets.lake import migrations
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets.lake.tables import TABLES, column_descriptions
from medeval_assets_tests.core.audit.small_lakes import every_kind
from medeval_assets_tests.core.exports.measured import EXAMPLE_ID, HEADLINE, TEXT, measure, metric_row
from medeval_assets_tests.core.exports.test_model_card import as_nobody


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two lakes, each with a cell of one model."""
    folder = tmp_path_factory.mktemp("lakes")
    for model in ("biomed", "other"):
        measure(Lake(folder / model), model)
    return folder


@pytest.fixture
def empty(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def lake(made: Path, tmp_path: Path) -> Lake:
    """A lake with one cell: biomed on mednli."""
    return copied(made, "biomed", tmp_path / "lake")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "database" / "lake.duckdb"


@pytest.fixture(autouse=True)
def folder(file: Path) -> Path:
    """The folder of the database, with nothing in it."""
    file.parent.mkdir()
    return file.parent


def copied(made: Path, model: str, to: Path) -> Lake:
    shutil.copytree(made / model, to)
    return Lake(to)


def exported(lake: Lake, file: Path) -> list[str]:
    views = write_catalog(lake, file)
    assert list(file.parent.iterdir()) == [file]
    return views


def asked(file: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with duckdb.connect(file, read_only=True) as database:
        return database.execute(query, list(values)).fetchall()


def test_every_table_is_a_view_with_all_its_columns_and_rows(tmp_path: Path, file: Path) -> None:
    small = every_kind(tmp_path / "lake")
    assert exported(small.lake, file) == list(TABLES)
    for asset in TABLES:
        (key,) = small.lake.keys(asset)
        with duckdb.connect(file, read_only=True) as database:
            table = database.sql(f"FROM {asset}").to_arrow_table()
        named = [name for name in FOLDERS[asset] if name not in small.lake.read(key).column_names]
        assert table.column_names == named + [name for name, _, _ in column_descriptions(asset)]
        for name in named:
            assert set(table.column(name).to_pylist()) == {getattr(key, name)}
        shown = table.drop_columns(named)
        assert shown.to_pylist() == small.lake.read(key).to_pylist()


def test_columns_of_maps_lists_and_structs_can_be_asked(lake: Lake, file: Path) -> None:
    exported(lake, file)
    query = "SELECT inputs['premise'], map_keys(options), targets[1], documents[1].document_id FROM datasets"
    assert asked(file, query) == [(f"{TEXT} 1", ["A"], TEXT, EXAMPLE_ID)]
    assert asked(file, "SELECT messages[1].content, shots FROM prompt_sets") == [(TEXT, [EXAMPLE_ID])]


def test_what_views_and_columns_mean_stands_in_the_catalogue_and_in_comments(tmp_path: Path, file: Path) -> None:
    lake = every_kind(tmp_path / "lake").lake
    exported(lake, file)
    told = {(table, column): (kind, about) for table, column, kind, about in asked(file, _CATALOGUE)}
    columns = "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal"
    commented = {(table, column): (kind, about) for table, column, kind, about in asked(file, columns)}
    assert told == {place: about for place, about in commented.items() if place[0] != "catalogue"}
    assert all(about for _, about in told.values())
    for asset in TABLES:
        for name, _, about in column_descriptions(asset):
            assert told[asset, name][1] == about
    assert told["generations", "model"] == ("VARCHAR", "Model key, from the folder of the file")
    assert told["datasets", "inputs"][0] == "MAP(VARCHAR, VARCHAR)"
    comments = dict(asked(file, "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal"))
    assert comments.keys() == {*TABLES, "lineage"}
    assert comments["scores"] == "One row an example and metric, by metric in the order shown, the headline first."
    assert all(comments.values())
    assert asked(file, "SELECT comment FROM duckdb_tables() WHERE table_name = 'catalogue'")[0][0]


_CATALOGUE = 'SELECT "table", "column", type, description FROM catalogue'


def test_the_catalogue_tells_who_may_see_rows_and_which_are_synthetic(lake: Lake, file: Path) -> None:
    measure(lake, task="medqa", access=Access.PUBLIC, synthetic=True)
    lake.write(
        LakeKey("metric_tables", "biomed", "nejm"),
        [HEADLINE],
        Derivation(code_version="1"),
        run_id="r",
        access=Access.COPYRIGHTED,
    )
    lake.write(LakeKey("leaderboard"), [], Derivation(code_version="1"), run_id="r", synthetic=True)
    exported(lake, file)
    found = {table: told for table, *told in asked(file, 'SELECT DISTINCT "table", access, synthetic FROM catalogue')}
    assert found["datasets"] == [["public", "credentialed"], "some"]
    assert found["metric_tables"] == [["public", "credentialed", "copyrighted"], "some"]
    assert found["leaderboard"] == [["public"], "all"]
    assert found["lineage"] == [[], "none"]


def test_the_record_of_every_current_table_can_be_asked_and_joined(lake: Lake, file: Path) -> None:
    record = measure(lake, task="medqa", synthetic=True)
    exported(lake, file)
    assert len(asked(file, "FROM lineage")) == 10
    query = """SELECT value, access, licence, synthetic, rows, content_sha256, record->>'$.run_id', table_version
               FROM metric_tables JOIN lineage USING (model, task) WHERE asset = 'metric_tables' AND task = 'medqa'"""
    assert asked(file, query) == [(0.625, "credentialed", "DUA 1.5", True, 1, record.content_sha256, "r", 1)]
    (written,) = asked(file, "SELECT max(created_at) FROM lineage")
    assert f"{written[0].isoformat()}+00:00" == record.created_at


@pytest.mark.parametrize("key", ["007", "2024-01-01", "true", "null", "1e3", "a.b-c_d"])
def test_keys_are_texts_whatever_they_look_like(empty: Lake, file: Path, key: str) -> None:
    lake = empty
    for task in ("7", key):
        lake.write(LakeKey("metric_tables", key, task), [HEADLINE], Derivation(code_version="1"), run_id="r")
    exported(lake, file)
    query = "SELECT DISTINCT model, task, typeof(model), typeof(task) FROM metric_tables ORDER BY ALL"
    assert asked(file, query) == sorted([(key, key, "VARCHAR", "VARCHAR"), (key, "7", "VARCHAR", "VARCHAR")])
    assert asked(file, "SELECT count(*) FROM metric_tables WHERE model = ? AND task = '7'", key) == [(1,)]


@pytest.mark.parametrize(
    "name",
    [
        *("a[b]c", "a[!b]", "[a-z]", "a]b", "a*b", "**", "a?b", "a'b", "'; DROP TABLE x; --", 'a"b', "a{b,c}d", "a b"),
        *(
            "model=x",
            "task=y",
            "a%20b",
            "~",
            "$HOME",
            "a#b",
            "a;b",
            "file:",
            "ä",
            "😀",
            "-",
            "data.parquet",
            "_versions",
        ),
    ],
)
def test_a_lake_in_a_folder_of_any_name_is_read_and_no_other(made: Path, tmp_path: Path, file: Path, name: str) -> None:
    lake = copied(made, "biomed", tmp_path / name / "lake")
    # Folders that the name would match if it were a pattern.
    for other in ("a", "abc"):
        copied(made, "other", tmp_path / other / "lake")
    exported(lake, file)
    assert asked(file, "SELECT DISTINCT model, task FROM metric_tables") == [("biomed", "mednli")]
    assert asked(file, "SELECT DISTINCT model, task FROM lineage ORDER BY ALL") == [
        ("", "mednli"),
        ("biomed", "mednli"),
    ]
    assert asked(file, "SELECT count(*) FROM datasets") == [(1,)]


@pytest.mark.parametrize("name", ["a\\b", "a\nb", os.fsdecode(b"a\xff")])
def test_a_folder_that_duckdb_cannot_find_is_told(made: Path, tmp_path: Path, file: Path, name: str) -> None:
    lake = copied(made, "biomed", tmp_path / name / "lake")
    with pytest.raises(BadInput, match="DuckDB finds no files in a folder with such a name"):
        write_catalog(lake, file)
    assert not file.exists()


def test_folders_of_others_in_the_lake_are_no_statements_and_hide_no_table(lake: Lake, file: Path) -> None:
    source = Path(lake.path(LakeKey("metric_tables", "biomed", "mednli")))
    injected = "x'); CREATE TABLE hacked(a INT); --"
    for folder in (
        f"metric_tables/model={injected}/task=t",
        "datasets/model=x/task=mednli",
        "metric_tables/task=t",
        "other/model=m",
    ):
        place = Path(lake.root) / folder / "data.parquet"
        place.parent.mkdir(parents=True)
        shutil.copy(source, place)
    exported(lake, file)
    assert asked(file, "SELECT model FROM metric_tables ORDER BY ALL") == [("biomed",), (injected,)]
    assert asked(file, "SELECT task, example_id FROM datasets") == [("mednli", EXAMPLE_ID)]
    names = {name for (name,) in asked(file, "SELECT name FROM (SHOW ALL TABLES)")}
    assert names == {"catalogue", "lineage", "datasets", "prompt_sets", "generations", "scores", "metric_tables"}


def test_earlier_versions_and_drafts_are_not_seen(lake: Lake, file: Path) -> None:
    key = LakeKey("metric_tables", "biomed", "mednli")
    for number in (0.5, 0.75):
        lake.write(key, [metric_row(value=number)], Derivation(code_version="1"), run_id="r")
    assert len(lake.versions(key)) == 3
    shutil.copy(lake.path(key), Path(lake.path(key)).with_name(".0a.tmp"))
    exported(lake, file)
    assert asked(file, "SELECT value FROM metric_tables") == [(0.75,)]
    assert asked(file, "SELECT count(*) FROM lineage WHERE asset = 'metric_tables'") == [(1,)]


def test_what_is_written_later_shows_by_itself(lake: Lake, file: Path) -> None:
    exported(lake, file)
    measure(lake, "later", "medqa", synthetic=True)
    key = LakeKey("metric_tables", "biomed", "mednli")
    lake.write(key, [metric_row(value=0.125)], Derivation(code_version="1"), run_id="r")
    found = asked(file, "SELECT model, task, value FROM metric_tables ORDER BY ALL")
    assert found == [("biomed", "mednli", 0.125), ("later", "medqa", 0.625)]
    assert asked(file, "SELECT count(*) FROM lineage WHERE synthetic") == [(5,)]


def test_nothing_of_a_task_stays_after_its_data_were_purged(lake: Lake, file: Path) -> None:
    measure(lake, task="medqa")
    exported(lake, file)
    holding = [TEXT.encode(), EXAMPLE_ID.encode()]
    content = file.read_bytes()
    assert b"Stable id of the example" in content  # what is in it can be found: DuckDB packs no small database
    assert not [text for text in holding if text in content]
    for asset in ("datasets", "prompt_sets", "generations"):
        for key in lake.keys(asset):
            for version in lake.versions(key) if key.task == "mednli" else []:
                lake.remove(version, "purge")
    assert asked(file, "SELECT DISTINCT task FROM datasets") == [("medqa",)]
    assert asked(file, "SELECT DISTINCT task FROM metric_tables ORDER BY ALL") == [("mednli",), ("medqa",)]
    assert asked(file, "SELECT count(*) FROM lineage WHERE task = 'mednli' AND asset = 'generations'") == [(0,)]


def test_a_view_of_which_the_last_table_went_says_so_and_hinders_no_other(lake: Lake, file: Path) -> None:
    exported(lake, file)
    for version in lake.versions(LakeKey("datasets", task="mednli")):
        lake.remove(version, "purge")
    with pytest.raises(duckdb.IOException, match="No files found"):
        asked(file, "FROM datasets")
    assert asked(file, "SELECT count(*) FROM lineage") == [(4,)]
    assert "datasets" not in exported(lake, file)


def test_an_empty_lake_has_a_catalogue_without_rows(empty: Lake, file: Path) -> None:
    assert exported(empty, file) == []
    assert asked(file, "FROM catalogue") == []


def test_an_earlier_database_is_replaced_also_while_somebody_reads_it(lake: Lake, tmp_path: Path, file: Path) -> None:
    exported(Lake(tmp_path / "no-lake"), file)
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); print('open', flush=True); input()"
    reader = subprocess.Popen(
        [sys.executable, "-c", program, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "open\n"
    assert "metric_tables" in exported(lake, file)
    reader.communicate("\n")
    assert reader.returncode == 0
    assert len(asked(file, "FROM metric_tables")) == 1


def test_what_is_no_database_of_ours_stays(lake: Lake, file: Path, folder: Path) -> None:
    readme, touched, theirs, extended = (folder / name for name in ("README.md", "touched", "theirs", "extended"))
    readme.write_text("# Read me\n" * 500)
    touched.touch()
    with duckdb.connect(theirs) as database:
        database.execute("CREATE TABLE catalog AS SELECT 1 AS a")
    write_catalog(lake, extended)
    with duckdb.connect(extended) as database:
        database.execute("CREATE TABLE notes AS SELECT 'mine' AS note")
    before = {path: path.read_bytes() for path in (readme, touched, theirs, extended)}
    for path in (*before, folder):
        with pytest.raises(BadInput) as caught:
            write_catalog(lake, path)
        assert f"`{path.name}`: it is there already, and not a database that this command wrote" in str(caught.value)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_database_in_which_somebody_writes_stays(lake: Lake, file: Path) -> None:
    exported(lake, file)
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    writer = subprocess.Popen(
        [sys.executable, "-c", program, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "open\n"
    with pytest.raises(BadInput, match="not a database that this command wrote"):
        write_catalog(lake, file)
    writer.communicate("\n")
    exported(lake, file)


def test_a_folder_that_is_not_there_or_cannot_be_written_is_told(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"`x.duckdb`: the database cannot be written \(IOException\)"):
        write_catalog(lake, tmp_path / "none" / "x.duckdb")
    with tempfile.TemporaryDirectory() as name:  # below pytest's own, others may not even look
        folder = Path(name)
        with as_nobody(folder), pytest.raises(BadInput, match=r"the database cannot be written \(IOException\)"):
            write_catalog(Lake(folder / "no-lake"), folder / "x.duckdb")
        assert list(folder.iterdir()) == []


def test_on_a_full_disk_the_database_that_was_there_stays(lake: Lake, tmp_path: Path, file: Path) -> None:
    exported(Lake(tmp_path / "no-lake"), file)
    before = file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(BadInput, match=r"`lake\.duckdb`: the database cannot be written"):
            write_catalog(lake, file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in file.parent.iterdir()} == {file.name: before}


def test_a_lake_in_a_bucket_is_refused(file: Path) -> None:
    with pytest.raises(BadInput, match="Copy the lake to this machine"):
        write_catalog(Lake("memory://lake"), file)


def test_a_table_that_cannot_be_read_is_told_without_what_is_in_it(lake: Lake, file: Path) -> None:
    broken = Path(lake.path(LakeKey("generations", "biomed", "mednli")))
    content = broken.read_bytes()
    broken.unlink()
    broken.write_bytes(content[:100] + TEXT.encode())
    with pytest.raises(BadInput) as caught:
        write_catalog(lake, file)
    assert str(caught.value).startswith("the lake: its tables cannot be read (")
    assert TEXT not in str(caught.value)
    assert list(file.parent.iterdir()) == []


def test_a_record_that_makes_no_sense_hinders_no_view(lake: Lake, file: Path) -> None:
    path = Path(lake.path(LakeKey("metric_tables", "biomed", "mednli")))
    table = pq.read_table(path, partitioning=None)
    for footer in (b"\xff", b"{", b'{"rows": "many", "synthetic": 7, "created_at": "then"}'):
        path.unlink(missing_ok=True)
        pq.write_table(table.replace_schema_metadata({"medeval.lineage": footer}), path)
        exported(lake, file)
        query = "SELECT access, rows, synthetic, created_at FROM lineage WHERE asset = 'metric_tables'"
        assert [told[0] for told in asked(file, query)] == [None]
        assert asked(file, "SELECT value FROM metric_tables") == [(0.625,)]


def test_tables_with_older_columns_are_told(lake: Lake, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(migrations.TABLE_VERSIONS, "scores", 2)
    monkeypatch.setitem(migrations.MIGRATIONS, ("scores", 1), lambda table: table)
    with pytest.raises(BadInput) as caught:
        write_catalog(lake, file)
    (problem,) = caught.value.problems
    assert problem.where == "`scores × biomed × mednli`"
    assert "of version 1, and a view shows those of version 2" in problem.what
    assert list(file.parent.iterdir()) == []


def test_folders_are_those_of_the_assets(tmp_path: Path) -> None:
    lake = every_kind(tmp_path).lake
    assert list(FOLDERS) == list(TABLES)
    for asset, names in FOLDERS.items():
        (key,) = lake.keys(asset)
        assert names == tuple(name for name in ("model", "task") if getattr(key, name))


_READER = """
import duckdb, socket, sys

def refused(*arguments, **options):
    raise OSError("no network")

socket.socket = refused
settings = {"autoload_known_extensions": False, "autoinstall_known_extensions": False}
with duckdb.connect(sys.argv[1], read_only=True, config=settings) as database:
    print(database.sql("SELECT model, task, value FROM metric_tables").fetchall())
    print(database.sql("SELECT count(*) FROM lineage").fetchall())
    print(database.sql("SELECT count(*) > 0 FROM catalogue").fetchall())
assert not [name for name in sys.modules if name.startswith(("medeval", "pyarrow", "pandas"))]
"""


def test_it_opens_with_duckdb_alone_and_leaves_nothing_behind(lake: Lake, file: Path, tmp_path: Path) -> None:
    exported(lake, file)
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _READER, file],
        cwd=home,
        env={"PATH": os.defpath, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[('biomed', 'mednli', 0.625)]\n[(5,)]\n[(True,)]\n"
    assert list(home.iterdir()) == []
    assert list(file.parent.iterdir()) == [file]


def test_a_moved_lake_needs_another_database(lake: Lake, file: Path, tmp_path: Path) -> None:
    exported(lake, file)
    moved = tmp_path / "moved"
    Path(lake.root).rename(moved)
    with pytest.raises(duckdb.IOException, match="No files found"):
        asked(file, "FROM metric_tables")
    exported(Lake(moved), file)
    assert len(asked(file, "FROM metric_tables")) == 1


def test_only_the_files_of_the_models_that_are_asked_for_are_read(lake: Lake, file: Path) -> None:
    for number in range(12):
        lake.write(
            LakeKey("metric_tables", f"m{number}", "mednli"), [HEADLINE], Derivation(code_version="1"), run_id="r"
        )
    exported(lake, file)
    ((_, plan),) = asked(file, "EXPLAIN ANALYZE SELECT max(value) FROM metric_tables WHERE model = 'm7'")
    assert "Total Files Read: 2" in plan  # and the first, for its columns
