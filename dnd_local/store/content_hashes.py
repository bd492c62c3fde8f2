"""SHA-256 of many files, remembered by their stamps (size and times of change).

The memory is one JSON file a folder; a damaged or foreign one is ignored. A first pass
over a large folder reads in parallel and saves as it goes, so that an interrupted one is not
lost; a second pass only asks the file system for the stamps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from dnd_local.core.digest import file_sha256
from dnd_local.store.files import write_atomic
from dnd_local.store.stamps import Stamp, stamp_of

UNREADABLE: Final = "unreadable"
"""Stands for the hash of a file that cannot be read."""

WORKERS: Final = 8
"""Threads that hash: hashing releases the interpreter lock, and network disks serve them all."""

BATCH: Final = 4096
"""Files between two saves of the memory."""


Known: TypeAlias = tuple[Stamp | None, str]
"""What is remembered of a file: its stamp (None where it cannot be read) and its hash."""


def content_hashes(root: Path, names: Sequence[str], memory: Path) -> list[str]:
    """Return the SHA-256 of each file's bytes, or `UNREADABLE`, in the order of `names`.

    Args:
        root: the folder.
        names: paths in it.
        memory: the JSON file that remembers them, made or brought up to date; where it cannot be
            written, all are hashed each time.
    """
    old = _recall(memory)
    hashes: dict[str, Known] = {}
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="hash") as pool:
        for start in range(0, len(names), BATCH):
            batch = names[start : start + BATCH]
            hashes.update(
                zip(batch, pool.map(lambda n: _hash(root / n, old.get(n)), batch), strict=True)
            )
            if any(hashes[name] != old.get(name) for name in batch):
                _remember(memory, {**old, **hashes})
    if hashes.keys() != old.keys():
        _remember(memory, hashes)
    return [hashes[name][1] for name in names]


def _hash(path: Path, old: Known | None) -> Known:
    try:
        stamp = stamp_of(path)
        return old if old and old[0] == stamp else (stamp, file_sha256(path))
    except OSError:
        return None, UNREADABLE


def _recall(memory: Path) -> dict[str, Known]:
    try:
        return msgspec.json.decode(memory.read_bytes(), type=dict[str, Known])
    except (OSError, msgspec.DecodeError):
        return {}


def _remember(memory: Path, known: Mapping[str, Known]) -> None:
    # Names that are not UTF-8 cannot stand in JSON; such files are hashed each time.
    plain = {name: one for name, one in known.items() if _is_text(name)}
    with suppress(OSError):
        write_atomic(memory, msgspec.json.encode(plain))


def _is_text(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)
