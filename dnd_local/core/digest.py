"""Keys and seeds: SHA-256 over canonical JSON.

A *key* names everything that can change a result and nothing else. A *seed* is derived from
what is asked for (never from the time or from what else is asked), so that order, neighbours,
workers and resuming cannot change a result.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

CHUNK_BYTES = 1 << 20


def canonical(value: Any) -> bytes:
    """Return the one JSON text of `value`: keys sorted, no spaces, UTF-8."""
    return msgspec.json.encode(value, order="sorted")


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def key(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of `value` as 64 hex digits."""
    return sha256(canonical(value))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hex digits, read in pieces.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def seed(*parts: str | int) -> int:
    """Return a seed in [0, 2**31) that depends on `parts` and nothing else.

    31 bits, because that is what every engine's generator accepts.
    """
    return int.from_bytes(hashlib.sha256(canonical(list(parts))).digest()[:4], "big") >> 1
