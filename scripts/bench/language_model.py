"""Measure whether a language model's server is kept busy, and how fast questions are answered.

    python scripts/bench/language_model.py flow --neurons 256

runs the two stages that ask a language model against a server that computes nothing and answers
after five seconds (half to one and a half times that, by the question), once with one group of 64
neurons under way at a time and once as a run does it. It prints how many requests were under way
on average. ::

    python scripts/bench/language_model.py speed --neurons 32 --vllm-python PYTHON

asks the embedded language model to shorten ten captions a neuron: through transformers in this
process; at a vLLM that is started, through this package's client; at the same vLLM, through bare
sockets that send bodies made beforehand and only split replies from each other, as many at once.
The last two take turns, after a first round that warms vLLM's prefix cache.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

from dnd_local.core.config import Execution, LlmConfig
from dnd_local.core.conversations import Request
from dnd_local.core.records import Captions, Neuron
from dnd_local.engines.language_model_transformers import TransformersLanguageModel
from dnd_local.engines.language_model_vllm import open_vllm
from dnd_local.engines.llm_body import chat_body
from dnd_local.engines.llm_patience import AT_ONCE_OURS
from dnd_local.pipeline.lab import Lab
from dnd_local.pipeline.making import make_parts
from dnd_local.pipeline.plan import CAPTIONS, CONCEPTS, PHRASES
from dnd_local.pipeline.settings import default_data, make_config
from dnd_local.pipeline.stage import Item
from dnd_local.store.openai_batch import ENDPOINT
from dnd_local.store.prompts import PromptFolder
from dnd_local.store.weights import Weights, default_root

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


# ---- a real vLLM --------------------------------------------------------------------------------


def questions(neurons: int) -> list[Request]:
    """Return the questions of the first stage."""
    prompts = PromptFolder(None)
    texts = [text for neuron in range(neurons) for text in captions(neuron)]
    return [
        Request(prompts.messages("simplify", caption=text), LlmConfig().temperature, seed, 40)
        for seed, text in enumerate(texts)
    ]


async def ask_barely(socket: str, key: str, bodies: Sequence[bytes], at_once: int) -> None:
    """Post each body to a chat server and read the whole reply, on `at_once` connections."""
    head = f"POST {ENDPOINT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: "
    coming = iter(bodies)

    async def connection() -> None:
        reader, writer = await asyncio.open_unix_connection(socket)
        for body in coming:
            writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            assert " 200 " in answer, answer
            size = next(n for n in answer.split("\r\n") if n.startswith("content-length"))
            await reader.readexactly(int(size.partition(":")[2]))
        writer.close()

    await asyncio.gather(*(connection() for _ in range(min(at_once, len(bodies)))))


def timed(name: str, requests: int, work: Callable[[], object]) -> None:
    """Print how many requests a second `work` gets through."""
    started = time.monotonic()
    work()
    print(f"{name}: {requests / (time.monotonic() - started):.1f} requests a second", flush=True)


def speed(neurons: int, vllm_python: str, turns: int = 2) -> None:
    """Print requests a second of transformers, of this package's client and of a bare one."""
    asked, folder = questions(neurons), Weights.open().folder(make_config("pocket").llm.model)
    llm = LlmConfig(engine="vllm", dtype="float32", batch=32)
    here = TransformersLanguageModel(folder, llm)
    timed("transformers, in this process", len(asked), lambda: here.reply(asked))
    here.close()
    with tempfile.TemporaryDirectory() as work:
        where = Path(work)
        execution = Execution(
            workspace=where, weights=default_root(), data=default_data(), vllm_python=vllm_python
        )
        with open_vllm(llm, folder, execution) as served:
            bodies = [json.dumps(chat_body(one, served.facts)).encode() for one in asked]
            bare = partial(ask_barely, served.address.socket, served._key, bodies, AT_ONCE_OURS)
            served.reply(asked)
            for _ in range(turns):
                timed("vLLM, this package's client", len(asked), lambda: served.reply(asked))
                timed("vLLM, bare sockets", len(asked), lambda: asyncio.run(bare()))


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["flow", "speed"])
    parser.add_argument("--vllm-python", default="")
    parser.add_argument("--neurons", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    if given.what == "flow":
        flow(given.neurons, given.seconds)
    else:
        speed(given.neurons, given.vllm_python)


if __name__ == "__main__":
    main()
