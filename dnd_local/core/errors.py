"""The errors this package raises, as one tree.

::

    DndError                 anything we raise on purpose
    ├── UserError            the user can mend it; one line, exit code 2
    │   ├── UnknownName      a name that nothing here answers to (near matches are offered)
    │   ├── BadConfig        a setting that is unknown or out of range
    │   ├── MissingWeights   model files that are not in the weights folder
    │   ├── DamagedFile      bytes on disk that are not what their checksum promises
    │   ├── DiskError        a file that the system will not read or write: full, read only, broken
    │   └── Refused          something we do not do, for the user's safety
    ├── EngineError          a model or server broke while it worked; exit code 1
    │   ├── OutOfMemory      the device was too small for the group; a smaller group may fit
    │   └── NoReply          the language model's server gave no usable answer after all retries
    └── Interrupted          Ctrl-C; what was done stays done; exit code 130

A message says what was wrong, the value, and what to do. A run that finished but for some
failed items raises nothing: its summary lists them and the command exits with 3.
"""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable, Mapping
from typing import Final


class DndError(Exception):
    """Base of every error raised on purpose."""

    exit_code = 1


class UserError(DndError):
    """Something the user can mend."""

    exit_code = 2


class UnknownName(UserError):
    """A name that nothing here answers to.

    Args:
        kind: what was looked for, for example ``"layer"``.
        name: the name as given.
        known: every name that would have been right.
        hint: an optional closing sentence saying what to do.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
        guess = f" Did you mean {', '.join(near)}?" if near else ""
        super().__init__(f"unknown {kind} '{name}'.{guess}{' ' + hint if hint else ''}")
        self.kind, self.name, self.near = kind, name, tuple(near)


class BadConfig(UserError):
    """A setting that is unknown or out of range."""


class MissingWeights(UserError):
    """Model files that are not in the weights folder."""


class DamagedFile(UserError):
    """Bytes on disk that are not what their checksum promises."""


class DiskError(UserError):
    """A file or folder that the system will not read or write."""


class Refused(UserError):
    """Something we do not do, for the user's safety."""


class EngineError(DndError):
    """A model or server broke while it worked."""


class OutOfMemory(EngineError):
    """The device was too small for the group of inputs; a smaller group may fit."""


class NoReply(EngineError):
    """The language model's server gave no usable answer after all retries."""


class Interrupted(DndError):
    """The user pressed Ctrl-C; what was done stays done."""

    exit_code = 130


_ROOM: Final = "make room and run the same command again"
_RIGHTS: Final = "see to the rights, or name another folder"
_HANDLES: Final = "raise the limit (ulimit -n) and run the same command again"
_DISK: Final = "look at the disk, then run the same command again"
_PLACE: Final = "move away what lies there, then run the same command again"

_ADVICE: Final[Mapping[int, str]] = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
    errno.EMFILE: _HANDLES,
    errno.ENFILE: _HANDLES,
    errno.EIO: _DISK,
    errno.ENXIO: _DISK,
    errno.ENODEV: _DISK,
    errno.ESTALE: _DISK,
    errno.ETIMEDOUT: _DISK,
    errno.ENOTCONN: _DISK,
    errno.EBUSY: _DISK,
    errno.ENOMEM: "close other programs and run the same command again",
    errno.EISDIR: _PLACE,
    errno.ENOTDIR: _PLACE,
    errno.ENOTEMPTY: _PLACE,
    errno.ELOOP: _PLACE,
    errno.ENAMETOOLONG: "choose shorter names",
}


def disk_error(error: OSError) -> DiskError | None:
    """Return what the system refused as an error with path, cause and advice.

    None where the cause is not the disk, its limits or its rights: then the fault is ours.
    """
    path = error.filename if error.filename is not None else error.filename2
    if error.errno == errno.ENOENT and path is None:  # what tempfile raises on a full disk
        return DiskError(f"{error.strerror}; {_ROOM}")
    advice = _ADVICE.get(error.errno or 0)
    if advice is None:
        return None
    where = "a file or the output" if path is None else os.fsdecode(path)
    return DiskError(f"{where}: {error.strerror}; {advice}")
