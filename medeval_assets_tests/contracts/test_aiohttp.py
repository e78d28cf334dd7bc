"""What asking a server relies on in `aiohttp`, and what it shields from. An upgrade that changes one fails here."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest


def answer(text: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


async def answers_of(**connector: Any) -> list[str]:
    """What two requests in a row are given by a server that answers the first of a connection twice."""
    numbers = iter(range(100))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            number = next(numbers)
            writer.write(answer(f"answer {number}"))
            if number == 0:
                await asyncio.sleep(0.05)
                writer.write(answer("answer 0 again"))
            await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(**connector)) as session:
        found = []
        for _ in range(2):
            async with session.get(f"http://127.0.0.1:{port}/") as response:
                found.append(await response.text())
            await asyncio.sleep(0.2)
    server.close()
    return found


def test_on_a_connection_of_its_own_each_request_has_its_own_answer() -> None:
    assert asyncio.run(answers_of(force_close=True)) == ["answer 0", "answer 1"]


def test_on_a_shared_connection_a_late_second_answer_is_taken_for_the_next() -> None:
    assert asyncio.run(answers_of()) == ["answer 0", "answer 0 again"]


def test_what_it_reads_of_the_environment_fails_beside_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    async def ask() -> None:
        async with aiohttp.ClientSession(trust_env=True, headers={"Authorization": "Bearer key"}) as session:
            await session.get("http://127.0.0.1:1/")

    with pytest.raises(ValueError, match="Cannot combine AUTHORIZATION"):
        asyncio.run(ask())
