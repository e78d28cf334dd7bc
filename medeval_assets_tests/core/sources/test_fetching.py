"""Fetching against a real server on this machine: what arrives, what is refused, and what is left behind."""

from __future__ import annotations

import hashlib
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from medeval_assets.catalog.task_spec import Access, Decoding, Download, Group, Output, TaskSpec
from medeval_assets.errors import BadInput
from medeval_assets.settings import Settings
from medeval_assets.sources.fetching import fetch

BODY = bytes(range(256)) * 2_000
SHA256 = hashlib.sha256(BODY).hexdigest()

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Answers each request for a path with the path's next answer; the last one stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                answers = server.answers.get(self.path, [status(404)])
                (answers.pop(0) if len(answers) > 1 else answers[0])(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server names it
                """Tests print nothing."""

        # On this machine alone, on any port that is free.
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}"


def body(content: bytes = BODY, promised: int | None = None) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(content) if promised is None else promised))
        request.end_headers()
        request.wfile.write(content)

    return answer


def unsized(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    request.wfile.write(BODY)


def status(code: int, location: str = "") -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        if location:
            request.send_header("Location", location)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def hang_up(request: BaseHTTPRequestHandler) -> None:
    request.connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.http.shutdown()
    thread.join()
    running.http.server_close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, sources=tmp_path / "sources")


def task(*downloads: Download) -> TaskSpec:
    return TaskSpec(
        name="made_up",
        title="Made up",
        about="",
        group=Group.KNOWLEDGE,
        output=Output.TEXT,
        access=Access.PUBLIC,
        licence="CC0",
        homepage="https://owner.example",
        folder="made_up",
        read=lambda folder: [],
        template=Path("x.jinja"),
        decoding=Decoding(5),
        metrics=(),
        downloads=downloads,
    )


def download(server: Server, name: str = "data.bin", sha256: str | None = SHA256) -> Download:
    return Download(f"{server.address}/{name}", name, sha256, "CC0")


def quiet(name: str, done: int, total: int | None) -> None:
    """Progress that nobody looks at."""


def refusal(settings: Settings, *downloads: Download) -> str:
    with pytest.raises(BadInput) as refused:
        fetch(task(*downloads), settings, quiet, pause_s=0)
    return str(refused.value)


def left(settings: Settings) -> list[str]:
    return sorted(path.relative_to(settings.sources).as_posix() for path in settings.sources.rglob("*"))


def test_a_file_is_fetched_checked_and_reported(server: Server, settings: Settings) -> None:
    server.answers["/data.bin"] = [body()]
    heard: list[tuple[str, int, int | None]] = []
    [file] = fetch(task(download(server)), settings, lambda *args: heard.append(args))
    assert file.path == settings.sources / "made_up" / "data.bin"
    assert file.path.read_bytes() == BODY
    assert (file.sha256, file.size, file.verified, file.fetched) == (SHA256, len(BODY), True, True)
    assert left(settings) == ["made_up", "made_up/data.bin"]
    assert {name for name, _, _ in heard} == {"data.bin"}
    assert {total for _, _, total in heard} == {len(BODY)}
    assert [done for _, done, _ in heard] == sorted(done for _, done, _ in heard)
    assert heard[-1][1] == len(BODY)


def test_a_file_of_unknown_hash_and_length_is_fetched_unverified(server: Server, settings: Settings) -> None:
    server.answers["/data.bin"] = [unsized]
    heard: list[int | None] = []
    [file] = fetch(task(download(server, sha256=None)), settings, lambda name, done, total: heard.append(total))
    assert (file.sha256, file.verified) == (SHA256, False)
    assert heard[0] is None
    assert heard[-1] == len(BODY)


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_a_file_that_is_there_is_not_fetched_again(server: Server, settings: Settings, sha256: str | None) -> None:
    (settings.sources / "made_up").mkdir(parents=True)
    (settings.sources / "made_up" / "data.bin").write_bytes(BODY)
    [file] = fetch(task(download(server, sha256=sha256)), settings, quiet)
    assert (file.fetched, file.sha256, file.verified) == (False, SHA256, sha256 is not None)
    assert server.asked == []


def test_another_file_of_that_name_is_never_overwritten(server: Server, settings: Settings) -> None:
    server.answers["/data.bin"] = server.answers["/more.bin"] = [body()]
    (settings.sources / "made_up").mkdir(parents=True)
    (settings.sources / "made_up" / "data.bin").write_bytes(b"own notes")
    told = refusal(settings, download(server, "more.bin"), download(server))
    assert "data.bin: is another file than the one known to the project" in told
    assert (settings.sources / "made_up" / "data.bin").read_bytes() == b"own notes"
    assert server.asked == []


@pytest.mark.parametrize("what", ["folder", "link"])
def test_what_is_no_file_is_in_the_way(server: Server, settings: Settings, what: str) -> None:
    path = settings.sources / "made_up" / "data.bin"
    path.parent.mkdir(parents=True)
    path.mkdir() if what == "folder" else path.symlink_to("gone")
    assert "is in the way and is no file" in refusal(settings, download(server))


@pytest.mark.parametrize(
    ("answer", "complaint", "requests"),
    [
        (status(404), "has no such file or cannot give it (HTTP 404)", 1),
        (status(403), "its owner refuses it (HTTP 403)", 1),
        (status(503), "has no such file or cannot give it (HTTP 503)", 3),
        (status(302, "file:///etc/passwd"), "the connection failed (InvalidSchema)", 1),
        (body(b"other"), "what came is not the known file (sha256 ", 1),
        (body(b""), "what came is empty", 1),
        (body(b"\n<!DOCTYPE html><p>Sign in"), "what came is a web page", 1),
        (body(BODY[:-1], promised=len(BODY)), "the connection failed (ChunkedEncodingError)", 3),
        (hang_up, "the connection failed (ConnectionError)", 3),
    ],
)
def test_a_failure_says_why_and_leaves_nothing(
    server: Server, settings: Settings, answer: Answer, complaint: str, requests: int
) -> None:
    server.answers["/data.bin"] = [answer]
    told = refusal(settings, download(server))
    assert told.startswith("download data.bin: ")
    assert complaint in told
    assert len(server.asked) == requests
    assert left(settings) == []


@pytest.mark.parametrize("first", [hang_up, status(500), body(BODY[:99], promised=len(BODY))])
def test_a_dropped_connection_is_tried_again(server: Server, settings: Settings, first: Answer) -> None:
    server.answers["/data.bin"] = [first, first, body()]
    [file] = fetch(task(download(server)), settings, quiet, pause_s=0)
    assert file.path.read_bytes() == BODY
    assert len(server.asked) == 3


def test_files_arrive_together_or_not_at_all(server: Server, settings: Settings) -> None:
    server.answers["/one.bin"] = server.answers["/two.bin"] = [body()]
    one, two, three = (download(server, name) for name in ("one.bin", "two.bin", "three.bin"))
    (settings.sources / "made_up").mkdir(parents=True)
    (settings.sources / "made_up" / "one.bin").write_bytes(BODY)
    refusal(settings, one, two, three)
    assert left(settings) == ["made_up", "made_up/one.bin"]
    files = fetch(task(one, two), settings, quiet)
    assert [(file.path.name, file.fetched) for file in files] == [("one.bin", False), ("two.bin", True)]


def test_no_server_says_to_check_the_network(settings: Settings) -> None:
    with socket.socket() as taken:
        # Bound and not listening: nobody else can answer on this port, and nobody does.
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/data.bin"
        told = refusal(settings, Download(address, "data.bin", None, "CC0"))
    assert "the connection failed (ConnectionError). Check the network" in told


def test_a_disk_that_takes_no_more_leaves_nothing(server: Server, settings: Settings) -> None:
    server.answers["/data.bin"] = [body()]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        told = refusal(settings, download(server))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot be written (File too large). Make room on the disk" in told
    assert len(server.asked) == 1
    assert left(settings) == []


def test_sources_that_are_no_folder_are_told(server: Server, settings: Settings) -> None:
    server.answers["/data.bin"] = [body()]
    settings.sources.write_text("a file")
    assert "Not a directory" in refusal(settings, download(server))
    assert settings.sources.read_text() == "a file"


def test_a_task_without_public_files_says_where_to_get_them(settings: Settings) -> None:
    with pytest.raises(BadInput) as refused:
        fetch(replace(task(), access=Access.CREDENTIALED), settings, quiet)
    told = str(refused.value)
    for part in ("credentialed", "CC0", "https://owner.example", str(settings.sources / "made_up")):
        assert part in told


@pytest.mark.parametrize(
    ("url", "name", "complaint"),
    [
        ("file:///etc/passwd", "data.bin", "not http or https"),
        ("ftp://owner.example/x", "data.bin", "not http or https"),
        ("owner.example/x", "data.bin", "not http or https"),
        ("https://", "data.bin", "not http or https"),
        ("https://owner.example/x", "../data.bin", "no plain name"),
        ("https://owner.example/x", "/data.bin", "no plain name"),
        ("https://owner.example/x", ".data", "no plain name"),
        ("https://owner.example/x", "", "no plain name"),
    ],
)
def test_addresses_and_names_that_are_refused(settings: Settings, url: str, name: str, complaint: str) -> None:
    assert complaint in refusal(settings, Download(url, name, None, "CC0"))
    assert not settings.sources.exists()
