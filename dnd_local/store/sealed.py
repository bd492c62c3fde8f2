"""JSON files for people that carry a checksum: what was damaged is found before it is used."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from dnd_local.core.digest import canonical, key

T = TypeVar("T")

SEAL: Final = "sha256"
"""The entry of a sealed object that holds the checksum of all others."""


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
