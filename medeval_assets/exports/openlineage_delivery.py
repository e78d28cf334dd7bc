"""How OpenLineage events get to where they are wanted: into a file, or to a receiver by the official client.

The client's transport is used without its `OpenLineageClient`, which would look into the working folder, the home
folder and the environment for a configuration, and could be told there to drop events or to add variables to them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from medeval_assets.catalog.quoted import quoted
from medeval_assets.errors import BadInput, Problem

if TYPE_CHECKING:
    import requests
    from openlineage.client.event_v2 import DatasetEvent, RunEvent
    from openlineage.client.transport.http import HttpTransport

ENDPOINT = "/api/v1/lineage"
"""Where receivers of OpenLineage listen, unless their address says otherwise."""

KEY_VARIABLE = "OPENLINEAGE_API_KEY"

_TIMEOUT = 30.0  # seconds that a receiver may take to answer
_LONGEST_WAIT = 60  # seconds that a receiver may ask for before the next try
_READ_AGAIN = 64 * 1024  # bytes of an answer that are read so that its connection can be used again


def write_events(events: Iterable[RunEvent | DatasetEvent], path: Path) -> int:
    """One event a line, in a file that is whole or as it was before; returns how many."""
    from openlineage.client.serde import Serde

    draft = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        if path.exists() and not path.is_file():
            raise BadInput([Problem(quoted(path.name), "it is no file", "Give the name of a file.")])
        path.parent.mkdir(parents=True, exist_ok=True)
        written = 0
        with draft.open("x", encoding="utf-8") as file:
            for event in events:
                file.write(Serde.to_json(event) + "\n")
                written += 1
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        what = f"it cannot be written ({error.strerror or type(error).__name__})"
        raise BadInput([Problem(quoted(path.name), what, "Check the folder and its permissions.")]) from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return written


def send_events(events: Iterable[RunEvent | DatasetEvent], url: str, *, tries: int = 8) -> int:
    """Send them to a receiver, one after the other; returns how many it took.

    A connection that breaks, and an answer that says to come back later, are tried again, with growing pauses. So an
    event may arrive twice; it is the same event then, with the same run, type and time. Nothing of an answer but its
    status matters. A redirect is refused: by the rules of HTTP it would turn the event into a question.

    url: without a path, that of OpenLineage is taken. The receiver's key is read from OPENLINEAGE_API_KEY, and goes to
    it alone. Proxies and certificates are those of the environment.
    BadInput where the address or the key cannot be used, or the receiver does not take an event: it says how many it
    took before.
    """
    import requests
    from urllib3.exceptions import HTTPError

    transport = _transport(url, tries)
    where, sent = _shown(url), 0
    # It warns of each new try with all of the address.
    warns = logging.getLogger("urllib3.connectionpool")
    before = warns.level
    warns.setLevel(logging.ERROR)
    try:
        for event in events:
            try:
                transport.emit(event)
            except (requests.RequestException, HTTPError) as error:
                what = f"the receiver took {sent} events and then no more ({_reason(error)})"
                remedy = "Send all of them again: a receiver knows an event that it has already."
                raise BadInput([Problem(where, what, remedy)]) from error
            sent += 1
    finally:
        warns.setLevel(before)
        transport.close()
    return sent


def _transport(url: str, tries: int) -> HttpTransport:
    from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport, TokenProvider

    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and key.isprintable()):
        what = "it holds letters that cannot be sent"
        raise BadInput([Problem(KEY_VARIABLE, what, "Set it to the key, and nothing else.")])
    base, endpoint = _address(url)
    retry = {
        **dict.fromkeys(("total", "connect", "read", "status", "other"), tries - 1),
        "backoff_factor": 0.1,
        "status_forcelist": [429, 500, 502, 503, 504],
        "allowed_methods": ["POST"],
        "raise_on_status": False,
        "retry_after_max": _LONGEST_WAIT,
    }
    config = HttpConfig(
        url=base,
        endpoint=endpoint,
        timeout=_TIMEOUT,
        auth=ApiKeyTokenProvider({"apiKey": key}) if key else TokenProvider({}),
        session=_session(),
        retry=retry,
    )
    return HttpTransport(config)


def _session() -> requests.Session:
    import requests

    session = requests.Session()
    # Whatever an answer holds, it is not waited for: its status has said all.
    session.stream = True
    session.hooks["response"].append(_read_small_answer)
    session.max_redirects = 0
    # Else the password that ~/.netrc has for the host would take the place of the key.
    session.auth = _as_it_is
    return session


def _read_small_answer(response: requests.Response, **_: object) -> None:
    """So that the connection can be used again. How the answer ends, and whether it does, is all the same."""
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) <= _READ_AGAIN:
        response.raw.drain_conn()


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _address(url: str) -> tuple[str, str]:
    """The receiver's address without and its path. BadInput where it is none."""
    problem = Problem(
        _shown(url), "this is no address of a receiver", "Write `https://host:port`, with its path, if any."
    )
    try:
        parts = urlsplit(url)
        usable = bool(parts.scheme in {"http", "https"} and parts.hostname and url.isprintable() and " " not in url)
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError as error:
        raise BadInput([problem]) from error
    if not usable:
        raise BadInput([problem])
    if parts.username is not None or parts.password is not None:
        what = "the address holds a name or a password"
        raise BadInput([Problem(_shown(url), what, f"Give the receiver's key in {KEY_VARIABLE}.")])
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    path = parts.path if parts.path not in {"", "/"} else ENDPOINT
    return f"{parts.scheme}://{host}{port}", f"{path}?{parts.query}" if parts.query else path


def _shown(url: str) -> str:
    """The address fit for a message: without a password, a key in its query, or what would steer a terminal."""
    return quoted(url.partition("?")[0].rpartition("@")[2], most=100)


def _reason(error: Exception) -> str:
    """Why, without a word of the receiver's or of a library's: these may quote the key."""
    response = getattr(error, "response", None)
    if response is None:
        return type(error).__name__
    status = response.status_code
    return f"a redirect, status {status}: give the address it leads to" if 300 <= status < 400 else f"status {status}"
