"""Who is at work in a workspace: writers of parts share it, cleaning up has it alone.

A lock of the system on one file, which ends with its process however that ends; `FileLock`, which
all else is locked with, knows no sharing. Where a file system has no locks, writers go on and
cleaning up is refused.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dnd_local.core.errors import Refused, UserError, disk_error
from dnd_local.store.files import SETTLED_SECONDS, naming, sweep

LOCK = ".in-use"


@contextmanager
def at_work(workspace: Path) -> Iterator[None]:
    """Say for a while that this process writes parts or pictures; waits while one cleans up."""
    with _opened(workspace) as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextmanager
def alone(workspace: Path) -> Iterator[None]:
    """Have a workspace alone for a while: whoever wants to write waits.

    Raises:
        Refused: a process is at work there, or its file system has no locks.
    """
    with _opened(workspace) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"a command is at work in {workspace}; wait until it has ended, or stop it"
            ) from None
        except OSError as error:
            raise Refused(
                f"{workspace} lies on a file system without locks ({error.strerror}), so nobody "
                "can tell whether a command is at work there; nothing was removed"
            ) from None
        yield


def tidy(workspace: Path) -> None:
    """Remove what killed writers left: what is an hour old, or of just now if nobody is at work."""
    places = [workspace / part for part in ("artefacts", "blobs", "runs", ".shared")]
    if not workspace.is_dir():
        return
    try:
        with alone(workspace):
            for place in places:
                sweep(place, older_than=SETTLED_SECONDS)
    except Refused:
        for place in places:
            sweep(place)


@contextmanager
def _opened(workspace: Path) -> Iterator[int]:
    path = workspace / LOCK
    try:
        with naming(path):
            workspace.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if disk_error(error):
            raise
        raise UserError(
            f"the workspace {workspace} cannot be written: {error.strerror}; name another folder "
            "with --workspace"
        ) from error
    try:
        yield file
    finally:
        os.close(file)
