"""Writing a file so that a reader sees all of it or nothing; errors that name their file."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

SUFFIX: Final = ".tmp"
LEASE: Final = ".lease"
"""What says who has a part in hand; see `leases`."""
LEFT_AFTER_SECONDS: Final = 3600.0
"""Age from which a temporary file has no writer any more: writing one takes seconds."""
SETTLED_SECONDS: Final = 10.0
"""The same where nobody is at work in the workspace."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in an `OSError` raised inside; not every call of the system does."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def read_whole(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        OSError: it cannot be read; the error names it, whichever call failed.
    """
    with naming(path):
        return path.read_bytes()


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` under a temporary name in the same folder, flush it to disk, rename it.

    A crash leaves the old file or the new one, never a mixture. The folder is made if needed.

    Raises:
        OSError: the disk is full or the folder cannot be written; the error names the file.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{path.name}."
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=SUFFIX)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            # What cannot be removed on a broken disk must not hide why it broke.
            with suppress(OSError):
                Path(temporary).unlink(missing_ok=True)
            raise


def sweep(folder: Path, older_than: float = LEFT_AFTER_SECONDS) -> int:
    """Remove what killed writers left in a folder and those below; return how many files.

    Args:
        folder: where to look.
        older_than: age in seconds from which a file's writer is taken for dead; the holder of a
            lease, which may be on another machine, from `LEFT_AFTER_SECONDS` on.
    """
    swept = 0
    for place, _, names in os.walk(folder):
        for name in names:
            if name.startswith(".") and name.endswith((SUFFIX, LEASE)):
                path = Path(place, name)
                age = max(older_than, LEFT_AFTER_SECONDS) if name.endswith(LEASE) else older_than
                with suppress(OSError):
                    if time.time() - path.stat().st_mtime > age:
                        path.unlink()
                        swept += 1
    return swept
