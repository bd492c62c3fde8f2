"""An event loop in a thread of its own, its calls, and the connections that they take turns on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from contextlib import asynccontextmanager
from threading import Event, Thread
from typing import Any, TypeVar

import httpx

from dnd_local.core.errors import NoReply

T = TypeVar("T")


class LoopThread:
    """An event loop in a thread of its own, from when it is first given something to `close`."""

    def __init__(self) -> None:
        self._thread: Thread | None = None

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start `work` on the loop; cancelling the future that is returned cancels it there."""
        if self._thread is None:
            running = Event()
            self._thread = Thread(
                target=lambda: asyncio.run(self._serve(running)), name="language model", daemon=True
            )
            self._thread.start()
            running.wait()
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Cancel what is under way, and end the thread."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join()
            self._thread = None

    async def _serve(self, running: Event) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        running.set()
        await self._ended.wait()  # `asyncio.run` then cancels what is left


class Calls:
    """The calls that are under way on one loop: one that gives the server up ends all of them."""

    def __init__(self) -> None:
        self._under_way: dict[asyncio.Task[Any], NoReply | None] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns.

        Raises:
            NoReply: `work` raised it, or another call's work did meanwhile.
        """
        call = asyncio.current_task()
        assert call is not None  # a coroutine is run by a task
        self._under_way[call] = None
        try:
            return await work
        except NoReply as error:
            for other in [one for one in self._under_way if one is not call]:
                self._under_way[other] = error
                other.cancel()
            raise
        except asyncio.CancelledError:
            if (reason := self._under_way[call]) is not None:
                raise reason from None
            raise
        finally:
            del self._under_way[call]


class Lanes:
    """Clients of one connection each, at most `at_once`, for requests in the order they come."""

    def __init__(self, at_once: int, open_lane: Callable[[], httpx.AsyncClient]) -> None:
        self._open = open_lane
        self._turns = asyncio.Semaphore(at_once)
        self._free: list[httpx.AsyncClient] = []

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[httpx.AsyncClient]:
        """Hand over a client, for one request, once it is this one's turn."""
        async with self._turns:
            lane = self._free.pop() if self._free else self._open()
            try:
                yield lane
            except BaseException:
                await lane.aclose()
                raise
            self._free.append(lane)

    async def close(self) -> None:
        """Close the clients that no request uses."""
        while self._free:
            await self._free.pop().aclose()
