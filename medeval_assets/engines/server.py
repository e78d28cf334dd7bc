"""Server: an OpenAI-compatible server, asked again where an answer may still come."""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from medeval_assets.engines.untrusted_json import Unusable, parsed, word
from medeval_assets.errors import BadInput, MedevalError, Problem

_T = TypeVar("_T")

KEYS = ("MEDEVAL_SERVER_KEY", "OPENAI_API_KEY")
"""Environment variables that may hold the server's key, the first that is set counts."""

SMALLEST_BOUND = 4 * 2**20
"""Bytes of an answer that are read at least."""

_OF_AN_ERROR = 64 * 2**10
_REFUSING = {400, 404, 413, 422}
_PASSING = {408, 409, 425, 429}
_NAMES_SHOWN = 10
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,99}")


class Refused(Exception):
    """The server will never answer this request. Its message is short and quotes nothing."""


class NoAnswer(Exception):
    """The server gave no usable answer this time. Its message is short and quotes nothing."""


@dataclass(frozen=True)
class Patience:
    """How often and how long a server is asked, in seconds.

    tries: of one request. first_wait: before the second; it doubles from try to try up to longest_wait, less up to half
        of it, so that requests that failed together do not come back together.
    longest_told: where the server asks to wait longer than this (`Retry-After`), it is not asked again.
    connecting, answering: after which a try counts as lost. altogether: after which there is no further try.
    """

    tries: int = 6
    first_wait: float = 1.0
    longest_wait: float = 60.0
    longest_told: float = 600.0
    connecting: float = 30.0
    answering: float = 600.0
    altogether: float = 1800.0

    def wait(self, attempt: int, draw: float) -> float:
        """Before the next try. attempt: from 0. draw: uniform in [0, 1)."""
        return min(self.first_wait * 2.0**attempt, self.longest_wait) * (1 - draw / 2)


PATIENCE = Patience()


@dataclass(frozen=True)
class Fault:
    """What the server says of a request that it does not answer.

    code: its word for it, "" where it has none that can be shown. parameter: the one it is about.
    """

    status: int
    code: str = ""
    parameter: str = ""
    has_body: bool = False

    def __str__(self) -> str:
        return f"HTTP {self.status} ({self.code})" if self.code else f"HTTP {self.status}"


class Server:
    """One server, as one model sees it.

    Every request has a connection of its own: on a shared one an answer that comes twice or late would be taken for
    that to the next request. Redirects are not followed, cookies not kept, keys and answers never shown.

    where: the model, for messages. address: such as `http://127.0.0.1:8000/v1`. model: what the server calls it.
    """

    def __init__(self, where: str, address: str, model: str, patience: Patience | None = None) -> None:
        self.model = model
        self._where = where
        self._address = address.rstrip("/")
        self._patience = patience or PATIENCE
        self._headers = _headers(where)
        self._session: aiohttp.ClientSession | None = None
        self._not_before = 0.0

    @property
    def name(self) -> str:
        """Host, port and path."""
        return self._address.partition("://")[2]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Within it the server can be asked, on this event loop."""
        patience = self._patience
        timeout = aiohttp.ClientTimeout(total=patience.answering, sock_connect=patience.connecting)
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, headers=self._headers, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            self._session = session
            self._not_before = 0.0
            yield
        self._session = None

    async def ask(
        self,
        path: str,
        body: Mapping[str, Any],
        read: Callable[[Any], _T],
        *,
        bound: int = 0,
        seed: str = "",
        on_fault: Callable[[Fault], Mapping[str, Any] | None] = lambda fault: None,
    ) -> _T:
        """What `read` makes of the answer. It raises Unusable for one that cannot be right, which counts as none.

        bound: most bytes that an answer can have beside `SMALLEST_BOUND`.
        seed: of the waiting times.
        on_fault: another body, where the request is refused and one without the fault can be made.
        Refused, NoAnswer; BadInput where no request of this model can be answered.
        """
        draws = random.Random(seed)  # noqa: S311 - waiting times, not secrets
        end = time.monotonic() + self._patience.altogether
        reason = ""
        for attempt in range(self._patience.tries):
            wait = self._patience.wait(attempt, draws.random())
            await self._pause()
            try:
                status, headers, content = await self._post(path, body, SMALLEST_BOUND + bound)
                if status == 200:
                    return read(parsed(content))
                fault = _fault(status, content)
                reason = str(fault)
                other = on_fault(fault)
                if other is not None:
                    body = other
                    continue
                await self._refuse(path, fault)
                told = _told_to_wait(headers) if status in {429, 503} else None
                if told is not None:
                    if told > self._patience.longest_told:
                        raise NoAnswer(f"{reason}, not to be asked again for {told:.0f} s")
                    self._not_before = max(self._not_before, time.monotonic() + told)
                    wait = told + wait / 10
            except Unusable as error:
                reason = str(error)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                reason = self._lost(error)
            if time.monotonic() + wait > end:
                break
            if attempt + 1 < self._patience.tries:
                await asyncio.sleep(wait)
        raise NoAnswer(reason)

    async def look(self, address: str, read: Callable[[Any], _T]) -> _T | None:
        """What `read` makes of what lies at an address of the server; None where there is nothing usable.

        address: beginning with `/` it is the server's root, else it follows the base address.
        BadInput where the key is refused; NoAnswer where nothing answers.
        """
        url = f"{self._address}/{address}"
        if address.startswith("/"):
            scheme, _, rest = self._address.partition("://")
            url = f"{scheme}://{rest.partition('/')[0]}{address}"
        reason = ""
        for attempt in range(self._patience.tries):
            try:
                status, _, content = await self._send("GET", url, None, SMALLEST_BOUND)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                reason = self._lost(error)
            except Unusable:
                return None
            else:
                if status in {401, 403}:
                    raise self._key_is_wrong(status)
                try:
                    return read(parsed(content)) if status == 200 else None
                except Unusable:
                    return None
            if attempt + 1 < self._patience.tries:
                await asyncio.sleep(self._patience.wait(attempt, 0.0))
        raise NoAnswer(reason)

    async def models(self) -> list[Mapping[str, Any]]:
        """What the server says of each model that it serves; empty where it does not say."""

        def read(content: Any) -> list[Mapping[str, Any]]:
            listed = content.get("data") if isinstance(content, dict) else None
            return [one for one in listed or [] if isinstance(one, dict) and isinstance(one.get("id"), str)]

        return await self.look("models", read) or []

    def unreachable(self, error: NoAnswer) -> MedevalError:
        remedy = "Start it, or mend `engine.server` of the model."
        return BadInput([Problem(self._where, f"the server {self.name} gives no answer: {error}", remedy)])

    async def _pause(self) -> None:
        """Until the server may be asked: what it told one request holds for all."""
        while (left := self._not_before - time.monotonic()) > 0:
            await asyncio.sleep(left)

    async def _post(self, path: str, body: Mapping[str, Any], bound: int) -> tuple[int, Mapping[str, str], bytes]:
        return await self._send("POST", f"{self._address}/{path}", {"model": self.model, **body}, bound)

    async def _send(
        self, method: str, url: str, body: Mapping[str, Any] | None, bound: int
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and content. Unusable where the content is longer than `bound` bytes."""
        if self._session is None:
            raise RuntimeError("the server is not open")
        content = bytearray()
        async with self._session.request(
            method, url, json=body, allow_redirects=False, **self._through_proxy(url)
        ) as response:
            most = bound if response.status == 200 else _OF_AN_ERROR
            async for chunk in response.content.iter_chunked(2**16):
                content += chunk
                if len(content) > most:
                    if response.status != 200:
                        break
                    raise Unusable(f"an answer of more than {bound} bytes")
            return response.status, response.headers, bytes(content)

    async def _refuse(self, path: str, fault: Fault) -> None:
        """Refused or BadInput where asking again gives the same."""
        status = fault.status
        if status in {401, 403}:
            raise self._key_is_wrong(status)
        if status == 404:
            await self._look_for_the_model(path, fault)
        if status == 413 or (status in _REFUSING and fault.has_body):
            raise Refused(str(fault))
        if status < 500 and status not in _PASSING and status not in _REFUSING:
            what = f"the server {self.name} answers HTTP {status} to /{path}"
            remedy = "Mend `engine.server`: it is where the server itself answers, and mostly ends in /v1."
            raise BadInput([Problem(self._where, what, remedy)])

    async def _look_for_the_model(self, path: str, fault: Fault) -> None:
        try:
            served = [str(one["id"]) for one in await self.models()]
        except NoAnswer:
            served = []
        names = [name for name in served if _MODEL.fullmatch(name)]
        if fault.code == "model_not_found" or fault.parameter == "model" or (served and self.model not in served):
            known = f"It serves: {', '.join(names[:_NAMES_SHOWN])}." if names else "Ask who runs it for the name."
            what = f"the server {self.name} has no model of the name {self.model}"
            raise BadInput([Problem(self._where, what, f"Mend `engine.served_name` or the checkpoint. {known}")])
        if not fault.has_body:
            what = f"the server {self.name} has no /{path}"
            remedy = "Mend `engine.server`: it mostly ends in /v1."
            raise BadInput([Problem(self._where, what, remedy)])

    def _key_is_wrong(self, status: int) -> BadInput:
        what = f"the server {self.name} refuses the key (HTTP {status})"
        if "Authorization" not in self._headers:
            what = f"the server {self.name} wants a key (HTTP {status})"
        return BadInput([Problem(self._where, what, f"Set {KEYS[0]} to the server's key.")])

    def _lost(self, error: Exception) -> str:
        """Why a try came to nothing, in our own words. BadInput where the next one would, too."""
        match error:
            case aiohttp.ClientConnectorCertificateError():
                raise self._not_secure("its certificate is not trusted", "Set SSL_CERT_FILE to the one that signed it.")
            case aiohttp.ClientConnectorSSLError():
                raise self._not_secure("it speaks no TLS that can be used", "Write http:// where it has none.")
            case aiohttp.ConnectionTimeoutError():
                return f"no connection within {self._patience.connecting:g} s"
            case TimeoutError():
                return f"no answer within {self._patience.answering:g} s"
            case aiohttp.ClientConnectorError():
                return "no connection"
            case aiohttp.ClientPayloadError():
                return "an answer cut short"
            case aiohttp.ClientResponseError():
                return "an answer that is not HTTP"
            case _:
                return "the connection was lost"

    def _through_proxy(self, url: str) -> dict[str, Any]:
        """The proxy that the environment asks for. (The library's own way reads .netrc too, and fails beside a key.)"""
        scheme, _, rest = url.partition("://")
        proxies = getproxies()
        proxy = proxies.get(scheme.lower()) or proxies.get("all")
        if not proxy or proxy_bypass(rest.partition("/")[0]):
            return {}
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        if parts.scheme not in {"http", "https"}:
            what = f"the environment asks for a proxy that speaks {parts.scheme}"
            remedy = f"Set {scheme.upper()}_PROXY to an HTTP proxy, or NO_PROXY to the server's host."
            raise BadInput([Problem(self._where, what, remedy)])
        login = aiohttp.BasicAuth(unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        return {"proxy": urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])), "proxy_auth": login}

    def _not_secure(self, why: str, remedy: str) -> BadInput:
        return BadInput([Problem(self._where, f"no secure connection to the server {self.name}: {why}", remedy)])


def _headers(where: str) -> dict[str, str]:
    name = next((name for name in KEYS if os.environ.get(name, "").strip()), None)
    if name is None:
        return {}
    key = os.environ[name].strip()
    if re.fullmatch(r"[!-~]+", key) is None:
        what = f"the key in {name} has characters that no key has"
        raise BadInput([Problem(where, what, "Copy it again: one line of letters, digits and signs.")])
    return {"Authorization": f"Bearer {key}"}


def _fault(status: int, content: bytes) -> Fault:
    try:
        body = parsed(content)
    except Unusable:
        return Fault(status)
    if not isinstance(body, dict):
        return Fault(status)
    error = body.get("error")
    told = error if isinstance(error, dict) else body
    code = word(told.get("code")) if isinstance(told.get("code"), str) else ""
    has_body = error is not None or body.get("object") == "error" or (status != 404 and "detail" in body)
    return Fault(status, code or word(told.get("type")), word(told.get("param")), has_body)


def _told_to_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds of `Retry-After`, which may also be a date."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d*)?", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError, TypeError):
        return None
