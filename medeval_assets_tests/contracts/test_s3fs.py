"""What s3fs does otherwise than the lake needs it, and what the lake asks it to do instead."""

from __future__ import annotations

from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
import s3fs
from botocore.exceptions import EndpointConnectionError  # type: ignore[import-untyped]
from s3fs.utils import FileExpired


@pytest.fixture(name="bucket")
def name_of_the_bucket(bucket: str) -> str:
    return bucket.removeprefix("s3://")


def put(bucket: str, key: str, content: bytes) -> None:
    """What another process does."""
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=content)


def test_a_listing_is_kept_for_all_that_ask_again(bucket: str) -> None:
    put(bucket, "a/1", b"1")
    keeping, asking = s3fs.S3FileSystem(), s3fs.S3FileSystem(use_listings_cache=False)
    for fs in (keeping, asking):
        assert fs.ls(f"{bucket}/a", detail=False) == [f"{bucket}/a/1"]
    put(bucket, "a/2", b"2")
    assert s3fs.S3FileSystem() is keeping
    assert keeping.ls(f"{bucket}/a", detail=False) == [f"{bucket}/a/1"]
    assert not keeping.exists(f"{bucket}/a/2")
    with pytest.raises(FileNotFoundError):
        keeping.cat_file(f"{bucket}/a/2")
    assert asking.ls(f"{bucket}/a", detail=False) == [f"{bucket}/a/1", f"{bucket}/a/2"]
    assert asking.cat_file(f"{bucket}/a/2") == b"2"


@pytest.mark.parametrize(("requests_at_once", "torn"), [(2, True), (1, False)])
def test_a_large_file_that_is_replaced_meanwhile_is_read_in_parts_of_two(
    bucket: str, monkeypatch: pytest.MonkeyPatch, requests_at_once: int, torn: bool
) -> None:
    old, new = b"old " * 100, b"new " * 100
    fs = s3fs.S3FileSystem(use_listings_cache=False, max_concurrency=requests_at_once, default_block_size=100)
    put(bucket, "table", old)
    call, asked = fs._call_s3, []

    async def called(method: str, *arguments: Any, **named: Any) -> Any:
        asked.append(method)
        if len(asked) == 4:  # when half of it is read
            put(bucket, "table", new)
        return await call(method, *arguments, **named)

    monkeypatch.setattr(fs, "_call_s3", called)
    content = fs.cat_file(f"{bucket}/table")
    assert (content not in {old, new}) == torn
    assert len(asked) == (5 if torn else 1)


def test_an_open_file_that_is_replaced_cannot_be_read_any_more(bucket: str) -> None:
    fs = s3fs.S3FileSystem()
    put(bucket, "table", b"old")
    with fs.open(f"{bucket}/table", "rb") as file:
        put(bucket, "table", b"new")
        with pytest.raises(FileExpired):
            file.read()


def test_a_walk_keeps_errors_to_itself_and_a_find_does_not(bucket: str) -> None:
    fs = s3fs.S3FileSystem(use_listings_cache=False)
    assert list(fs.walk("no-such-bucket/lake")) == [("no-such-bucket/lake", [], [])]
    with pytest.raises(FileNotFoundError):
        fs.find("no-such-bucket/lake")
    assert fs.find(f"{bucket}/nothing") == []
    assert not fs.exists("no-such-bucket")


def test_errors_of_the_connection_are_no_os_errors(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    fs = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    with pytest.raises(EndpointConnectionError) as caught:
        fs.cat_file(f"{bucket}/table")
    assert not isinstance(caught.value, OSError)


def test_the_listing_says_when_a_file_was_written_and_what_it_holds(bucket: str) -> None:
    fs = s3fs.S3FileSystem(use_listings_cache=False)
    told = []
    for content in (b"old", b"new"):
        put(bucket, "table", content)
        about = fs.find(bucket, detail=True)[f"{bucket}/table"]
        told.append((about["size"], about["ETag"]))
        assert "LastModified" in about
    assert told[0] != told[1]
