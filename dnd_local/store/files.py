"""Writing a file so that a reader sees all of it or nothing; errors that name their file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give an error of the system inside the name of the file, which only some of its calls do."""
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
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=".tmp")
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
