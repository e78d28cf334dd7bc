"""Where a lake can be: a folder, and a bucket on an S3 server on this machine."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medeval_assets.lake.lake import Lake

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

KEY_ID, SECRET = "AKIAKEYOFTHETESTS", "the-secret-of-the-tests"
_PAGE = 20
"""Files that the server lists at a time, so that a listing of any lake has several pages."""


@dataclass(frozen=True)
class S3Server:
    """An S3-compatible server. environment: what a process needs to reach it."""

    endpoint: str

    @property
    def environment(self) -> Mapping[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server that keeps its buckets in memory, on a free port of the loopback."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    os.environ["MOTO_S3_DEFAULT_MAX_KEYS"] = str(_PAGE)
    moto, taken = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def one_at_a_time(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # On S3 a request sees an object as it was before another request or after it; moto alone does not see to that.
        with taken:
            return list(moto(environ, start_response))

    server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield S3Server(f"http://127.0.0.1:{server.port}")
    finally:
        server.shutdown()


def forget_connections() -> None:
    """fsspec keeps a file system for as long as the process lives, whatever becomes of its environment."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


def make_bucket(server: S3Server, name: str) -> None:
    """A bucket with nothing in it, made without the code under test."""
    import boto3  # type: ignore[import-untyped]

    boto3.client("s3", endpoint_url=server.endpoint).create_bucket(Bucket=name)


def reaching(lake: Lake) -> dict[str, str]:
    """What another process needs in its environment to reach the lake as this one does."""
    return {} if lake.is_local else {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


def content_of(lake: Lake, path: str) -> bytes:
    """A file's bytes. path: below the root."""
    return bytes(lake.fs.cat_file(f"{lake.root}/{path}"))


def swap(lake: Lake, path: str, content: bytes) -> None:
    """Another file of that name; writing to the one that is there would change its other names too."""
    if lake.is_local:
        Path(lake.root, path).unlink(missing_ok=True)
        Path(lake.root, path).parent.mkdir(parents=True, exist_ok=True)
    lake.fs.pipe_file(f"{lake.root}/{path}", content)


def take_away(lake: Lake, path: str) -> None:
    lake.fs.rm_file(f"{lake.root}/{path}")


def all_paths(lake: Lake) -> list[str]:
    """Every file below the root, drafts included, as the file system itself lists them."""
    prefix = len(lake.root) + 1
    return sorted(str(path)[prefix:] for path in lake.fs.find(lake.root))
