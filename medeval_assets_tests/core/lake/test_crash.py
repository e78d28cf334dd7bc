"""Killed at any moment of anything, a lake is readable and its audit clean, and the same again finishes it."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest

from medeval_assets.audit.audit import audit
from medeval_assets.audit.seal import verify
from medeval_assets.lake.content_hash import content_sha256
from medeval_assets_tests.core.lake.forking_process import CHANGING, NEEDS, NEW, NLI, PROMPTS, TASKS, Children, Place
from medeval_assets_tests.core.lake.storages import S3Server, all_paths

TEXT = "a text of the task's owner"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SSH key to sign seals with."""
    key = tmp_path_factory.mktemp("key") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a reviewer", "-f", key], check=True)
    return key


@dataclass
class Scene:
    """A lake that is written to by processes that are killed.

    environment: what they need to reach it. killed: the runs that were.
    """

    url: str
    home: Path
    key: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    killed: set[str] = field(default_factory=set)

    @property
    def in_bucket(self) -> bool:
        return bool(self.environment)

    def place(self, run: str) -> dict[str, str]:
        return {"url": self.url, "home": str(self.home), "run": run, "key": str(self.key)}

    @property
    def here(self) -> Place:
        """The lake for this process, which is never killed."""
        place = Place(**self.place("not killed"))
        place.log.killed = self.killed
        return place

    def fill(self) -> None:
        """Every table, some in two versions, the raw files of a task, and an audit."""
        (self.home / "sources" / "mednli").mkdir(parents=True)
        (self.home / "sources" / "mednli" / "raw").write_text(TEXT)
        for number, keys in ((1, [NLI, PROMPTS]), (2, [key for key in NEEDS if key != NEW])):
            for key in keys:
                self.here.write(key, number)
        self.here.audit()

    def copy(self, home: Path) -> Scene:
        """The same, for something else to happen to. Names of one file stay names of one file."""
        subprocess.run(["cp", "-a", self.home, home], check=True)
        if not self.in_bucket:
            return Scene(str(home / "lake"), home, self.key, killed=set(self.killed))
        source, copied = self.here.lake, f"{self.url}-{home.name}"
        for path in all_paths(source):
            source.fs.cp_file(f"{source.root}/{path}", f"{source.root}-{home.name}/{path}")
        return Scene(copied, home, self.key, self.environment, set(self.killed))

    def check(self, *, full: bool) -> None:
        """Every table that must be there is whole, and the audit finds nothing wrong.

        full: also where it reads every file again, and not only what changed.
        """
        here = self.here
        lake = here.lake
        for key in NEEDS:
            record = lake.record(key)
            written, about_to_be = here.log.last(key)
            if record is None:
                assert written is None or lake.removals(key), f"{key} is gone"
                continue
            assert int(record.derivation.code_version) in {written, *about_to_be}, f"{key} is an older version"
            assert content_sha256(lake.read(key)) == record.content_sha256
        report = audit(lake, known=here.log, remembered=here.notes)
        assert report.wrong == []
        if full:
            assert audit(lake, known=here.log, remembered=here.notes, full=True).files == report.files

    def drafts(self) -> list[str]:
        found = [str(path) for path in self.home.rglob("*.tmp")]
        return found + [path for path in all_paths(self.here.lake) if path.endswith(".tmp")]

    def unrecorded(self) -> bool:
        """Whether a table that is current was never recorded."""
        known = {write.content_sha256 for write in self.here.log.writes()}
        records = [self.here.lake.record(key) for key in NEEDS]
        return any(record is not None and record.content_sha256 not in known for record in records)

    def check_seals(self) -> None:
        """Where there is a manifest there is its signature, and both are whole."""
        lake = self.here.lake
        manifests = [self.home / "kept" / "manifest.json"]
        for path in all_paths(lake):
            if path.startswith("_seals/") and path.endswith(".json"):
                for ending in ("", ".sig"):
                    manifest = self.home / "fetched" / "manifest.json"
                    manifest.parent.mkdir(exist_ok=True)
                    content = lake.fs.cat_file(f"{lake.root}/{path}{ending}")
                    manifest.with_name(manifest.name + ending).write_bytes(content)
                manifests.append(manifest)
        for manifest in filter(Path.exists, manifests):
            found = verify(lake, manifest, public_key=self.key.with_suffix(".pub"))
            assert (found.problems, found.signature) == ((), "valid")


# In a bucket an audit changes nothing: its notes lie in the home.
EVERY_STEP = [
    pytest.param(storage, task, 1, marks=pytest.mark.slow)
    for storage, tasks in (("folder", CHANGING), ("bucket", [task for task in CHANGING if task != "audit"]))
    for task in tasks
]
SOME_STEPS = [*(("folder", task, 12) for task in CHANGING), ("bucket", "write_again", 3)]


@pytest.fixture
def scene(request: pytest.FixtureRequest, tmp_path: Path, key: Path) -> Scene:
    home = tmp_path / "home"
    home.mkdir()
    if request.param == "folder":
        return Scene(str(home / "lake"), home, key)
    server: S3Server = request.getfixturevalue("s3")
    return Scene(f"{request.getfixturevalue('bucket')}/lake", home, key, server.environment)


@pytest.mark.parametrize(("scene", "task", "every"), [*SOME_STEPS, *EVERY_STEP], indirect=["scene"])
def test_killed_before_any_step_of_anything(
    scene: Scene, children: Children, tmp_path: Path, task: str, every: int
) -> None:
    scene.fill()
    for step in range(random.Random(task).randrange(every) + 1, 1000, every):
        copy = scene.copy(tmp_path / f"copy{step}")
        ended = children.run(task, copy.place(f"run {step}"), environment=copy.environment, kill_at=step)
        if ended == "killed":
            copy.killed.add(f"run {step}")
        copy.check(full=True)
        # The same again, which nobody kills.
        if task == "seal":
            copy.check_seals()
        again = Place(**copy.place("again"))
        again.log.killed = copy.killed
        TASKS[task](again)
        copy.check(full=False)
        assert copy.drafts() == []
        if task == "seal":
            copy.check_seals()
        if task == "purge":
            assert not list(copy.home.glob("sources/mednli"))
            assert [path for path in all_paths(again.lake) if NLI.folder in path and "_removed" not in path] == []
            assert len(again.lake.removals()) == 5
        shutil.rmtree(copy.home)
        if ended == "well":
            return
    pytest.fail("it never ended")


@pytest.mark.parametrize(
    ("scene", "kills"),
    [
        ("folder", (1, 4)),
        pytest.param("folder", (15, 10), marks=pytest.mark.slow),
        pytest.param("bucket", (4, 10), marks=pytest.mark.slow),
    ],
    indirect=["scene"],
)
def test_killed_at_any_moment_of_anything(
    scene: Scene, children: Children, tmp_path: Path, capsys: pytest.CaptureFixture[str], kills: tuple[int, int]
) -> None:
    lakes, kills_of_each = kills
    draw = random.Random(20261127)
    scene.fill()
    half_written = unrecorded = 0
    for lake in range(lakes):
        copy = scene.copy(tmp_path / f"lake{lake}")
        for number in range(kills_of_each):
            run = f"run {number}"
            first = 1000 * (number + 1)
            ended = children.run(
                "at_random",
                copy.place(run),
                environment=copy.environment,
                kill_after=draw.uniform(0, 0.6 if copy.in_bucket else 0.2),
                seed=draw.randrange(1 << 30),
                first=first,
            )
            assert ended == "killed"
            copy.killed.add(run)
            half_written += bool(copy.drafts())
            unrecorded += copy.unrecorded()
            copy.check(full=True)
        # Whatever they left half written goes with the next of its kind.
        here = copy.here
        for number in (1, 2):
            for key in NEEDS:
                here.write(key, 1000 * (kills_of_each + 1) + number)
        here.prune()
        here.seal()
        copy.check(full=True)
        copy.check_seals()
        assert copy.drafts() == []
        shutil.rmtree(copy.home)
    if lakes > 1:
        with capsys.disabled():
            told = f"{half_written} left a draft, {unrecorded} a table that nobody recorded"
            print(f"\n{lakes * kills_of_each} kills: {told}")
        assert half_written > 0 or scene.in_bucket
        assert unrecorded > 0


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["bucket"], indirect=True)
def test_an_upload_in_parts_that_was_killed_shows_nothing(scene: Scene, children: Children) -> None:
    scene.fill()
    bucket, _, root = scene.here.lake.root.partition("/")
    before = all_paths(scene.here.lake)
    table = scene.here.lake.read(NLI)
    cut_short = 0
    step = 1
    while children.run("write_large", scene.place("run"), environment=scene.environment, kill_at=step) == "killed":
        uploads = boto3.client("s3").list_multipart_uploads(Bucket=bucket, Prefix=root).get("Uploads", [])
        cut_short = max(cut_short, len(uploads))
        assert all_paths(scene.here.lake) == before
        assert scene.here.lake.read(NLI) == table
        scene.check(full=True)
        step *= 3
    assert cut_short > 1
    assert step > 81
    assert scene.here.lake.fs.info(scene.here.lake.path(NLI))["size"] == 110 << 20
