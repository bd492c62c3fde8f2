"""Parts: one stage's record for one item, the only channel between stages.

``artefacts/<stage>-<key16>/<item>.json`` (or ``.safetensors`` for responses) beside a ``key.json``
that says what the key stands for. A part is written whole or not at all. It says which stage, key
and item it belongs to, and its checksum covers that too: a whole part of one neuron is no part of
another. Resuming a run is making the parts that are missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import msgspec
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from dnd_local.core.digest import canonical, sha256
from dnd_local.core.errors import DamagedFile
from dnd_local.core.records import Responses, SkippedImage
from dnd_local.store.files import read_whole, write_atomic

R = TypeVar("R")


class _Of(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a part belongs to.

    `narrow` is the smaller batch that its engine ran when memory had forced it to one: the part
    then agrees with others of its key within rounding, not to the byte. 0, which is not written,
    says that the batch was that of the settings.
    """

    stage: str
    key: str
    item: str
    narrow: int = 0


FEW: Final = 8
"""Items that are looked up one by one, since listing a folder of thousands takes longer."""


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    """A part's record; `sha256` covers it and `of`, which a part of an older version lacks."""

    sha256: str
    record: msgspec.Raw
    of: _Of | None = None


class _About(msgspec.Struct, forbid_unknown_fields=True):
    """What a chunk of responses says of its values; `sha256` covers both, and `of`."""

    layer: str
    first: int
    skipped: tuple[SkippedImage, ...]
    sha256: str
    of: _Of | None = None


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
        key: the stage's full key, 64 hex digits; to read parts, its first 16 will do.
        record: the record type, `Responses` or a JSON-able dataclass.
    """

    def __init__(self, root: Path, stage: str, key: str, record: type[R]) -> None:
        self.folder = root / f"{stage}-{key[:16]}"
        self.stage, self.key = stage, key
        self._record = record
        self._suffix = ".safetensors" if record is Responses else ".json"

    def describe(self, meaning: Any) -> None:
        """Write ``key.json``: what the key stands for, for people and for tools."""
        path = self.folder / "key.json"
        data = msgspec.json.format(canonical({"key": self.key, "of": meaning}))
        if not path.is_file() or read_whole(path) != data:
            write_atomic(path, data)

    def path(self, item: str) -> Path:
        """Return where an item's part lies, whether or not it is there."""
        return self.folder / f"{file_stem(item)}{self._suffix}"

    def missing(self, items: Iterable[str]) -> list[str]:
        """Return the items that have no part, in the order given; one listing for many."""
        items = list(items)
        if len(items) <= FEW:
            return [item for item in items if not self.path(item).is_file()]
        there = self._files()
        return [item for item in items if f"{file_stem(item)}{self._suffix}" not in there]

    def any_made(self) -> bool:
        """Return whether there is a part of any item."""
        return any(name.endswith(self._suffix) for name in self._files() - {"key.json"})

    def _files(self) -> set[str]:
        """Return the names of the folder's files; whatever else lies in a part's place is none."""
        if not self.folder.is_dir():
            return set()
        with os.scandir(self.folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}

    def write(self, item: str, record: R, narrow: int = 0) -> None:
        """Store a part; an empty folder in its place gives way.

        Args:
            item: whose part it is.
            record: what was made.
            narrow: the batch that memory forced the engine to, 0 where it did not.
        """
        path = self.path(item)
        if path.is_dir():
            path.rmdir()
        of = _Of(self.stage, self.key, item, narrow)
        write_atomic(path, _encode(of, record))

    def read(self, item: str) -> R:
        """Return a stored part.

        Raises:
            DamagedFile: it is gone, its bytes are not what its checksum promises, it belongs to
                another stage, key or item, or an older version wrote it without saying to which.
        """
        path = self.path(item)
        try:
            of, record = self._read(read_whole(path))
        except FileNotFoundError:
            raise DamagedFile(f"part {path} is gone; {_AGAIN}") from None
        except _OldError:
            raise DamagedFile(
                f"part {path} is from an older version, which did not write down what a part "
                f"belongs to; delete {self.folder.parent} and {_AGAIN} (runs and pictures stay)"
            ) from None
        except _DAMAGED:
            raise DamagedFile(f"part {path} is damaged; delete it and {_AGAIN}") from None
        if (of.stage, of.item) != (self.stage, item) or not of.key.startswith(self.key):
            raise DamagedFile(
                f"part {path} belongs elsewhere, to {of.stage} {of.item} under key "
                f"{of.key[:16]}; delete it and {_AGAIN}"
            )
        return record

    def narrow(self, item: str) -> int:
        """Return the batch that memory forced the engine to when it made a part, 0 for none.

        Raises:
            FileNotFoundError: there is no such part.
        """
        return self._read(read_whole(self.path(item)))[0].narrow

    def _read(self, data: bytes) -> tuple[_Of, R]:
        if self._record is Responses:
            return _decode_responses(data)  # type: ignore[return-value]
        return _decode(data, self._record)


_AGAIN: Final = "run the same command again"


class _ChecksumError(Exception):
    pass


class _OldError(Exception):
    pass


# ValueError covers bad JSON and bad UTF-8.
_DAMAGED: Final = (
    SafetensorError, ValueError, KeyError, TypeError, RecursionError, _ChecksumError,
)  # fmt: skip


def _encode(of: _Of, record: Any) -> bytes:
    if isinstance(record, Responses):
        return _encode_responses(of, record)
    body, belongs = canonical(record), canonical(of)
    checksum = sha256(belongs + body).encode()
    return b'{"of":%s,"sha256":"%s","record":%s}' % (belongs, checksum, body)


def _decode(data: bytes, record: type[R]) -> tuple[_Of, R]:
    envelope = msgspec.json.decode(data, type=_Envelope)
    if envelope.of is None:
        raise _OldError
    body = bytes(envelope.record)
    if sha256(canonical(envelope.of) + body) != envelope.sha256:
        raise _ChecksumError
    return envelope.of, msgspec.json.decode(body, type=record)


def _encode_responses(of: _Of, record: Responses) -> bytes:
    about = _About(record.layer, record.first, record.skipped, "", of)
    about.sha256 = _checksum(about, record.values)
    # One entry: the library writes several in an order that changes from process to process.
    data: bytes = safetensors.numpy.save(
        {"values": np.ascontiguousarray(record.values)},
        metadata={"about": canonical(about).decode()},
    )
    return data


def _decode_responses(data: bytes) -> tuple[_Of, Responses]:
    # Not through the library's own reading: it takes any error of the disk for a file that is gone.
    values = safetensors.numpy.load(data)["values"]
    header = data[8 : 8 + int.from_bytes(data[:8], "little")]
    about = msgspec.json.decode(msgspec.json.decode(header)["__metadata__"]["about"], type=_About)
    if about.of is None:
        raise _OldError
    promised, about.sha256 = about.sha256, ""
    if promised != _checksum(about, values):
        raise _ChecksumError
    return about.of, Responses(about.layer, about.first, values, about.skipped)


def _checksum(about: _About, values: NDArray[np.floating[Any]]) -> str:
    """Return the SHA-256 of the values and of everything that is said about them."""
    return sha256(canonical([about, str(values.dtype), values.shape]) + values.tobytes())
