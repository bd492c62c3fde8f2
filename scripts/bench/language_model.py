"""Measure whether a language model's server is kept busy, and how fast questions are answered.

    python scripts/bench/language_model.py flow --neurons 256

runs the two stages that ask a language model against a server that computes nothing and answers
after five seconds (half to one and a half times that, by the question), once with one group of 64
neurons under way at a time and once as a run does it. It prints how many requests were under way
on average.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from dnd_local.core.config import Execution
from dnd_local.core.records import Captions, Neuron
from dnd_local.engines.llm_patience import AT_ONCE_OURS
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.making import make_parts
from dnd_local.pipeline.plan import CAPTIONS, CONCEPTS, PHRASES
from dnd_local.pipeline.settings import default_data, make_config
from dnd_local.pipeline.stage import Item
from dnd_local.store.weights import default_root

THINGS = ("horse", "cat", "ball", "tree", "car", "dog", "cup", "boat", "bird", "house")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black", "pink", "brown")
PLACES = ("a table", "the grass", "a road", "snow", "the sea", "a shelf", "sand", "a hill")
LAYER = "layer"


def captions(neuron: int) -> tuple[str, ...]:
    """Return ten captions of a neuron, none of which another neuron has."""
    return tuple(
        f"a {COLOURS[(neuron + i) % 10]} {THINGS[neuron % 10]} on {PLACES[i % 8]}, number {neuron}"
        for i in range(10)
    )


# ---- a server that computes nothing -------------------------------------------------------------


class Counting:
    """A chat server on a Unix socket; adds up, over time, how many requests are under way."""

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self.area, self.requests, self._under_way, self._since = 0.0, 0, 0, time.monotonic()

    def change(self, by: int) -> None:
        """Note that a request has come (1) or has gone (-1)."""
        now = time.monotonic()
        self.area += self._under_way * (now - self._since)
        self._since, self._under_way = now, self._under_way + by

    async def serve(self, ready: threading.Event, ended: asyncio.Event) -> None:
        """Answer until `ended` is set."""
        async with await asyncio.start_unix_server(self._talk, self.path, backlog=1024):
            ready.set()
            await ended.wait()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode().lower():
                length = next((n for n in head.split("\r\n") if n.startswith("content-length")), "")
                body = await reader.readexactly(int(length.partition(":")[2] or 0))
                answer = await self._answer(head, body)
                size = len(answer)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (size, answer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: str, body: bytes) -> bytes:
        if "/v1/models" in head:
            return b'{"data": [{"id": "local"}]}'
        if not body:
            return b'{"version": "0.0"}'
        chance = int.from_bytes(sha256(body).digest()[:4], "big")
        self.requests += 1
        self.change(1)
        await asyncio.sleep(self.seconds * (0.5 + chance % 1000 / 1000))
        self.change(-1)
        message = {"role": "assistant", "content": said(body.decode(), chance)}
        return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()


def said(question: str, chance: int) -> str:
    """Return a phrase or a label; of labels one in eight is a list, and many repeat."""
    thing, colour = THINGS[chance % 10], COLOURS[chance // 10 % 7]
    return f"{colour} {thing}, {thing}" if chance % 8 == 0 else f"{colour} {thing}"


@contextmanager
def counting(folder: Path, seconds: float) -> Iterator[Counting]:
    """Hand over a server that runs in a thread."""
    server, ready = Counting(folder / "llm", seconds), threading.Event()
    loop, ended = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(server.serve(ready, ended)))
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


def flow(neurons: int, seconds: float) -> None:
    """Print how busy the server is, with one group at a time and as the plan has it."""
    print(f"{neurons} neurons, {AT_ONCE_OURS} requests under way at most")
    for name, at_once in (("one group at a time", 1), ("groups overlap", CONCEPTS.at_once)):
        with (
            tempfile.TemporaryDirectory() as folder,
            counting(Path(folder), seconds) as server,
        ):
            started = time.monotonic()
            run_stages(Path(folder), neurons, at_once)
            took = time.monotonic() - started
            busy = server.area / took
            print(f"{name}: {server.requests} requests, {took:.0f} s, {busy:.0f} under way")


def run_stages(folder: Path, neurons: int, at_once: int) -> None:
    """Make phrases and concepts of neurons that have captions, against the server in `folder`."""
    llm = {"engine": "server", "model": "local"}
    config = make_config("pocket", options={"llm": llm})
    execution = Execution(
        workspace=folder / "work", weights=default_root(), data=default_data(),
        llm_url=f"unix:{folder / 'llm'}", llm_concurrency=AT_ONCE_OURS,
    )  # fmt: skip
    lab = Lab(config, execution)
    items = [Item.of_neuron(Neuron("pocket", LAYER, i)) for i in range(neurons)]
    for item in items:
        part = Captions(Neuron("pocket", LAYER, item.index), captions(item.index))
        CAPTIONS.parts(lab).write(item.name, part)
    try:
        for stage in (PHRASES, CONCEPTS):
            groups = list(stage.batches(config, items))
            make_parts(replace(stage, at_once=at_once), lab, groups, lambda done: None)
    finally:
        lab.close()


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["flow"])
    parser.add_argument("--neurons", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    flow(given.neurons, given.seconds)


if __name__ == "__main__":
    main()
