"""A language model behind a server that speaks the OpenAI chat API: vLLM, ours or one named.

Requests of all calls are under way at once, up to a bound; each has its own time limit and a few
tries. A request that fails for good becomes a reply without text whose `finish` says why, for the
stage to record; a server that fails for good is an exception.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx

from dnd_local.core.config import Execution, LlmConfig
from dnd_local.core.conversations import Reply, Request
from dnd_local.core.errors import NoReply
from dnd_local.core.sequences import distinct
from dnd_local.engines.llm_address import Address, read_address
from dnd_local.engines.llm_body import chat_body
from dnd_local.engines.llm_lanes import Calls, Lanes, LoopThread
from dnd_local.engines.llm_patience import (
    AT_ONCE_OURS,
    AT_ONCE_THEIRS,
    MANY,
    USUAL,
    Patience,
    Silence,
)
from dnd_local.engines.llm_survey import (
    KEY_VARIABLE,
    SHORT,
    ServerFacts,
    brief,
    has_switch,
    survey,
)
from dnd_local.engines.vllm_command import ServerSettings
from dnd_local.engines.vllm_python import find_vllm
from dnd_local.engines.vllm_server import serve
from dnd_local.store.openai_batch import ENDPOINT, read_completion

_LOGGER: Final = logging.getLogger(__name__)

MAX_REPLY_BYTES: Final = 1 << 20

_TRY_AGAIN: Final = frozenset({408, 409, 425, 429})
_TELLING: Final = 8
"""When this many different requests fail and none succeeds, the server is what is broken."""


class _Failed(Exception):
    """One try failed; the message says how. Always caught in this module."""

    def __init__(self, reason: str, *, final: bool) -> None:
        super().__init__(reason)
        self.final = final


class VllmLanguageModel:
    """A `LanguageModel` behind a chat server.

    Args:
        address: where the server listens.
        facts: what it said of itself (`survey`).
        key: what it wants as bearer token; empty for none.
        patience: time limits and tries.
        check: called when the server does not answer; raises if it is known to be gone.
    """

    def __init__(
        self,
        address: Address,
        facts: ServerFacts,
        *,
        key: str = "",
        patience: Patience = USUAL,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.address = address
        self.facts = facts
        self._key = key
        self._patience = patience
        self._silence = Silence(patience)
        self._check = check
        self._loop = LoopThread()
        self._lanes = Lanes(patience.at_once, lambda: address.lane(key))
        self._calls = Calls()

    def reply(self, requests: Sequence[Request]) -> list[Reply]:
        """Return one raw reply a request; equal requests are asked once.

        Raises:
            NoReply: the server is gone, refuses us, or fails every one of many requests.
        """
        asked = self.begin(requests)
        try:
            return asked.result()
        except BaseException:  # Ctrl-C
            asked.cancel()
            raise

    def begin(self, requests: Sequence[Request]) -> Future[list[Reply]]:
        """Return at once the future of what `reply` returns or raises; it may be cancelled."""
        return self._loop.submit(self._reply_all(requests))

    def close(self) -> None:
        """Give up what is under way."""
        self._loop.close()

    async def _reply_all(self, requests: Sequence[Request]) -> list[Reply]:
        """Return one reply a request; where the server is given up, every other call ends too."""
        try:
            return await self._calls.run(self._reply_each(requests))
        finally:
            if not self._calls:  # an idle connection lasts until the server hangs up
                await self._lanes.close()

    async def _reply_each(self, requests: Sequence[Request]) -> list[Reply]:
        asked = distinct(requests)
        tasks = [asyncio.create_task(self._in_turn(one)) for one in asked]
        try:
            replies = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if replies:
            await self._judge(replies)
        book = dict(zip(asked, replies, strict=True))
        return [book[request] for request in requests]

    async def _in_turn(self, request: Request) -> Reply:
        async with self._lanes.turn() as lane:
            return await self._reply_one(lane, request)

    async def _reply_one(self, lane: httpx.AsyncClient, request: Request) -> Reply:
        reason = ""
        for attempt in range(self._patience.tries):
            if attempt:
                await asyncio.sleep(self._patience.backoff_s * 2 ** (attempt - 1))
            limit = self._silence.limit_s
            try:
                async with asyncio.timeout(limit):
                    return await self._ask(lane, request)
            except TimeoutError:
                reason = f"no reply within {limit:g} s"
                await self._unanswered(reason)
            except httpx.TransportError as error:
                reason = f"{type(error).__name__} {error}".strip()
                if attempt == self._patience.tries - 1:
                    await self._unanswered(reason)
            except _Failed as error:
                reason = str(error)
                if error.final:
                    break
            self._check()
        return Reply("", f"error: {reason}")

    async def _unanswered(self, reason: str) -> None:
        """Note a request without an answer; after a few, find out whether the server hangs.

        Raises:
            NoReply: it does not answer a short question either.
        """
        self._check()
        if not self._silence.lasts():
            return
        short = {"model": self.facts.model, "messages": SHORT, "max_tokens": 4, "temperature": 0}
        try:
            async with (
                asyncio.timeout(self._patience.short_s),
                self.address.lane(self._key) as lane,
                lane.stream("POST", ENDPOINT, json=short) as response,
            ):
                await _read(response)
        except (TimeoutError, httpx.TransportError):
            raise NoReply(
                f"the language model server at {self.address} hangs or is too slow: {MANY} "
                f"requests in a row stayed without an answer (the last: {reason}), and so did a "
                f"short one for {self._patience.short_s:g} s; restart it, or give it more time "
                "with --llm-timeout or less work at once with --llm-concurrency; what was done is "
                "kept, and the same command goes on from there"
            ) from None
        self._silence.broken()

    async def _ask(self, lane: httpx.AsyncClient, request: Request) -> Reply:
        async with lane.stream("POST", ENDPOINT, json=chat_body(request, self.facts)) as response:
            body = await _read(response)
        self._silence.broken()
        status = response.status_code
        if status in (401, 403, 404):
            raise NoReply(
                f"the language model server at {self.address} answered {status} ({brief(body)}); "
                f"check its model '{self.facts.model}' and the variable {KEY_VARIABLE}"
            )
        if status != 200:
            again = status >= 500 or status in _TRY_AGAIN
            raise _Failed(f"status {status}: {brief(body)}", final=not again)
        try:
            return read_completion(body)
        except ValueError as error:
            raise _Failed(str(error), final=False) from None

    async def _judge(self, replies: Sequence[Reply]) -> None:
        """Raise if every request failed and the server is to blame, not the requests."""
        failures = [reply.finish for reply in replies if reply.finish.startswith("error: ")]
        if len(failures) < len(replies):
            return
        reason = Counter(failures).most_common(1)[0][0].removeprefix("error: ")
        if len(failures) >= _TELLING or not await self._is_healthy():
            raise NoReply(
                f"the language model server at {self.address} failed all {len(replies)} requests, "
                f"each tried up to {self._patience.tries} times: {reason}"
            )

    async def _is_healthy(self) -> bool:
        path = "/health" if self.facts.version else "/v1/models"
        try:
            async with (
                asyncio.timeout(self._patience.timeout_s),
                self.address.lane(self._key) as lane,
            ):
                return (await lane.get(path)).status_code == 200
        except (TimeoutError, httpx.TransportError):
            return False


@contextmanager
def open_vllm(
    llm: LlmConfig,
    model: Path | None,
    execution: Execution,
    devices: Sequence[str] | None = None,
    *,
    progress: Callable[[str], None] = _LOGGER.info,
    environ: Mapping[str, str] = os.environ,
) -> Iterator[VllmLanguageModel]:
    """Return, for a ``with`` block, the language model of a run.

    If the engine is "server", it is the server named by `execution.llm_url`, else one of our own
    for the folder `model`, whose output goes to ``logs/`` in the workspace.

    Args:
        llm: the settings.
        model: the verified folder of the model, None for a server that is named.
        execution: which server, which Python, which further options of vLLM.
        devices: what our own server runs on; `execution.devices` if not given.
        progress: told now and then, in one line, what the start is waiting for.
        environ: this process's environment.

    Raises:
        UserError: the address, the Python, the model or an option will not do.
        NoReply: our server did not start.
    """
    if llm.engine == "server":
        address = read_address(execution.llm_url, allow_remote=execution.allow_remote_llm)
        key = environ.get(KEY_VARIABLE, "")
        patience = _patience(execution, AT_ONCE_THEIRS)
        facts = survey(address, key, llm.model, llm.root)
        facts = replace(facts, has_switch=has_switch(address, key, facts, execution.llm_timeout))
        with closing(VllmLanguageModel(address, facts, key=key, patience=patience)) as named:
            yield named
        return
    assert model is not None  # only a named server does without
    settings = ServerSettings.of(llm, model, execution, devices)
    python = find_vllm(execution.vllm_python, environ)
    log = execution.workspace / "logs" / f"vllm-{'-'.join(settings.devices)}.log"
    with serve(settings, python, log=log, progress=progress, environ=environ) as server:
        facts = survey(server.address, server.key)
        patience = _patience(execution, AT_ONCE_OURS * server.copies)
        started = VllmLanguageModel(
            server.address, facts, key=server.key, patience=patience, check=server.check
        )
        with closing(started):
            yield started


def _patience(execution: Execution, at_once: int) -> Patience:
    asked = execution.llm_concurrency or at_once
    return Patience(timeout_s=execution.llm_timeout, at_once=asked)


async def _read(response: httpx.Response) -> bytes:
    """Return a response's body, given up as soon as it is larger than any reply can be."""
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > MAX_REPLY_BYTES:
            raise _Failed(f"a reply of more than {MAX_REPLY_BYTES} bytes", final=True)
    return bytes(body)
