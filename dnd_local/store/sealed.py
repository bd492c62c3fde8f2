"""Files with a checksum, in themselves (JSON) or beside them: damage is found before use."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from dnd_local.core.digest import canonical, key, sha256
from dnd_local.store.files import read_whole, write_atomic

T = TypeVar("T")

SEAL: Final = "sha256"
"""The entry of a sealed object that holds the checksum of all others."""

BESIDE: Final = ".sealed.json"
"""Ends the name of the sealed object that vouches for a file of another format."""


def sealed(value: Any, place: str = "") -> dict[str, Any]:
    """Return `value`, a record or mapping with text keys, with a checksum.

    The checksum covers `place` too, so that a sealed file in another's place counts as damaged.
    """
    entries = msgspec.to_builtins(value, str_keys=True)
    return {**entries, SEAL: key([place, entries])}


def sealed_text(value: Any, place: str) -> bytes:
    """Return `value` as a sealed JSON file, indented for people."""
    return msgspec.json.format(canonical(sealed(value, place))) + b"\n"


def unseal(data: bytes, kind: type[T], place: str = "") -> T:
    """Return the value of a sealed object's JSON.

    Raises:
        ValueError: it is no JSON, is not what its checksum promises, or is no `kind`.
    """
    try:
        entries = msgspec.json.decode(data, type=dict[str, Any])
    except RecursionError:
        raise ValueError("nested too deeply") from None
    promised = entries.pop(SEAL, None)
    if promised != key([place, entries]):
        raise ValueError("its checksum does not fit")
    return msgspec.convert(entries, kind)


def write_beside(path: Path, data: bytes, place: str) -> None:
    """Write a file as it is, for any program, and a sealed object beside it with its SHA-256."""
    seal = path.with_name(path.name + BESIDE)
    # A crash in between leaves a whole file that nothing vouches for, not one that looks damaged.
    seal.unlink(missing_ok=True)
    write_atomic(path, data)
    write_atomic(seal, sealed_text({"digest": sha256(data)}, place))


def read_beside(path: Path, place: str) -> bytes:
    """Return what `write_beside` wrote, or a file of earlier versions, which has no checksum.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not what its checksum promises, or is another place's.
    """
    data, promised = _with_promise(path, place)
    if promised not in ("", sha256(data)):
        # Another command may have written it between the two reads.
        data, promised = _with_promise(path, place)
    if promised not in ("", sha256(data)):
        raise ValueError(f"it was changed, or {path.name + BESIDE} is of another file")
    return data


def _with_promise(path: Path, place: str) -> tuple[bytes, str]:
    try:
        promised = unseal(
            read_whole(path.with_name(path.name + BESIDE)), dict[str, str], place
        ).get("digest", "none")
    except FileNotFoundError:
        promised = ""
    return read_whole(path), promised
