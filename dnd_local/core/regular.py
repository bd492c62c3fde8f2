"""Reading the files that a user names: regular files, of a size that text can have."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 1 << 30
"""Largest file of text that is read at once: replies and tables stay far below it."""


def read_regular(path: Path, most: int = MAX_BYTES) -> bytes:
    """Return a file's bytes.

    Raises:
        OSError: it cannot be read, is larger than `most` bytes, or is a pipe or a device, which
            could keep its reader waiting for ever.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if status.st_size > most:
            raise OSError(errno.EFBIG, f"larger than {most:,} bytes", str(path))
        return file.read()


def _without_waiting(path: str, flags: int) -> int:
    # Without O_NONBLOCK, opening a pipe that has no writer waits for ever.
    return os.open(path, flags | os.O_NONBLOCK)
