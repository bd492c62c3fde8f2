"""Running a command in a network namespace that holds no way out, where the system allows it.

A new user namespace and a new network namespace need no privilege on most Linux systems. Inside,
there is one interface, loopback, and it is down unless asked for; Unix sockets work as ever.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, NoReturn

from dnd_local.store.guard import child_environment

_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
_TRIAL_SECONDS: Final = 20


def isolated(command: Sequence[str]) -> tuple[str, ...]:
    """Return the command that runs `command` where no interface is up."""
    return ("unshare", "--user", "--map-root-user", "--net", "--", *command)


def isolated_with_loopback(command: Sequence[str]) -> tuple[str, ...]:
    """Return the command that runs `command` where only a loopback of its own is up.

    It wants the environment of `guard.child_environment`, and becomes `command` under the same
    process id. Root needs no user namespace to have a network namespace, and in one would lose
    the right to files of others: a workspace that a container has from its host, say.
    """
    raised = (sys.executable, "-P", "-m", "dnd_local.store.netns", *command)
    return ("unshare", "--net", "--", *raised) if os.geteuid() == 0 else isolated(raised)


def why_not() -> str:
    """Return why no command can be `isolated` here, empty where it can."""
    return _refusal(isolated)


@cache
def why_no_loopback() -> str:
    """Return why no command can be `isolated_with_loopback` here; tried once in a process."""
    return _refusal(isolated_with_loopback)


def _refusal(closed: Callable[[Sequence[str]], tuple[str, ...]]) -> str:
    """Return why a command cannot be closed off in that way, empty where it can."""
    if sys.platform != "linux":
        return f"network namespaces exist on Linux only, not on {sys.platform}"
    if shutil.which("unshare") is None:
        return "the program `unshare` (util-linux) is not installed"
    try:
        done = subprocess.run(
            closed(("true",)), env=child_environment(), capture_output=True, text=True,
            timeout=_TRIAL_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"`unshare` gave no answer in {_TRIAL_SECONDS} s"
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return f"this system refuses namespaces ({said[-1]})"
    return ""


def raise_loopback() -> None:
    """Bring the loopback interface of this process's namespace up.

    Raises:
        OSError: the process may not.
    """
    import fcntl  # not on every system, and only this Linux path needs it

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        answer = fcntl.ioctl(control, _SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("h", answer, 16)
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def main(command: Sequence[str]) -> NoReturn:
    """Bring loopback up and become `command`."""
    raise_loopback()
    os.execvp(command[0], list(command))


if __name__ == "__main__":  # pragma: no cover - the child
    main(sys.argv[1:])
