"""How a large file that was hashed once is known again without hashing it.

A stamp changes whenever a file's bytes are written, even by a program that sets the modification
time back, because the change time cannot be set. The stamps of one id lie in
``<root>/.verified/<id>.json`` beside the rule (the expected hashes) that they were checked by.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec

from dnd_local.core.digest import canonical
from dnd_local.store.files import write_atomic

Stamp: TypeAlias = tuple[int, int, int, int]
"""Size, modification time and change time in nanoseconds, inode."""


def stamp_of(path: Path) -> Stamp:
    """Return a file's stamp.

    Raises:
        OSError: the file is not there.
    """
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def read_stamps(root: Path, name: str, rule: str) -> dict[str, Stamp]:
    """Return the stamps of an id's verified files by path, none if they went by another rule."""
    try:
        data = _place(root, name).read_bytes()
        known_rule, stamps = msgspec.json.decode(data, type=tuple[str, dict[str, Stamp]])
    except (OSError, msgspec.DecodeError):
        return {}
    return stamps if known_rule == rule else {}


def write_stamps(root: Path, name: str, rule: str, stamps: Mapping[str, Stamp]) -> None:
    """Keep an id's stamps; a folder that cannot be written is hashed each time instead."""
    try:
        write_atomic(_place(root, name), canonical((rule, stamps)))
    except OSError:
        return


def forget_stamps(root: Path, name: str) -> None:
    """Drop an id's stamps."""
    _place(root, name).unlink(missing_ok=True)


def _place(root: Path, name: str) -> Path:
    return root / ".verified" / f"{name}.json"
