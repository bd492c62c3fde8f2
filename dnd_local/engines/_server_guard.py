"""Runs a server for an owner and ends it, with everything it started, when the owner is gone.

A program of its own, started as ``python _server_guard.py OWNER_PID FOLDER COMMAND...`` with the
standard library only, so that nothing it does can fail for want of a package. Its standard input
is a pipe whose other end only the owner holds: when that closes, for whatever reason (the owner
is done, was killed with SIGKILL, was killed for lack of memory), the server's whole session gets
SIGTERM, then SIGKILL. A model server starts processes of its own that outlive it when it is
killed and keep the GPU's memory; the guard adopts those orphans and ends them too. `FOLDER`, the
owner's private folder, is removed if the owner cannot do it any more.

The exit code is the server's own, 128 and the signal's number if one ended it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

GRACE_S = 3.0
"""How long a process may take to follow SIGTERM before it gets SIGKILL."""

_POLL_S = 0.2
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main(arguments: list[str]) -> int:
    """Return the exit code of the command, run until it ends or the owner is gone."""
    owner, folder, command = int(arguments[0]), arguments[1], arguments[2:]
    leave: list[int] = []
    # The handler only notes the signal: an exception could be raised while the server is ended.
    signal.signal(signal.SIGTERM, lambda number, frame: leave.append(number))
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        # If the guard itself is killed, the kernel sends the server a signal.
        preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),
    )
    try:
        while server.poll() is None and not leave and _has_owner(owner):
            pass
    finally:
        code = server.poll()
        end_session(server.pid)
        if os.getppid() != owner:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if code is None else code if code >= 0 else 128 - code


def end_session(leader: int) -> None:
    """End a child that leads its own process group, that group, and every orphan of theirs."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        told = {leader}
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, number)
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline:
            if not _reap():
                return
            for pid in set(_children()) - told:  # adopted since, from other groups too
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                told.add(pid)
            time.sleep(0.02)


def end_strays(folder: str) -> None:
    """End every process that runs in `folder`, the owner's private one (Linux).

    Called by the owner, where the guard was killed before it could do its work: the server's
    processes have no parent then by which to find them. Their folder marks them; their environment
    could not, since a process that changes its title writes over it.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + GRACE_S
        told: set[int] = set()
        while strays := _running_in(folder):
            for pid in strays - told:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            told |= strays
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        else:
            return


def _running_in(folder: str) -> set[int]:
    """Return the processes whose current folder is `folder`, or was before it was removed."""
    processes = set()
    for current in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if str(current.readlink()) in (folder, f"{folder} (deleted)"):
                processes.add(int(current.parent.name))
        except OSError:  # another user's, or it ended while we looked
            continue
    return processes


def _has_owner(owner: int) -> bool:
    """Return whether the owner still holds its end of the pipe; waits a moment for news.

    A process that the owner forked may hold the pipe open after the owner's death, so the parent
    process is checked too.
    """
    news, _, _ = select.select([0], [], [], _POLL_S)
    return not news and os.getppid() == owner


def _prctl(option: int, value: int) -> None:
    """Ask the kernel for `option`; other systems than Linux lack it and do without."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _reap() -> bool:
    """Collect the children that ended, adopted ones too; return whether any is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _children() -> list[int]:
    """Return the process ids of this process's children, adopted ones too (Linux)."""
    me, children = str(os.getpid()), []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # "pid (name) state parent ...": the name may hold spaces and brackets.
            fields = stat.read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        if fields[1] == me:
            children.append(int(stat.parent.name))
    return children


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
