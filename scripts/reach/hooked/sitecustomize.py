"""Write down every file and address that this Python process reaches: imported at its start."""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

_CHANGES = frozenset(
    {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"}
)
_log = os.open(
    os.path.join(os.environ["DND_LOCAL_REACHED"], str(os.getpid())),
    os.O_WRONLY | os.O_CREAT | os.O_APPEND,
)


def _hook(event: str, given: tuple[Any, ...]) -> None:
    if event == "open":
        path, mode, flags = given
        writes = bool(int(flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        writes = writes or (isinstance(mode, str) and any(one in mode for one in "wax+"))
        _say("change" if writes else "read", path)
    elif event in _CHANGES:
        # What a new link leads to stays as it is.
        first = 1 if event in ("os.link", "os.symlink") else 0
        for path in given[first : 2 if event in ("os.rename", "os.link", "os.symlink") else 1]:
            _say("change", path)
    elif event in ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"):
        used, address = given[:2]
        kind = "bind" if event == "socket.bind" else "connect"
        if used.family == getattr(socket, "AF_UNIX", None):
            _write(kind, "unix")
        elif isinstance(address, tuple):
            _write(kind, str(address[0]))


def _say(kind: str, path: object) -> None:
    if isinstance(path, str | bytes | os.PathLike):
        place = os.path.realpath(os.fsdecode(path))
        # A read of what is not there reaches nothing.
        if kind == "change" or os.path.exists(place):
            _write(kind, place)


def _write(kind: str, there: str) -> None:
    os.write(_log, json.dumps([kind, there]).encode() + b"\n")


sys.addaudithook(_hook)
