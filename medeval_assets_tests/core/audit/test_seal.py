"""A seal finds what the files themselves cannot tell: someone rewrote them so that they agree with each other."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import random
import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medeval_assets.audit.merkle import leaf_hash, merkle_root, node_hash
from medeval_assets.audit.seal import Sealed, SealedFile, root_of, seal, verify
from medeval_assets.errors import BadInput
from medeval_assets.lake.content_hash import content_sha256
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import FOOTER_KEY, Lake
from medeval_assets.lake.lineage_record import Derivation, LineageRecord
from medeval_assets.lake.removal import Removal
from medeval_assets.retention.prune import prune
from medeval_assets_tests.core.lake.test_lake import example

NLI = LakeKey("datasets", task="mednli")
QA = LakeKey("datasets", task="medqa")


def write(lake: Lake, key: LakeKey, name: str) -> LineageRecord:
    return lake.write(key, [example(name)], Derivation(code_version=name), run_id="run")


@pytest.fixture
def lake(lake_url: str) -> Lake:
    """Two tables, one of them with an earlier version; in a folder and in a bucket."""
    lake = Lake(lake_url)
    for key, name in ((NLI, "old"), (NLI, "new"), (QA, "only")):
        write(lake, key, name)
    return lake


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return tmp_path / "kept elsewhere" / "manifest.json"


def remove_file(lake: Lake, path: str) -> None:
    lake.fs.rm_file(f"{lake.root}/{path}")


def forged(lake: Lake, key: LakeKey, old: str) -> bytes:
    """The table with another example, its content hash and its record made to fit: the file agrees with itself."""
    record = lake.record(key)
    assert record is not None
    table = lake.read(key)
    table = table.set_column(0, "example_id", [[old]])
    lie = record.model_copy(update={"content_sha256": content_sha256(table)})
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({FOOTER_KEY: lie.model_dump_json().encode()}), buffer)
    return buffer.getvalue()


def put_in_place(lake: Lake, key: LakeKey, content: bytes) -> None:
    """As someone would who knows the lake: into the archive under its hash, and current."""
    sha256 = hashlib.sha256(content).hexdigest()
    lake.fs.pipe_file(f"{lake.root}/_versions/{key.folder}/{sha256}.parquet", content)
    if lake.is_local:
        Path(lake.path(key)).unlink()
    lake.fs.pipe_file(lake.path(key), content)


def paths_of(lake: Lake, manifest: Path) -> list[str]:
    return [problem.where for problem in verify(lake, manifest).problems]


def test_an_untouched_lake_is_as_it_was_sealed(lake: Lake, manifest: Path) -> None:
    sealed = seal(lake, manifest)
    assert isinstance(sealed, Sealed)
    found = verify(lake, manifest)
    assert (found.problems, found.new_files, found.moved_on, found.signature) == ((), 0, 0, "none")
    assert (found.sealed, found.root_sha256) == (5, sealed.root_sha256)
    assert lake.fs.cat_file(sealed.path) == manifest.read_bytes()
    assert sealed.path == f"{lake.root}/_seals/{sealed.root_sha256}.json"
    # The seal is no part of what is sealed.
    assert seal(lake).files == 5


def test_the_lake_may_go_on(lake: Lake, manifest: Path) -> None:
    seal(lake, manifest)
    write(lake, NLI, "newest")
    write(lake, LakeKey("datasets", task="jama"), "other")
    found = verify(lake, manifest)
    assert found.problems == ()
    assert (found.moved_on, found.new_files) == (1, 3)


def test_what_was_removed_on_purpose_is_no_problem(lake: Lake, manifest: Path) -> None:
    seal(lake, manifest)
    for version in lake.versions(NLI):
        lake.remove(version, "purge")
    found = verify(lake, manifest)
    assert (found.problems, found.removed, found.new_files) == ((), 3, 2)
    write(lake, NLI, "back again")
    assert verify(lake, manifest).problems == ()


def test_an_old_version_may_go_and_the_current_one_may_not(lake: Lake, manifest: Path) -> None:
    seal(lake, manifest)
    old = next(version for version in lake.versions(NLI) if version.file_sha256 != lake.file_sha256(NLI))
    lake.remove(old, "retention")
    assert verify(lake, manifest).problems == ()
    remove_file(lake, f"{NLI.folder}/data.parquet")
    assert paths_of(lake, manifest) == [f"{NLI.folder}/data.parquet"]


def test_a_removal_before_the_seal_explains_nothing(lake: Lake, manifest: Path) -> None:
    version = lake.versions(QA)[0]
    record = lake.record(QA)
    assert record is not None
    before = datetime.now(UTC).isoformat()
    seal(lake, manifest)
    lake.discard(version)
    removal = Removal(record=record, file_sha256=version.file_sha256, removed_at=before, reason="purge")
    path = f"{lake.root}/_removed/{QA.folder}/{version.file_sha256}.json"
    lake.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
    lake.fs.pipe_file(path, removal.as_file())
    archived = f"_versions/{QA.folder}/{version.file_sha256}.parquet"
    assert paths_of(lake, manifest) == [archived, f"{QA.folder}/data.parquet"]


def test_what_has_been_removed_by_half_is_not_sealed_until_a_prune_removes_it(lake: Lake, manifest: Path) -> None:
    old = next(version for version in lake.versions(NLI) if version.file_sha256 != lake.file_sha256(NLI))
    content = lake.version_content(old)
    removal = lake.remove(old, "retention")
    # As if it had been killed between the two.
    lake.fs.pipe_file(old.path, content)
    with pytest.raises(BadInput, match="its removal was cut short"):
        seal(lake, manifest)
    assert not manifest.exists()
    assert prune(lake, timedelta(days=30)).removed == (old,)
    assert lake.removals() == [removal]
    seal(lake, manifest)
    assert verify(lake, manifest).problems == ()


def test_the_proof_of_a_removal_must_stay(lake: Lake, manifest: Path) -> None:
    lake.remove(lake.versions(QA)[0], "purge")
    seal(lake, manifest)
    (proof,) = [file.path for file in lake.all_files() if file.path.startswith("_removed/")]
    remove_file(lake, proof)
    assert paths_of(lake, manifest) == [proof]


def test_a_rewritten_table_with_everything_made_to_fit_is_found(lake: Lake, manifest: Path) -> None:
    seal(lake, manifest)
    before = lake.versions(NLI)
    current = lake.file_sha256(NLI)
    put_in_place(lake, NLI, forged(lake, NLI, "made up"))
    remove_file(lake, f"_versions/{NLI.folder}/{current}.parquet")
    # The lake by itself is consistent: the file is under its hash, and the record's hash is the content's.
    assert lake.file_sha256(NLI) in {version.file_sha256 for version in lake.versions(NLI)}
    record = lake.record(NLI)
    assert record is not None
    assert record.content_sha256 == content_sha256(lake.read(NLI))
    assert len(lake.versions(NLI)) == len(before)
    assert set(paths_of(lake, manifest)) == {
        f"_versions/{NLI.folder}/{current}.parquet",
        f"{NLI.folder}/data.parquet",
    }


def test_a_forged_table_that_keeps_the_old_version_is_found(lake: Lake, manifest: Path) -> None:
    seal(lake, manifest)
    put_in_place(lake, NLI, forged(lake, NLI, "made up"))
    assert paths_of(lake, manifest) == [f"{NLI.folder}/data.parquet"]


def test_an_old_version_put_back_is_found(lake: Lake, manifest: Path) -> None:
    seal(lake, manifest)
    old = next(version for version in lake.versions(NLI) if version.file_sha256 != lake.file_sha256(NLI))
    put_in_place(lake, NLI, lake.fs.cat_file(old.path))
    (problem,) = verify(lake, manifest).problems
    assert "rolled back" in problem.what


def test_every_changed_byte_is_found(tmp_path: Path, manifest: Path) -> None:
    lake = Lake(tmp_path / "lake")
    for key, name in ((NLI, "old"), (NLI, "new"), (QA, "only")):
        write(lake, key, name)
    seal(lake, manifest)
    chance = random.Random(7)
    files = [file for file in lake.all_files() if not file.path.startswith("_seals/")]
    for _ in range(300):
        file = chance.choice(files)
        path = Path(lake.root) / file.path
        content = path.read_bytes()
        changed = bytearray(content)
        changed[chance.randrange(len(content))] ^= chance.randrange(1, 256)
        path.write_bytes(changed)
        # A current table is a link to its file in the archive, so that one change may be two problems.
        assert file.path in paths_of(lake, manifest)
        path.write_bytes(content)
    assert verify(lake, manifest).problems == ()


def test_a_lake_that_is_wrong_already_is_not_sealed(lake: Lake) -> None:
    version = lake.versions(QA)[0]
    lake.fs.pipe_file(version.path, lake.fs.cat_file(version.path) + b" ")
    with pytest.raises(BadInput, match="not what its name says"):
        seal(lake)
    assert not [file for file in lake.all_files() if file.path.startswith("_seals/")]


def no_entry(sealed: dict[str, object]) -> None:
    entries = sealed["entries"]
    assert isinstance(entries, list)
    entries.pop()


def other_time(sealed: dict[str, object]) -> None:
    sealed["created_at"] = "2020-01-01T00:00:00.000000+00:00"


def other_size(sealed: dict[str, object]) -> None:
    entries = sealed["entries"]
    assert isinstance(entries, list)
    entries[0]["size"] += 1


@pytest.mark.parametrize("change", [no_entry, other_time, other_size])
def test_a_changed_manifest_is_found(lake: Lake, manifest: Path, change: Callable[[dict[str, object]], None]) -> None:
    seal(lake, manifest)
    sealed = json.loads(manifest.read_text())
    change(sealed)
    manifest.write_text(json.dumps(sealed))
    assert "do not have the root" in verify(lake, manifest).problems[0].what


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": "medeval-seal/2"}', "\x00", "[" * 9999])
def test_what_is_no_manifest_is_told(lake: Lake, manifest: Path, content: str) -> None:
    manifest.parent.mkdir()
    manifest.write_text(content)
    with pytest.raises(BadInput, match="no manifest"):
        verify(lake, manifest)


def test_a_lake_that_is_written_to_meanwhile_can_be_sealed(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    write(lake, NLI, "first")
    stop = threading.Event()

    def keep_writing() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            write(lake, (NLI, QA)[number % 2], str(number))

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(keep_writing)
        try:
            manifests = [tmp_path / f"{number}.json" for number in range(20)]
            for manifest in manifests:
                seal(lake, manifest)
                assert verify(lake, manifest).problems == ()
        finally:
            stop.set()
        writing.result()
    for manifest in manifests:
        assert verify(lake, manifest).problems == ()
    assert verify(lake, manifests[0]).new_files > 0


def test_names_that_are_not_fit_to_print_are_in_no_seal(tmp_path: Path, manifest: Path) -> None:
    lake = Lake(tmp_path / "lake")
    write(lake, NLI, "one")
    seal(lake, manifest)
    sealed = json.loads(manifest.read_text())
    sealed["entries"][0]["path"] = "_versions/\x1b[2Jgone.parquet"
    manifest.write_text(json.dumps(sealed))
    with pytest.raises(BadInput, match="no manifest"):
        verify(lake, manifest)
    (tmp_path / "lake" / "_versions" / "\x1b[2J.parquet").write_bytes(b"")
    with pytest.raises(BadInput, match=r"\\x1b"):
        seal(lake)


def ssh_key(folder: Path, name: str) -> Path:
    key = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a reviewer", "-f", key], check=True)
    return key


def minisign_key(folder: Path, name: str) -> Path:
    key = folder / name
    subprocess.run(["minisign", "-G", "-W", "-s", key, "-p", key.with_suffix(".pub")], check=True, capture_output=True)
    return key


TOOLS = {"ssh": ("ssh-keygen", ssh_key, ".sig"), "minisign": ("minisign", minisign_key, ".minisig")}


@pytest.fixture(params=list(TOOLS))
def signer(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Callable[[str], Path], str]:
    """(makes a key of this name beside its `.pub`, ending of signatures)."""
    tool, make, ending = TOOLS[request.param]
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    return lambda name: make(tmp_path, name), ending


def test_a_signed_manifest_is_checked(
    tmp_path: Path, manifest: Path, signer: tuple[Callable[[str], Path], str]
) -> None:
    lake = Lake(tmp_path / "lake")
    write(lake, NLI, "one")
    make, ending = signer
    key, other = make("mine"), make("other")
    sealed = seal(lake, manifest, key)
    assert sealed.signed_with
    assert manifest.with_name(manifest.name + ending) in sealed.copies
    own, foreign = key.with_suffix(".pub"), other.with_suffix(".pub")
    assert verify(lake, manifest).signature == "unchecked"
    assert verify(lake, manifest, public_key=own).signature == "valid"
    assert verify(lake, manifest, public_key=own).problems == ()
    assert verify(lake, Path(sealed.path), public_key=own).signature == "valid"
    assert "none of the given key" in verify(lake, manifest, public_key=foreign).problems[0].what

    # Whoever rewrites the lake and the manifest cannot sign it.
    forgery = manifest.with_name("forgery.json")
    write(lake, NLI, "two")
    seal(lake, forgery)
    assert "no signature" in verify(lake, forgery, public_key=own).problems[0].what
    shutil.copyfile(manifest.with_name(manifest.name + ending), forgery.with_name(forgery.name + ending))
    found = verify(lake, forgery, public_key=own)
    assert (found.signature, len(found.problems)) == ("invalid", 1)


def test_allowed_signers_are_asked(tmp_path: Path, manifest: Path) -> None:
    lake = Lake(tmp_path / "lake")
    write(lake, NLI, "one")
    key, other = ssh_key(tmp_path, "mine"), ssh_key(tmp_path, "other")
    seal(lake, manifest, key)
    allowed = tmp_path / "allowed_signers"
    allowed.write_text(f"a@example.org {other.with_suffix('.pub').read_text()}")
    assert verify(lake, manifest, allowed_signers=allowed).signature == "invalid"
    with allowed.open("a") as file:
        file.write(f'b@example.org namespaces="medeval" {key.with_suffix(".pub").read_text()}')
    assert verify(lake, manifest, allowed_signers=allowed).signature == "valid"
    allowed.write_text(f'b@example.org namespaces="git" {key.with_suffix(".pub").read_text()}')
    assert verify(lake, manifest, allowed_signers=allowed).signature == "invalid"


def test_a_key_that_is_none_is_told_and_nothing_is_written(tmp_path: Path, manifest: Path) -> None:
    lake = Lake(tmp_path / "lake")
    write(lake, NLI, "one")
    wrong = tmp_path / "key"
    wrong.write_text("nothing of the kind")
    with pytest.raises(BadInput, match="no key to sign with"):
        seal(lake, manifest, wrong)
    wrong.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nnonsense\n")
    wrong.chmod(0o600)
    with pytest.raises(BadInput, match="did not sign"):
        seal(lake, manifest, wrong)
    assert not manifest.exists()
    assert not [file for file in lake.all_files() if file.path.startswith("_seals/")]


# The roots of the first n of these leaves, as the reference implementations of certificate transparency test them.
LEAVES = [bytes.fromhex(leaf) for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
]


@pytest.mark.parametrize("count", range(len(ROOTS)))
def test_roots_are_those_of_rfc_6962(count: int) -> None:
    assert merkle_root(LEAVES[:count]).hex() == ROOTS[count]


def by_definition(leaves: list[bytes]) -> bytes:
    """The root as the RFC words it: split at the largest power of two below the number of leaves."""
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(by_definition(leaves[:split]), by_definition(leaves[split:]))


@given(st.lists(st.binary(max_size=3), min_size=1, max_size=70))
def test_roots_follow_the_definition(leaves: list[bytes]) -> None:
    assert merkle_root(leaves) == by_definition(leaves)


@given(st.lists(st.tuples(st.text('a=/.é" ,[]0', max_size=5), st.integers(0, 99)), min_size=1, max_size=9), st.data())
def test_every_field_is_in_the_root(files: list[tuple[str, int]], data: st.DataObject) -> None:
    entries = [SealedFile(path=path, size=size, sha256="0" * 64) for path, size in files]
    place = data.draw(st.integers(0, len(entries) - 1))
    field, value = data.draw(st.sampled_from([("path", "else/where"), ("size", 100), ("sha256", "1" * 64)]))
    changed = [one.model_copy(update={field: value}) if n == place else one for n, one in enumerate(entries)]
    assert root_of("now", "1", entries) != root_of("now", "1", changed)
    assert root_of("now", "1", entries) != root_of("then", "1", entries)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, bytes, Path]:
    """(a lake, its manifest, where to put a changed one)."""
    folder = tmp_path_factory.mktemp("small")
    lake = Lake(folder / "lake")
    write(lake, NLI, "one")
    seal(lake, folder / "manifest.json")
    return lake, (folder / "manifest.json").read_bytes(), folder / "changed.json"


@given(place=st.floats(0, 1, exclude_max=True), to=st.integers(0, 255), cut=st.booleans())
def test_no_change_of_a_manifest_goes_unseen(small: tuple[Lake, bytes, Path], place: float, to: int, cut: bool) -> None:
    lake, content, path = small
    at = int(place * len(content))
    path.write_bytes(content[:at] if cut else content[:at] + bytes([to]) + content[at + 1 :])
    try:
        problems = verify(lake, path).problems
    except BadInput:
        return
    if not problems:
        # Other white space is all that says the same.
        assert json.loads(path.read_bytes()) == json.loads(content)


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "_versions/../../x.parquet", "datasets", ""])
def test_a_manifest_never_leads_out_of_the_lake(small: tuple[Lake, bytes, Path], path: str) -> None:
    lake, content, changed = small
    sealed = json.loads(content)
    entry = SealedFile(path=path, size=1, sha256="0" * 64)
    sealed |= {
        "entries": [entry.model_dump()],
        "root_sha256": root_of(sealed["created_at"], sealed["package_version"], [entry]),
    }
    changed.write_text(json.dumps(sealed))
    (problem,) = verify(lake, changed).problems
    assert problem.where == path
    assert "is gone" in problem.what
