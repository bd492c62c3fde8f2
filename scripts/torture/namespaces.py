"""A process's own view of the file system: another place for a workspace, or a small disk."""

from __future__ import annotations

import ctypes
import os
import subprocess
from functools import cache
from pathlib import Path

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000


def see_at(source: Path | None, place: Path, size: int = 0) -> None:
    """Show a folder at another place too, or a disk of `size` bytes, to this process alone.

    Call it in a child without threads.

    Raises:
        OSError, subprocess.CalledProcessError: the system refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_NEW_MOUNTS | (_NEW_USER if user else 0)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if user:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
    mount("--make-rprivate", "/")
    if source is None:
        mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
    else:
        mount("--bind", str(source), str(place))


def mount(*words: str) -> None:
    """Call the system's `mount`."""
    subprocess.run(["mount", *words], check=True, capture_output=True)


@cache
def why_no_mounts() -> str:
    """Return why no process can have a view of its own here, empty where it can."""
    try:
        done = subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", "--", "true"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError as error:
        return f"no `unshare`: {error.strerror}"
    return done.stderr.strip() or "refused" if done.returncode else ""
