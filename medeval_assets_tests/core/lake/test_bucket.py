"""What can be wrong with a bucket is told in words, and nothing that is wrong with it is taken for an empty lake."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import pytest

from medeval_assets.audit.audit import audit
from medeval_assets.audit.seal import seal
from medeval_assets.errors import BadInput
from medeval_assets.lake.key import LakeKey
from medeval_assets.lake.lake import Lake, LakeOutOfReach
from medeval_assets.lake.lake_file import LakeFile
from medeval_assets.lake.lineage_record import Derivation
from medeval_assets.lake.purged import purged
from medeval_assets.retention.prune import prune
from medeval_assets.retention.purge import find_quoting
from medeval_assets.settings import Settings
from medeval_assets.tasks import all_tasks
from medeval_assets_tests.core.lake.storages import KEY_ID, SECRET, S3Server, all_paths, forget_connections
from medeval_assets_tests.core.lake.test_lake import FIRST, KEY, example


@pytest.fixture
def lake(bucket: str) -> Lake:
    """A lake with a table in two versions."""
    lake = Lake(f"{bucket}/lake")
    for code in ("0", "1"):
        lake.write(KEY, [example("a")], Derivation(code_version=code), run_id="run")
    return lake


@contextmanager
def keys_checked(server: S3Server) -> Iterator[None]:
    """The server asks who is there. Requests that came before are not looked at."""

    def after(requests: str) -> None:
        about = {"data": requests.encode(), "headers": {"Content-Type": "text/plain"}, "method": "POST"}
        urllib.request.urlopen(urllib.request.Request(f"{server.endpoint}/moto-api/reset-auth", **about)).close()  # type: ignore[arg-type]

    after("0")
    try:
        yield
    finally:
        after("inf")


def every_use(lake: Lake, tmp_path: Path) -> dict[str, Callable[[], object]]:
    """Everything that is done with a lake."""
    settings = Settings(home=tmp_path, sources=tmp_path / "sources")
    version = next(iter(lake.versions(KEY)))
    record = lake.record(KEY)
    assert record is not None
    return {
        "write": lambda: lake.write(KEY, [example("b")], FIRST, run_id="run"),
        "read": lambda: lake.read(KEY),
        "read_models": lambda: lake.read_models([KEY], ["example_id"]),
        "record": lambda: lake.record(KEY),
        "records": lambda: lake.records([KEY]),
        "record_with": lambda: lake.record_with(KEY, "0" * 64),
        "fresh": lambda: lake.fresh(KEY, FIRST),
        "keys": lambda: lake.keys("datasets"),
        "versions": lambda: lake.versions(KEY),
        "version_table": lambda: lake.version_table(version),
        "file_sha256": lambda: lake.file_sha256(KEY),
        "remove": lambda: lake.remove(version, "retention"),
        "removals": lake.removals,
        "purged": lambda: purged(lake, KEY),
        "prune": lambda: prune(lake, timedelta()),
        "purge": lambda: find_quoting(lake, settings, all_tasks()["mednli"], tasks=all_tasks(), models={}),
        "audit": lambda: audit(lake),
        "seal": lambda: seal(lake),
    }


def told(uses: dict[str, Callable[[], object]]) -> dict[str, str]:
    messages = {}
    for name, use in uses.items():
        with pytest.raises(LakeOutOfReach) as caught:
            use()
        messages[name] = str(caught.value)
        assert all(problem.where and problem.what and problem.remedy for problem in caught.value.problems)
    return messages


def no_secrets(messages: dict[str, str]) -> bool:
    return not any(secret in message for message in messages.values() for secret in (KEY_ID, SECRET))


def test_a_bucket_that_does_not_exist_is_no_empty_lake(lake: Lake, tmp_path: Path) -> None:
    uses = every_use(lake, tmp_path)
    lake.root = "no-such-bucket/lake"
    del uses["remove"], uses["version_table"]  # of a version that lies in the other bucket
    for message in told(uses).values():
        assert "(the bucket does not exist)" in message
        assert "Check the bucket no-such-bucket/lake, its endpoint, your credentials" in message


def test_a_key_that_the_server_does_not_know_is_told_without_the_key(lake: Lake, s3: S3Server, tmp_path: Path) -> None:
    uses = every_use(lake, tmp_path)
    with keys_checked(s3):
        messages = told(uses)
    assert all("(permission was refused: InvalidAccessKeyId)" in message for message in messages.values())
    assert no_secrets(messages)


def test_without_permission_to_write_the_lake_is_read_and_nothing_is_lost(
    lake: Lake, bucket: str, s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = {path: lake.fs.cat_file(f"{lake.root}/{path}") for path in all_paths(lake)}
    iam = boto3.client("iam")
    iam.create_user(UserName="reader")
    iam.put_user_policy(
        UserName="reader",
        PolicyName="read",
        PolicyDocument='{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": '
        '["s3:GetObject", "s3:ListBucket"], "Resource": "*"}]}',
    )
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    forget_connections()
    reader = Lake(f"{bucket}/lake")
    with keys_checked(s3):
        assert reader.rows(KEY) == [example("a")]
        report = audit(reader, remembered=tmp_path / "notes.parquet")
        assert (report.wrong, len(report.files)) == ([], 3)
        for change in (
            lambda: reader.write(KEY, [example("b")], FIRST, run_id="run"),
            lambda: reader.remove(reader.versions(KEY)[0], "retention"),
        ):
            with pytest.raises(LakeOutOfReach, match=r"written \(permission was refused: AccessDenied\).*is intact"):
                change()
        with pytest.raises(BadInput, match=r"cannot be written \(permission was refused: AccessDenied\)"):
            seal(reader)
    assert {path: lake.fs.cat_file(f"{lake.root}/{path}") for path in all_paths(lake)} == before
    iam.delete_access_key(UserName="reader", AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName="reader", PolicyName="read")
    iam.delete_user(UserName="reader")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "EndpointConnectionError"),
        ({"AWS_ENDPOINT_URL": f"{KEY_ID}:{SECRET}"}, "ValueError"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "NoCredentialsError"),
    ],
)
def test_a_server_that_cannot_be_reached_is_no_empty_lake(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: dict[str, str], reason: str
) -> None:
    uses = every_use(lake, tmp_path)
    for name, value in change.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    forget_connections()
    lake.fs = Lake(f"s3://{lake.root}").fs
    messages = told(uses)
    assert all(f"(the store cannot be reached or used: {reason})" in message for message in messages.values())
    assert no_secrets(messages)


def test_a_server_that_goes_away_during_an_audit_damages_no_table(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class GoingAway(Lake):
        def all_files(self, below: str = "", *, drafts: bool = False) -> list[LakeFile]:
            found = super().all_files(below, drafts=drafts)
            monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
            forget_connections()
            self.fs = Lake(f"s3://{self.root}").fs
            return found

    notes = tmp_path / "notes.parquet"
    audit(lake, remembered=notes)
    before = notes.read_bytes()
    with pytest.raises(LakeOutOfReach, match="EndpointConnectionError"):
        audit(GoingAway(f"s3://{lake.root}"), remembered=notes, full=True)
    assert notes.read_bytes() == before


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("s3://", "the URL names no bucket"),
        (f"s3://{KEY_ID}:{SECRET}@bucket/lake", "the URL holds a name or a password; give them in the environment"),
        ("nowhere://bucket/lake", "fsspec knows no such URL"),
        ("gs://bucket/lake", "gcsfs"),
    ],
)
def test_a_url_that_leads_nowhere_is_told(url: str, what: str) -> None:
    with pytest.raises(LakeOutOfReach, match=what) as caught:
        Lake(url)
    assert no_secrets({url: str(caught.value)})


def test_folders_made_in_a_console_are_no_files(lake: Lake) -> None:
    files = lake.all_files()
    for name in ("lake/", "lake/datasets/", "lake/_versions/", "lake/datasets/task=mednli/"):
        boto3.client("s3").put_object(Bucket=lake.root.partition("/")[0], Key=name, Body=b"")
    assert lake.all_files() == files
    assert lake.keys("datasets") == [KEY]
    assert audit(lake).wrong == []


def test_a_lake_may_be_the_whole_bucket_and_lie_beside_another(lake: Lake, bucket: str) -> None:
    beside = Lake(f"{bucket}/lake2")
    beside.write(LakeKey("datasets", task="medqa"), [example("b")], FIRST, run_id="run")
    assert lake.keys("datasets") == [KEY]
    whole = Lake(bucket)
    whole.write(KEY, [example("c")], FIRST, run_id="run")
    assert whole.keys("datasets") == [KEY]
    assert whole.rows(KEY) == [example("c")]
    assert lake.rows(KEY) == [example("a")]
    assert os.environ["AWS_ENDPOINT_URL"] not in whole.uri(KEY)
