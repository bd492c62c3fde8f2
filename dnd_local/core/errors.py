"""The errors this package raises, as one tree.

::

    DndError                 anything we raise on purpose
    ├── UserError            the user can mend it; one line, exit code 2
    │   ├── UnknownName      a name that nothing here answers to (near matches are offered)
    │   ├── BadConfig        a setting that is unknown or out of range
    │   ├── MissingWeights   model files that are not in the weights folder
    │   ├── DamagedFile      bytes on disk that are not what their checksum promises
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
from collections.abc import Iterable


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
