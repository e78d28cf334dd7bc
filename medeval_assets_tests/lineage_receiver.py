"""A receiver of OpenLineage events: a real HTTP server on loopback that can be told to misbehave."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

UNREAD, UNANSWERED, HALF_A_STATUS, HALF_AN_ANSWER = "unread", "unanswered", "half a status", "half an answer"
DROPS = (UNREAD, UNANSWERED, HALF_A_STATUS, HALF_AN_ANSWER)
"""When a connection breaks: before the event is read, after that, and within the answer."""


@dataclass(frozen=True)
class Answer:
    """What a request is answered with. drop: one of `DROPS`, where the connection breaks instead."""

    status: int = 201
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    drop: str = ""


@dataclass
class Receiver:
    """What arrived. answer: the number of a request, from 1 → the answer to it.

    taken: the bodies of all events whose sender was, or should have been, told that they are taken; some twice.
    requests: method, path and headers of each request that was read.
    connections: how many were opened.
    """

    answer: Callable[[int], Answer] = lambda number: Answer()
    taken: list[bytes] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    connections: int = 0
    url: str = ""

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events in the order of their first arrival, each once: by run or dataset, type and time."""
        known: dict[tuple[str, ...], dict[str, Any]] = {}
        for body in self.taken:
            event = json.loads(body)
            about = event["run"]["runId"] if "run" in event else event["dataset"]["name"]
            identity = (about, event.get("eventType", ""), event["eventTime"])
            assert known.setdefault(identity, event) == event, "the same event came as two"
        return list(known.values())


@contextlib.contextmanager
def receiving(receiver: Receiver, *, keep_alive: bool = False) -> Iterator[Receiver]:
    """The receiver at its `url`, while the block runs. keep_alive: it takes many requests on a connection."""
    numbers = iter(range(1, 1_000_000))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1" if keep_alive else "HTTP/1.0"

        def setup(self) -> None:
            super().setup()
            receiver.connections += 1

        def handle_one_request(self) -> None:
            if not self.connection.recv(1, socket.MSG_PEEK):
                self.close_connection = True
                return
            self.answer = receiver.answer(next(numbers))
            if self.answer.drop == UNREAD:
                self._break()
                return
            super().handle_one_request()

        def do_POST(self) -> None:
            self._take(self.rfile.read(int(self.headers["Content-Length"])))

        def do_GET(self) -> None:
            self._take(b"")

        def log_message(self, *_: object) -> None:
            """Nothing: tests print what they need."""

        def _take(self, body: bytes) -> None:
            answer = self.answer
            receiver.requests.append((self.command, self.path, dict(self.headers)))
            if answer.status < 300:
                receiver.taken.append(body)
            if answer.drop == HALF_A_STATUS:
                self.wfile.write(b"HTTP/1.")
            if answer.drop == HALF_AN_ANSWER:
                self.wfile.write(b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\nhalf")
            if answer.drop:
                self._break()
                return
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(answer.body)

        def _break(self) -> None:
            """As when a process is killed: what is left is thrown away."""
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def every_third(number: int) -> Answer:
    """Breaks every third connection, each time at another moment."""
    return Answer(drop=DROPS[number // 3 % len(DROPS)] if number % 3 == 0 else "")
