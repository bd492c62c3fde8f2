"""A vLLM server of our own for the length of a ``with`` block.

::

    with serve(settings, find_vllm("", os.environ)) as server:
        ...  # server.address, server.key

It listens on a Unix socket in a folder that only this user can enter, or on 127.0.0.1 with a
random key where sockets do not serve, and is ended with everything it started when the block is
left, however it is left, and when this process dies (see `_server_guard`).
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import httpx

from dnd_local.core.amounts import duration_text
from dnd_local.core.errors import NoReply
from dnd_local.engines import _server_guard, _server_key
from dnd_local.engines.llm_address import Address, read_address
from dnd_local.engines.vllm_command import (
    ServerSettings,
    copies_of,
    read_gpu_memory,
    read_model,
    server_options,
)
from dnd_local.engines.vllm_environment import server_variables, visible_devices
from dnd_local.engines.vllm_log import ended, last_line, open_log
from dnd_local.engines.vllm_python import VllmPython, server_environ

START_S: Final = 900.0
"""How long a server may take to load; a large model from a slow disk takes minutes."""

KEY_GUARD: Final = "_server_key.KeyGuard"
"""Where the server finds the check of its key."""

_POLL_S: Final = 0.25
_LONGEST_SOCKET: Final = 100
"""A socket's path has room for 108 bytes on Linux, 104 elsewhere."""


@dataclass(frozen=True, slots=True)
class Server:
    """A healthy server: where it listens, its key, its vLLM, its log and copies of the model."""

    address: Address
    key: str
    version: str
    log: Path
    copies: int
    _guard: subprocess.Popen[bytes]

    def check(self) -> None:
        """Pass if the server still runs.

        Raises:
            NoReply: it ended; the first error of its log is in the message.
        """
        if (code := self._guard.poll()) is not None:
            raise NoReply(ended(code, self.log))


def options_now(settings: ServerSettings, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the options of a server of `settings.model`, by the GPU memory that is free now.

    Raises:
        UserError: the model is none, does not fit, or has no such quantisation.
        Refused: an option that is not passed on.
    """
    memory = None
    if not settings.on_cpu:
        memory = read_gpu_memory(visible_devices(settings.devices, environ))
    return server_options(settings, read_model(settings.model), memory)


@contextmanager
def serve(
    settings: ServerSettings,
    python: VllmPython,
    *,
    log: Path | None = None,
    progress: Callable[[str], None] = lambda line: None,
    environ: Mapping[str, str] = os.environ,
    start_s: float = START_S,
) -> Iterator[Server]:
    """Return, for a ``with`` block, a healthy server of `settings.model`.

    Args:
        log: the file that takes the server's output; without one it is kept as long as the block.
        progress: told now and then, in one line, what the start is waiting for.
        environ: this process's environment.
        start_s: seconds that the start may take.

    Raises:
        UserError: the model or an option will not do.
        NoReply: the server ended or did not become healthy in time; the message says why.
    """
    options = [*options_now(settings, environ), "--middleware", KEY_GUARD]
    folder, listen = private_folder()
    key = secrets.token_urlsafe(32)
    log = log or folder / "log"
    shutil.copy(_server_key.__file__, folder)  # the server's current folder, first on its path
    command = [str(python.path), "-m", "vllm.entrypoints.openai.api_server", *options]
    mine = server_environ(python.path, environ)
    variables = server_variables(mine, settings.devices, key, folder)
    try:
        with open_log(log) as output:
            guard = _start([*command, *listen.options], variables, folder, output)
        try:
            _wait(listen.address, guard, log, progress, start_s)
            yield Server(listen.address, key, python.version, log, copies_of(options), guard)
        finally:
            _end(guard, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a server is to listen, as an address and as its options."""

    address: Address
    options: tuple[str, ...]


def private_folder() -> tuple[Path, Listening]:
    """Return a new folder that only this user can enter, and where a server of it listens.

    A Unix socket in the folder if one can be bound there, else a free port of 127.0.0.1.
    """
    for base in (tempfile.gettempdir(), "/tmp"):
        folder = Path(tempfile.mkdtemp(prefix="dnd-", dir=base))  # mkdtemp gives mode 0700
        path = folder / "llm"
        if _binds(path):
            return folder, Listening(read_address(f"unix:{path}"), ("--uds", str(path)))
        folder.rmdir()
    folder = Path(tempfile.mkdtemp(prefix="dnd-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ("--host", "127.0.0.1", "--port", str(port))
    return folder, Listening(read_address(f"http://127.0.0.1:{port}"), options)


def _binds(path: Path) -> bool:
    if not hasattr(socket, "AF_UNIX") or len(os.fsencode(path)) > _LONGEST_SOCKET:
        return False
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(path))
        path.unlink()
    except OSError:
        return False
    return True


def _start(
    command: list[str], variables: Mapping[str, str], folder: Path, output: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Return the guard of a server started with `command`; its standard input is the lifeline."""
    guard = [sys.executable, "-I", _server_guard.__file__, str(os.getpid()), str(folder)]
    return subprocess.Popen(
        [*guard, *command],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=folder,  # "-m" puts the current folder first on the path; nothing lies in this one
        env=dict(variables),
        start_new_session=True,  # the terminal's Ctrl-C is ours to handle
    )


def _wait(
    address: Address,
    guard: subprocess.Popen[bytes],
    log: Path,
    progress: Callable[[str], None],
    start_s: float,
) -> None:
    """Return once the server says that it is healthy."""
    begin = time.monotonic()
    last = ""
    progress("vLLM server: starting, which may take minutes")
    with address.client("", timeout_s=5.0) as client:
        while not (_listens(address) and _is_healthy(client)):
            waited = time.monotonic() - begin
            if (code := guard.poll()) is not None:
                raise NoReply(ended(code, log))
            if waited > start_s:
                raise NoReply(
                    f"the vLLM server was not ready after {duration_text(start_s)}; its log ends "
                    f"with '{last_line(log)}'; the whole log is {log}"
                )
            if (line := last_line(log)) != last:
                progress(f"vLLM server, {duration_text(waited)}: {line}")
                last = line
            time.sleep(_POLL_S)
    progress(f"vLLM server: ready after {duration_text(time.monotonic() - begin)}")


def _listens(address: Address) -> bool:
    """Return whether anything accepts connections, without a client that gives up untidily."""
    url = httpx.URL(address.base)
    family = socket.AF_UNIX if address.socket else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(5.0)
        try:
            probe.connect(address.socket or (url.host, url.port))
        except OSError:
            return False
    return True


def _is_healthy(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def _end(guard: subprocess.Popen[bytes], folder: Path) -> None:
    """Cut the lifeline, wait until the guard has ended the server, and end what it left.

    It leaves something only if it was killed itself.
    """
    assert guard.stdin is not None  # it was opened as a pipe
    guard.stdin.close()
    guard.terminate()  # a process forked from this one may hold the lifeline too
    try:
        guard.wait(timeout=4 * _server_guard.GRACE_S)
    except subprocess.TimeoutExpired:  # pragma: no cover - the guard itself hangs
        guard.kill()
        guard.wait()
    _server_guard.end_strays(str(folder))
