"""Digests of users' own engines, kept by the stamps of the files that they were made from.

Whoever only reads a run needs an engine's digest and not the engine. One small file an engine; a
damaged one, or one that cannot be written, costs the time of building the engine again.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from dnd_local.core.digest import canonical
from dnd_local.store.files import write_atomic
from dnd_local.store.stamps import Stamp, stamp_of


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    stamps: dict[str, Stamp]
    digest: str


def kept_digest(place: Path) -> str:
    """Return the digest in a file, empty where there is none or a file it stands for changed."""
    try:
        kept = msgspec.json.decode(place.read_bytes(), type=_Kept)
        current = {name: stamp_of(Path(name)) for name in kept.stamps}
    except (OSError, msgspec.DecodeError):
        return ""
    return kept.digest if current == kept.stamps else ""


def stamps_of(files: Iterable[Path]) -> dict[str, Stamp]:
    """Return the stamp of each file by its path.

    Raises:
        OSError: one is not there.
    """
    return {str(path): stamp_of(path) for path in files}


def keep_digest(place: Path, stamps: dict[str, Stamp], digest: str) -> None:
    """Write a digest down with the stamps that its files had before they were read."""
    try:
        write_atomic(place, canonical(_Kept(stamps, digest)))
    except OSError:
        return
