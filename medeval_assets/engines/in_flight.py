"""InFlight: many requests with a server at once, their answers handed on as they come."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from medeval_assets.engines.protocol import Answer, Batch, Request
from medeval_assets.engines.server import NoAnswer, Refused, Server

_T = TypeVar("_T")

IN_A_ROW = 8
"""Requests without an answer, none between them with one, after which the server is not asked for the rest."""

A_TURN = 0.5
"""Seconds after which whoever reads has a turn, also where no answer has come."""

Ask = Callable[[Request], Awaitable[Answer]]


class InFlight:
    """Asks a server from a thread of its own, which goes on while the caller keeps what has come.

    most: requests that are with the server at once.
    """

    def __init__(self, server: Server, most: int) -> None:
        self._server = server
        self._most = most

    def answers(self, requests: Sequence[Request], begin: Callable[[], Awaitable[Ask]]) -> Iterator[Batch]:
        """Each request with its one answer, in the order in which they come; what is there is handed on together.

        A batch may be empty: whoever reads has a turn every half second, and may stop then.
        begin: makes ready what asks a request; called once, with the server open.
        What the server refuses or does not answer is an answer of that kind. Whatever else `begin` or asking raises is
        raised here after the answers that had come. Who stops reading takes the requests that are left back.
        """
        if not requests:
            return
        come: queue.SimpleQueue[tuple[Request, Answer] | None] = queue.SimpleQueue()
        with _event_loop() as loop:
            asking = asyncio.run_coroutine_threadsafe(self._ask_all(requests, begin, come.put), loop)
            asking.add_done_callback(lambda _: come.put(None))
            over = False
            while not over:
                items = []
                with contextlib.suppress(queue.Empty):
                    items.append(come.get(timeout=A_TURN))
                    while True:
                        items.append(come.get_nowait())
                batch = [item for item in items if item is not None]
                over = len(batch) < len(items)
                if batch or not over:
                    yield batch
            asking.result()

    async def _ask_all(
        self,
        requests: Sequence[Request],
        begin: Callable[[], Awaitable[Ask]],
        put: Callable[[tuple[Request, Answer]], None],
    ) -> None:
        waiting = iter(requests)
        in_a_row = 0

        async def one_by_one(ask: Ask) -> None:
            nonlocal in_a_row
            for request in waiting:
                try:
                    if in_a_row >= IN_A_ROW:
                        raise NoAnswer(f"not asked, as {IN_A_ROW} requests in a row got no answer")
                    answer = await ask(request)
                    in_a_row = 0
                except Refused as error:
                    answer = Answer("", "refused", 0, reason=str(error))
                    in_a_row = 0
                except NoAnswer as error:
                    answer = Answer("", "failed", 0, reason=str(error))
                    in_a_row += 1
                put((request, answer))

        async with self._server.open():
            ask = await begin()
            workers = [asyncio.create_task(one_by_one(ask)) for _ in range(min(self._most, len(requests)))]
            try:
                await asyncio.gather(*workers)
            finally:
                await _cancelled(workers)


def in_thread(work: Coroutine[Any, Any, _T]) -> _T:
    """The result of work that needs an event loop, whether or not this thread runs one."""
    with _event_loop() as loop:
        return asyncio.run_coroutine_threadsafe(work, loop).result()


@contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs in a thread. What is left in it at the end is cancelled."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True, name="requests in flight")
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end() -> None:
    await _cancelled([task for task in asyncio.all_tasks() if task is not asyncio.current_task()])
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.get_running_loop().shutdown_default_executor()


async def _cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
