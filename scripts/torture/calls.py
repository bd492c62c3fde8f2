"""The n-th time that a process is about to change something on disk: a place to break it."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CODES = (
    errno.ENOSPC, errno.EIO, errno.EROFS, errno.EMFILE, errno.EDQUOT, errno.EACCES,
)  # fmt: skip

_CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir")


class Calls:
    """Counts what changes a workspace: files opened for writing, flushed, renamed, folders made.

    Python tells an audit hook before each of them but the flush, which is wrapped. A hook stays for
    the life of its process, so a trial counts in a child of its own.

    Args:
        workspace: what is outside does not count.
        at: the call, from 0, at which `strike` is called; -1: never.
        strike: ends the process, or raises.
    """

    def __init__(self, workspace: Path, at: int, strike: Callable[[], None]) -> None:
        self.count, self._at, self._strike = 0, at, strike
        self._root = str(workspace)
        self._flush = os.fsync

    def listen(self) -> None:
        """Count from now on."""
        sys.addaudithook(self._hear)
        os.fsync = self._fsync

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        if event in _CHANGES or (event == "open" and _writes(given)):
            place = given[0]
            if isinstance(place, str | bytes | os.PathLike) and self._here(os.fsdecode(place)):
                self._next()

    def _fsync(self, file: int) -> None:
        self._next()
        self._flush(file)

    def _here(self, place: str) -> bool:
        return place.startswith(self._root)

    def _next(self) -> None:
        self.count += 1
        if self.count == self._at + 1:
            self._strike()


def _writes(given: tuple[Any, ...]) -> bool:
    _, mode, flags = given
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(int(flags or 0) & (os.O_WRONLY | os.O_RDWR))


def kill() -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail(code: int) -> Callable[[], None]:
    """Return what raises an error of the system."""

    def strike() -> None:
        raise OSError(code, os.strerror(code))

    return strike
