"""The places that a command may reach, and what it reached beyond them."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dnd_local.store.guard import is_local

Kind = Literal["read", "change", "connect", "bind"]


@dataclass(frozen=True)
class Reached:
    """One thing that a process reached: a file, or the address of a socket.

    `there` is an absolute path, an IP address, or "unix" for any Unix socket.
    """

    kind: Kind
    there: str


SYSTEM = (
    "/usr",
    "/lib",
    "/lib64",
    "/bin",
    "/sbin",
    "/etc",
    "/proc",
    "/sys",
    "/dev",
    "/var/cache/fontconfig",
)
"""The operating system's: read, never changed."""

SHARED = (
    "/dev/null",
    "/dev/tty",
    "/dev/shm",
    "/dev/ptmx",
    "/dev/pts",
    "/proc/self",
    "/proc/thread-self",
)
"""What any process writes to: nothing of it is kept."""


@dataclass(frozen=True)
class Places:
    """Where a command may read, and where it may change something.

    Args:
        inputs: the files that the command was told to read.
        own: the workspace, the weights, prepared probe sets, outputs and temporary files.
    """

    inputs: tuple[str, ...]
    own: tuple[str, ...]

    def beyond(self, reached: Iterable[Reached]) -> list[Reached]:
        """Return what is in none of the places, each once, in order."""
        return list(dict.fromkeys(one for one in reached if not self._allowed(one)))

    def _allowed(self, one: Reached) -> bool:
        if one.kind in ("connect", "bind"):
            return one.there == "unix" or is_local(one.there)
        if _within(one.there, (*self.own, *SHARED)) or _process_file(one.there):
            return True
        return one.kind == "read" and _within(one.there, (*SYSTEM, *installation(), *self.inputs))


def installation() -> tuple[str, ...]:
    """Return the folders of this Python, its packages and this project."""
    folders = [sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()]
    folders += [path for path in sys.path if path]
    folders.append(str(Path(__file__).parents[2]))
    return tuple(dict.fromkeys(os.path.realpath(path) for path in folders))


def _within(path: str, folders: Sequence[str]) -> bool:
    # A folder on the way to one of them is looked at, not what is in it.
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def _process_file(path: str) -> bool:
    """Return whether it is a process's own name, set by threading libraries."""
    parts = path.split("/")
    return parts[1:2] == ["proc"] and parts[-1] in (
        "comm",
        "oom_score_adj",
        "uid_map",
        "gid_map",
        "setgroups",
    )
