"""Parts: one stage's record for one item, the only channel between stages.

``artefacts/<stage>-<key16>/<item>.json`` (or ``.safetensors`` for responses) beside a ``key.json``
that says what the key stands for. A part is written whole or not at all and carries its checksum.
What is missing is what is left to do: that is all there is to resuming.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from dnd_local.core.digest import canonical, sha256
from dnd_local.core.errors import DamagedFile
from dnd_local.core.records import Responses, SkippedImage
from dnd_local.store.files import write_atomic

R = TypeVar("R")


class _Envelope(msgspec.Struct):
    sha256: str
    record: msgspec.Raw


class _About(msgspec.Struct):
    """What a chunk of responses says of its values; `sha256` covers both."""

    layer: str
    first: int
    skipped: tuple[SkippedImage, ...]
    sha256: str


def file_stem(name: str) -> str:
    """Return `name` with everything but letters, digits and ``_.-~`` percent-encoded."""
    stem = quote(name, safe="")
    # A layer may be called key; key.json is taken.
    return "%6Bey" if stem == "key" else stem


class PartFolder(Generic[R]):
    """The parts of one stage under one key.

    Args:
        root: the workspace's ``artefacts`` folder.
        stage: the stage's name.
        key: the stage's full key, 64 hex digits.
        record: the record type, `Responses` or a JSON-able dataclass.
    """

    def __init__(self, root: Path, stage: str, key: str, record: type[R]) -> None:
        self.folder = root / f"{stage}-{key[:16]}"
        self.key = key
        self._record = record
        self._suffix = ".safetensors" if record is Responses else ".json"

    def describe(self, meaning: Any) -> None:
        """Write ``key.json``: what the key stands for, for people and for tools."""
        path = self.folder / "key.json"
        if not path.exists():
            write_atomic(path, msgspec.json.format(canonical({"key": self.key, "of": meaning})))

    def path(self, item: str) -> Path:
        """Return where an item's part lies, whether or not it is there."""
        return self.folder / f"{file_stem(item)}{self._suffix}"

    def missing(self, items: Iterable[str]) -> list[str]:
        """Return the items that have no part, in the order given; one listing, however many."""
        if not self.folder.is_dir():
            return list(items)
        there = {path.name for path in self.folder.iterdir()}
        return [item for item in items if f"{file_stem(item)}{self._suffix}" not in there]

    def any_made(self) -> bool:
        """Return whether there is a part of any item."""
        if not self.folder.is_dir():
            return False
        names = (path.name for path in self.folder.iterdir() if path.suffix == self._suffix)
        return any(name != "key.json" for name in names)

    def write(self, item: str, record: R) -> None:
        """Store a part."""
        write_atomic(self.path(item), _encode(record))

    def read(self, item: str) -> R:
        """Return a stored part.

        Raises:
            DamagedFile: it is gone, or its bytes are not what its checksum promises.
        """
        path = self.path(item)
        try:
            if self._record is Responses:
                return _read_responses(path)  # type: ignore[return-value]
            return _decode(path.read_bytes(), self._record)
        except FileNotFoundError:
            raise DamagedFile(f"part {path} is gone; run the same command again") from None
        except (SafetensorError, ValueError, KeyError, TypeError, _ChecksumError):
            # ValueError covers bad JSON and bad UTF-8.
            raise DamagedFile(
                f"part {path} is damaged; delete it and run the same command again"
            ) from None


class _ChecksumError(Exception):
    pass


def _encode(record: Any) -> bytes:
    if isinstance(record, Responses):
        return _encode_responses(record)
    body = canonical(record)
    return b'{"sha256":"%s","record":%s}' % (sha256(body).encode(), body)


def _decode(data: bytes, record: type[R]) -> R:
    envelope = msgspec.json.decode(data, type=_Envelope)
    body = bytes(envelope.record)
    if sha256(body) != envelope.sha256:
        raise _ChecksumError
    return msgspec.json.decode(body, type=record)


def _encode_responses(record: Responses) -> bytes:
    about = _About(record.layer, record.first, record.skipped, "")
    about.sha256 = _checksum(about, record.values)
    # One entry: the library writes several in an order that changes from process to process.
    data: bytes = safetensors.numpy.save(
        {"values": np.ascontiguousarray(record.values)},
        metadata={"about": canonical(about).decode()},
    )
    return data


def _read_responses(path: Path) -> Responses:
    with safe_open(path, framework="numpy") as file:
        about = msgspec.json.decode(file.metadata()["about"], type=_About)
        values = file.get_tensor("values")
    promised, about.sha256 = about.sha256, ""
    if promised != _checksum(about, values):
        raise _ChecksumError
    return Responses(about.layer, about.first, values, about.skipped)


def _checksum(about: _About, values: NDArray[np.float16]) -> str:
    """Return the SHA-256 of the values and of everything that is said about them."""
    return sha256(canonical([about, str(values.dtype), values.shape]) + values.tobytes())
