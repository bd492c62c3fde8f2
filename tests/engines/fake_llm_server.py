"""A chat server on a Unix socket that answers well, or as badly as it is told."""

import asyncio
import json
import tempfile
import threading
from collections import Counter
from pathlib import Path

from dnd_local.engines.llm_address import read_address


def said(text, finish="stop"):
    """Return a well-formed response that says `text`."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    return response(json.dumps({"choices": [choice | {"finish_reason": finish}]}).encode())


def response(body, status=200):
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


CUT_OFF = response(b'{"choices": [{"message": {"content": "half a wo')[:-20]
EMPTY = response(b"")
BROKEN = response(b'{"error": {"message": "engine on fire"}}', 500)
TEN_MEGABYTES = said("x" * 10_000_000)
SILENCE = None
"""Instead of a response: nothing, and the connection stays open."""


def drip(count=1000):
    """Return a response whose bytes come one at a time, for as long as anyone listens."""
    return [b"HTTP/1.1 200 X\r\nContent-Length: 999999\r\n\r\n", *[b" "] * count]


class FakeServer:
    """Answers each request with what `answer(user text, attempt)` returns, after `delay_s`.

    `asked` counts the tries by user text, `bodies` keeps every request, `most` is the highest
    number of requests that were under way at once.
    """

    def __init__(self, answer, delay_s=0.0, routes=()):
        self.answer = answer
        self.delay_s = delay_s
        self.routes = {
            "/health": response(b""),
            "/version": response(b'{"version": "0.32.0"}'),
            "/v1/models": response(b'{"data": [{"id": "local"}]}'),
        } | dict(routes)
        self.asked = Counter()
        self.bodies = []
        self.headers = []
        self.under_way = self.most = 0

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="dnd-", dir="/tmp")
        self.path = Path(self._folder.name) / "llm"
        self.address = read_address(f"unix:{self.path}")
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        assert self._ready.wait(5)
        return self

    def __exit__(self, *error):
        self.stop()
        self._folder.cleanup()

    def stop(self):
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    async def _run(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._tasks = set()
        server = await asyncio.start_unix_server(self._connection, self.path, backlog=1024)
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()

    async def _connection(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._respond(head.decode(), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _respond(self, head, reader, writer):
        method, path, _ = head.split("\r\n")[0].split(" ")
        headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        self.headers.append(headers)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if method == "GET":
            await self._write(self.routes[path], writer)
            return
        asked = json.loads(body)
        text = asked["messages"][-1]["content"]
        self.bodies.append(asked)
        self.asked[text] += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self.delay_s)
            await self._write(self.answer(text, self.asked[text]), writer)
        finally:
            self.under_way -= 1

    async def _write(self, answer, writer):
        if answer is SILENCE:
            await self._stop.wait()
        for piece in answer if isinstance(answer, list) else [answer]:
            writer.write(piece)
            await writer.drain()
            if isinstance(answer, list):
                await asyncio.sleep(0.01)
        if answer is CUT_OFF:
            raise ConnectionError
