"""Who has which part in hand, where several processes make the parts of one workspace.

A lease is a hard link beside the part, to one file of the process that holds it: linking is one
step, on NFS too, and renewing that file's time renews every lease of the process. How old a lease
is, the file server's clock tells, never a machine's own. A lease that was not renewed for
`DEAD_AFTER` is dead; one of this machine is as soon as its process is gone. The next number takes
its place, so that of several who take over one succeeds.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Final

from dnd_local.core.errors import UserError
from dnd_local.store.files import LEASE
from dnd_local.store.parts import file_stem

SHARED: Final = ".shared"
"""The folder of the files that leases are links to, one a process."""
DEAD_AFTER: Final = 90.0
"""Seconds without renewal after which a lease's process is taken for dead."""
RENEWED_EVERY: Final = 10.0
"""Seconds from one renewal to the next; several may fail before anybody takes over."""
NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV)
"""What file systems without hard links answer."""


class Leases:
    """The leases of this process, renewed by a thread from entering to leaving it.

    Args:
        workspace: where the parts lie.
        dead_after: in seconds; see `DEAD_AFTER`.
        renewed_every: in seconds; see `RENEWED_EVERY`.
    """

    def __init__(
        self,
        workspace: Path,
        dead_after: float = DEAD_AFTER,
        renewed_every: float = RENEWED_EVERY,
    ) -> None:
        self._dead_after, self._renewed_every = dead_after, renewed_every
        self._machine = _machine()
        self.number = secrets.randbits(64)
        self._file = workspace / SHARED / f".{os.getpid()}-{self.number:016x}{LEASE}"
        self._over = Event()
        self._thread = Thread(target=self._renew, name="leases", daemon=True)

    def __enter__(self) -> Leases:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(f"{os.getpid()} {self._machine}\n", encoding="ascii")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        with suppress(OSError):
            self._file.unlink()

    def claim(self, folder: Path, item: str) -> bool:
        """Take the lease of an item's part; return whether this process holds it now.

        Raises:
            UserError: the file system knows no hard links.
            OSError: another error of the disk.
        """
        folder.mkdir(parents=True, exist_ok=True)
        number = 0
        while True:
            path = _path(folder, item, number)
            try:
                os.link(self._file, path)
                return True
            except FileExistsError:
                with suppress(FileNotFoundError):  # given back just now: the number is free again
                    if self._is_ours(path):
                        return True  # the server's answer to an earlier try was lost
                    if not self._is_dead(path):
                        return False
                    number += 1
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                raise UserError(
                    f"{folder} lies on a file system that has no hard links to the workspace's "
                    f"({error.strerror}), which processes share the work by; leave --shared out, "
                    "or name another --workspace"
                ) from error

    def release(self, folder: Path, item: str) -> None:
        """Give the lease of an item back, and take the dead ones before it away."""
        number = 0
        with suppress(FileNotFoundError):
            while True:
                path = _path(folder, item, number)
                ours = self._is_ours(path)
                path.unlink()
                if ours:
                    return
                number += 1

    def held_elsewhere(self, folder: Path, items: Iterable[str]) -> set[str]:
        """Return the items whose parts another living process has in hand."""
        try:
            names = {name for name in os.listdir(folder) if name.endswith(LEASE)}
        except FileNotFoundError:
            return set()
        return {item for item in items if names and self._is_held(folder, item, names)}

    def _is_held(self, folder: Path, item: str, names: set[str]) -> bool:
        number = 0
        while (path := _path(folder, item, number)).name in names:
            with suppress(FileNotFoundError):
                if not self._is_dead(path):
                    return not self._is_ours(path)
            number += 1
        return False

    def _is_ours(self, path: Path) -> bool:
        return path.samefile(self._file)

    def _is_dead(self, path: Path) -> bool:
        # Opened, since a client may remember an older time of a file that it only looks up.
        with path.open("rb") as file:
            renewed, said = os.fstat(file.fileno()).st_mtime, file.read(200)
        pid, _, machine = said.decode("ascii", "replace").strip().partition(" ")
        if machine and machine == self._machine and not _is_running(pid):
            return True
        return self._now() - renewed > self._dead_after

    def _now(self) -> float:
        """Return the time by the clock of the file server."""
        os.utime(self._file)
        return self._file.stat().st_mtime

    def _renew(self) -> None:
        while not self._over.wait(self._renewed_every):
            with suppress(OSError):  # the server may be back the next time
                os.utime(self._file)


def _path(folder: Path, item: str, number: int) -> Path:
    return folder / f".{file_stem(item)}.{number}{LEASE}"


def _machine() -> str:
    """Return what tells process numbers apart: the machine since its start, and the container.

    Empty where the system does not tell; then only time tells who is dead.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        pass
    return True
