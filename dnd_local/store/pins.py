"""Pins: hashes of files that the manifest cannot name, taken when the files first land.

They lie in `weights.lock.json` at the top of the weights folder, which travels with it. A
pin counts only for the source (repository and commit, or address) that it was made from.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from dnd_local.core.digest import canonical, sha256
from dnd_local.core.errors import BadConfig, DamagedFile
from dnd_local.core.regular import read_regular
from dnd_local.store.files import write_atomic
from dnd_local.store.manifest import Entry, File, Hub, Sha256, Size, Url

PINS_NAME: Final = "weights.lock.json"


class Pin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file was when it first landed; a converted file's `origin` is its pickle's hash."""

    id: str
    path: str
    source: str
    size: Size
    sha256: Sha256
    origin: Sha256 | None = None


class _PinsFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema: int
    pins: tuple[Pin, ...]


class Pins:
    """The pins of one weights folder."""

    def __init__(self, path: Path, pins: Iterable[Pin] = ()) -> None:
        self._path = path
        self._pins = {(pin.id, pin.path): pin for pin in pins}

    @classmethod
    def read(cls, path: Path) -> Pins:
        """Return the pins of a lock file; none where there is no file yet.

        Raises:
            BadConfig: the file cannot be read or is not a lock file.
        """
        try:
            data = read_regular(path)
        except FileNotFoundError:
            return cls(path)
        except OSError as error:
            raise BadConfig(f"cannot read {path}: {error.strerror}") from None
        return cls(path, parse_pins(data, str(path)))

    def every(self) -> tuple[Pin, ...]:
        """Return the pins, sorted by id and path."""
        return tuple(self._pins[name] for name in sorted(self._pins))

    def find(self, entry: Entry, path: str) -> Pin | None:
        """Return the pin of an entry's file, None where there is none for its source."""
        pin = self._pins.get((entry.id, path))
        return pin if pin is not None and pin.source == source_text(entry) else None

    def hash_of(self, entry: Entry, file: File) -> str | None:
        """Return the hash that a file must have: the manifest's, or else the pinned one."""
        pin = self.find(entry, file.path)
        return file.sha256 or (pin.sha256 if pin else None)

    def add(self, pins: Iterable[Pin]) -> None:
        """Pin files and write the lock file.

        Raises:
            DamagedFile: a file is pinned already, from the same source, with another hash.
        """
        for pin in pins:
            old = self._pins.get((pin.id, pin.path))
            if old and old.source == pin.source and old.sha256 != pin.sha256:
                raise DamagedFile(
                    f"{pin.id}: {pin.path} has sha256 {pin.sha256[:16]}..., but {self._path} "
                    f"pins {old.sha256[:16]}...; pull it again, or remove '{pin.id}' first if you "
                    "trust the new one"
                )
            self._pins[pin.id, pin.path] = pin
        self._write()

    def forget(self, name: str) -> None:
        """Drop every pin of an id, and write the lock file if there was one."""
        kept = {where: pin for where, pin in self._pins.items() if where[0] != name}
        if len(kept) < len(self._pins):
            self._pins = kept
            self._write()

    def encoded(self) -> bytes:
        """Return the lock file's bytes."""
        value = _PinsFile(schema=1, pins=self.every())
        return msgspec.json.format(canonical(value), indent=2) + b"\n"

    def _write(self) -> None:
        write_atomic(self._path, self.encoded())


def parse_pins(data: bytes, name: str) -> tuple[Pin, ...]:
    """Return the pins of a lock file's bytes.

    Raises:
        BadConfig: it is not a lock file; the message starts with `name`.
    """
    try:
        return msgspec.json.decode(data, type=_PinsFile).pins
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadConfig(f"{name}: {' '.join(str(error).split())}") from None


def source_text(entry: Entry) -> str:
    """Return an entry's source as one text; another revision is another text."""
    match entry.source:
        case Hub(repository=repository, revision=revision):
            return f"{repository}@{revision}"
        case Url(base=base):
            return base
        case _:
            return sha256(canonical(entry.source))
