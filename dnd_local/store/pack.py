"""Writing a bundle on the connected machine, for one that has no network."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import msgspec

from dnd_local.core.digest import canonical, file_sha256, sha256
from dnd_local.core.errors import DamagedFile, UserError
from dnd_local.core.sequences import distinct, grouped
from dnd_local.store.bundle import (
    INVENTORY,
    MANIFEST,
    REQUIREMENTS,
    SBOM,
    SCHEMA,
    SCRIPT,
    SUMS,
    WEIGHTS,
    Inventory,
    Listed,
    copy_checked,
)
from dnd_local.store.fetch import Progress
from dnd_local.store.install_script import install_script
from dnd_local.store.manifest import Entry, Manifest, Shipped, User
from dnd_local.store.own_models import OWN_NAME, encoded_own, portable
from dnd_local.store.pins import PINS_NAME, Pins
from dnd_local.store.supply import locked, package_of, sbom
from dnd_local.store.weights import Weights
from dnd_local.store.wheels import NAME


@dataclass(frozen=True, slots=True)
class Packed:
    """A bundle that was written: where, its ids, its size, entries left to the user."""

    path: Path
    ids: tuple[str, ...]
    size: int
    by_hand: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class _Item:
    """One file to pack: its bytes are `data`, or lie at `path`."""

    name: str
    size: int
    sha256: str
    path: Path | None = None
    data: bytes = b""

    @classmethod
    def of(cls, name: str, data: bytes) -> _Item:
        return cls(name, len(data), sha256(data), data=data)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.data) if self.path is None else self.path.open("rb")


def pack(
    weights: Weights,
    names: Iterable[str],
    output: Path,
    progress: Progress,
    *,
    made_by: str,
    wheels: Callable[[Path], None] | None = None,
) -> Packed:
    """Write the bundle of ids and profiles to `output` and return what it holds.

    Args:
        weights: the weights folder; every file is verified on its way.
        names: ids and profiles.
        output: a new folder, or a file ending in `.tar`.
        progress: who watches.
        made_by: this program's name and version.
        wheels: fills a folder with wheels, below `main` and `vllm`; None leaves them out.

    Raises:
        UnknownName, MissingWeights, DamagedFile, Refused: from the weights.
        UserError: `output` is there already.
    """
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise UserError(f"{output} is there already; name a new folder or .tar file")
    entries = [one for one in weights.manifest.select(names) if not isinstance(one.source, Shipped)]
    by_hand = tuple(entry for entry in entries if isinstance(entry.source, User))
    packed = [entry for entry in entries if not isinstance(entry.source, User)]
    weights.require(entry.id for entry in packed)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".pack-") as scratch:
        items = [_item(weights, entry, path) for entry in packed for path in _paths(entry)]
        wheel_items = _wheel_items(Path(scratch) / "wheels", wheels) if wheels else []
        papers = _papers(weights, packed, wheel_items, made_by)
        items = [*papers, *wheel_items, *items]
        lines = tuple(Listed(path=i.name, size=i.size, sha256=i.sha256) for i in items)
        ids = tuple(entry.id for entry in packed)
        inventory = Inventory(schema=SCHEMA, made_by=made_by, ids=ids, files=lines)
        items = [_Item.of(INVENTORY, _readable(inventory)), *items]
        progress.total(sum(item.size for item in items))
        bundle = Path(scratch) / "bundle"
        write = _write_tar if output.suffix == ".tar" else _write_folder
        write(bundle, items, progress)
        bundle.replace(output)
    return Packed(output, ids, sum(item.size for item in items), by_hand)


def _item(weights: Weights, entry: Entry, path: str) -> _Item:
    place = weights.folder(entry.id) / path
    file = next(one for one in entry.files if one.path == path)
    expected = weights.pins.hash_of(entry, file)
    assert expected is not None  # `folder` has verified it
    return _Item(f"{WEIGHTS}/{entry.id}/{path}", place.stat().st_size, expected, place)


def _papers(
    weights: Weights, entries: Sequence[Entry], wheels: Sequence[_Item], made_by: str
) -> list[_Item]:
    """Return the bundle's own small files: manifest, pins, sums, requirements, SBOM, script."""
    ids = [entry.id for entry in entries]
    pins = Pins(Path(), [pin for pin in weights.pins.every() if pin.id in ids])
    names = [item.name for item in wheels]
    script = install_script(ids, has_wheels=bool(names), has_vllm=_has(names, "wheels/vllm/"))
    folders = grouped(wheels, lambda item: item.name.rpartition("/")[0])
    packages = {
        folder: [package_of(item.name.rpartition("/")[2], item.sha256) for item in inside]
        for folder, inside in folders.items()
    }
    every_package = distinct(chain(*packages.values()))
    version = made_by.rpartition(" ")[2]
    requirements = [
        _Item.of(f"{folder}/{REQUIREMENTS}", locked(inside).encode())
        for folder, inside in packages.items()
    ]
    sums = "".join(f"{item.sha256}  {item.name}\n" for item in [*wheels, *requirements])
    registered = [portable(entry) for entry in entries if entry.own]
    every = [portable(entry) for entry in weights.manifest.entries]
    return [
        _Item.of(
            MANIFEST, _readable(Manifest(schema=weights.manifest.schema, entries=tuple(every)))
        ),
        *([_Item.of(f"{WEIGHTS}/{OWN_NAME}", encoded_own(registered))] if registered else []),
        _Item.of(f"{WEIGHTS}/{PINS_NAME}", pins.encoded()),
        *requirements,
        _Item.of(SBOM, sbom(NAME, version, every_package, entries, weights.pins.hash_of)),
        _Item.of(SCRIPT, script.encode()),
        _Item.of(SUMS, sums.encode()),
    ]


def _has(names: Iterable[str], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in names)


def _wheel_items(folder: Path, wheels: Callable[[Path], None]) -> list[_Item]:
    folder.mkdir(parents=True)
    wheels(folder)
    paths = sorted(path for path in folder.rglob("*.whl") if path.is_file())
    return [
        _Item(
            f"wheels/{path.relative_to(folder).as_posix()}",
            path.stat().st_size,
            file_sha256(path),
            path,
        )
        for path in paths
    ]


def _readable(value: object) -> bytes:
    return msgspec.json.format(canonical(value), indent=2) + b"\n"


def _write_folder(target: Path, items: Iterable[_Item], progress: Progress) -> None:
    for item in items:
        with item.open() as source:
            copy_checked(
                source, target / item.name, item.sha256, str(item.path or item.name), progress
            )
    (target / SCRIPT).chmod(0o755)


def _write_tar(target: Path, items: Iterable[_Item], progress: Progress) -> None:
    """Write a tar file whose bytes depend on its contents alone."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for item in items:
            member = tarfile.TarInfo(item.name)
            member.size = item.size
            member.mode = 0o755 if item.name == SCRIPT else 0o644
            with item.open() as source:
                reader = _Hashing(source, progress)
                tar.addfile(member, reader)
            if reader.digest.hexdigest() != item.sha256:
                raise DamagedFile(f"{item.path or item.name} changed while it was packed")


class _Hashing(io.RawIOBase):
    """A reader that hashes what goes through it."""

    def __init__(self, source: BinaryIO, progress: Progress) -> None:
        self._source, self._progress = source, progress
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._source.read(size)
        self.digest.update(piece)
        self._progress.landed(len(piece))
        return piece


def _paths(entry: Entry) -> list[str]:
    return [file.path for file in entry.files]
