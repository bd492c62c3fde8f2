"""The log of a vLLM server: kept from other users, and read for the line that matters."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import IO, Final

_BEFORE: Final = re.compile(r"^(?:\([^)]*\) )?(?:[A-Z]+ \d\d-\d\d [\d:]+ )?(?:\[[^\]]*:\d+\] )?")
_EXCEPTION: Final = re.compile(
    r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit)(?:: .*)?"
)
_COMPLAINT: Final = re.compile(r"(?:\([^)]*\) )?(?:ERROR|CRITICAL) |.*\berror: ", re.IGNORECASE)
_READ_BYTES: Final = 8 << 20
_LONGEST: Final = 400


def open_log(path: Path) -> IO[bytes]:
    """Return a new file for a server's output, which only this user can read.

    It quotes captions where a request goes wrong, so it is as private as the workspace's pictures.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # the mode of an old one would stay
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def ended(code: int, log: Path) -> str:
    """Return the message that a server is gone: its exit code, its first error, its log."""
    return (
        f"the vLLM server ended with exit code {code}: {first_error(log)}; the whole log is {log}, "
        "what was done is kept, and the same command goes on from there"
    )


def first_error(log: Path) -> str:
    """Return the line of a log that says what went wrong first.

    That is the first exception by name; a server that dies raises many after it, and the last
    lines only say that it ended. Without one it is the first complaint, else the last line.
    """
    lines = _lines(log)
    for line in lines:
        if _EXCEPTION.fullmatch(_bare(line).strip()):
            return _cut(_bare(line).strip())
    return _cut(next((_bare(line) for line in lines if _COMPLAINT.match(line)), last_line(log)))


def last_line(log: Path) -> str:
    """Return what the last line says, without process, time or place in the code."""
    lines = _lines(log)
    return _cut(_bare(lines[-1])) if lines else "(an empty log)"


def _bare(line: str) -> str:
    """Return a line without what comes before its text.

    Of a line that is written over and over, as progress is, the last state.
    """
    return _BEFORE.sub("", line.rstrip("\r").rpartition("\r")[2])


def _lines(log: Path) -> list[str]:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _READ_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
    return [line for line in lines if line.strip()]


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
