"""A bundle: what carries weights over an air gap. A folder or a tar file with an inventory.

It holds the weights of some ids with their lock file, the manifest, and (unless left out) the
wheels of both environments with a script that installs them. A bundle is not trusted.

Every name and kind of member is checked before a byte is written anywhere, and nothing is ever
extracted by its name: the caller opens a member and decides where its bytes go.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final, Protocol

import msgspec
from msgspec import Struct

from dnd_local.core.digest import CHUNK_BYTES
from dnd_local.core.errors import DamagedFile, Refused, UserError
from dnd_local.store.fetch import Progress
from dnd_local.store.manifest import Sha256, Size, check_path

INVENTORY: Final = "bundle.json"
MANIFEST: Final = "weights_manifest.json"
SUMS: Final = "SHA256SUMS"
SCRIPT: Final = "install.sh"
SBOM: Final = "sbom.cdx.json"
REQUIREMENTS: Final = "requirements.txt"
"""In each folder of wheels: its packages at their versions, with their hashes."""
WEIGHTS: Final = "weights"
SCHEMA: Final = 1
_LARGEST_INVENTORY: Final = 64 << 20


class Listed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of a bundle as its inventory describes it."""

    path: str
    size: Size
    sha256: Sha256


class Inventory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything in a bundle but the inventory itself."""

    schema: int
    made_by: str
    ids: tuple[str, ...]
    files: tuple[Listed, ...]


class Bundle(Protocol):
    """An opened bundle."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Every file's size by its name; the names are safe."""

    def open(self, name: str) -> BinaryIO:
        """Return a file's bytes to read."""


@contextmanager
def opened(source: Path) -> Iterator[Bundle]:
    """Yield the bundle in a folder or an uncompressed tar file.

    Raises:
        UserError: there is no such folder or file.
        Refused: a member is no plain file, has a name that could lead outside, or collides.
        DamagedFile: it is not a whole tar file.
    """
    if source.is_dir():
        yield _FolderBundle(source)
    elif not source.is_file():
        raise UserError(f"there is no bundle at {source}")
    else:
        try:
            with tarfile.open(source, "r:") as tar:
                yield _TarBundle(source, tar)
        except (tarfile.TarError, EOFError) as error:
            raise DamagedFile(f"{source} is not a whole tar file ({error})") from None


def read_inventory(source: Path, bundle: Bundle) -> Inventory:
    """Return a bundle's inventory, checked against what the bundle holds.

    Raises:
        DamagedFile: the inventory is unreadable, or a file is missing or of another size.
        Refused: a file is in the bundle that the inventory does not list.
    """
    if bundle.sizes.get(INVENTORY, _LARGEST_INVENTORY + 1) > _LARGEST_INVENTORY:
        raise DamagedFile(f"{source} is not a bundle of dnd-local: it has no {INVENTORY}")
    with bundle.open(INVENTORY) as file:
        data = file.read()
    try:
        inventory = msgspec.json.decode(data, type=Inventory)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedFile(f"{source}, {INVENTORY}: {' '.join(str(error).split())}") from None
    listed = {line.path: line.size for line in inventory.files}
    for name, size in bundle.sizes.items():
        if name != INVENTORY and name not in listed:
            raise Refused(f"{source} holds '{name}', which its inventory does not list")
        if name != INVENTORY and listed[name] != size:
            raise DamagedFile(f"{source}: '{name}' is {size} bytes long, not {listed[name]}")
    if absent := sorted(set(listed) - set(bundle.sizes)):
        raise DamagedFile(f"{source} lacks '{absent[0]}', which its inventory lists")
    return inventory


def copy_checked(
    source: BinaryIO, target: Path, expected: str, label: str, progress: Progress
) -> None:
    """Copy bytes to a new file, hashed on their way.

    Raises:
        DamagedFile: they are not what `expected` promises; the message starts with `label`.
    """
    digest = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        while piece := source.read(CHUNK_BYTES):
            digest.update(piece)
            file.write(piece)
            progress.landed(len(piece))
    if digest.hexdigest() != expected:
        raise DamagedFile(f"{label} is damaged: its sha256 is {digest.hexdigest()}, not {expected}")


class _TarBundle:
    def __init__(self, source: Path, tar: tarfile.TarFile) -> None:
        self._source, self._tar = source, tar
        self._members: dict[str, tarfile.TarInfo] = {}
        names = _Names(source)
        for member in tar:
            name = member.name.removeprefix("./") if member.isdir() else member.name
            if member.isdir() and name in ("", "."):
                continue
            if not (member.isreg() or member.isdir()):
                raise Refused(f"{source}: '{member.name}' is a link or device; refused")
            names.take(name, folder=member.isdir())
            if member.isreg():
                self._members[name] = member
        self.sizes = MappingProxyType({name: one.size for name, one in self._members.items()})

    def open(self, name: str) -> BinaryIO:
        file = self._tar.extractfile(self._members[name])
        assert file is not None  # only regular files were kept
        return file  # type: ignore[return-value]  # an IO[bytes], which reads as well


class _FolderBundle:
    def __init__(self, source: Path) -> None:
        self._source = source
        names, sizes = _Names(source), {}
        for base, folders, files in os.walk(source):
            for one in (*folders, *files):
                path = Path(base, one)
                status = path.lstat()
                name = path.relative_to(source).as_posix()
                is_folder = stat.S_ISDIR(status.st_mode)
                if not is_folder and not stat.S_ISREG(status.st_mode):
                    raise Refused(f"{source}: '{name}' is a link or device; refused")
                names.take(name, folder=is_folder)
                if not is_folder:
                    sizes[name] = status.st_size
        self.sizes = MappingProxyType(sizes)

    def open(self, name: str) -> BinaryIO:
        return (self._source / name).open("rb")


class _Names:
    """The names of a bundle so far, each safe and none like another on any file system."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}

    def take(self, name: str, *, folder: bool) -> None:
        """Add a name.

        Raises:
            Refused: it could lead outside the bundle, or collides with another, case aside.
        """
        try:
            check_path(name)
        except ValueError as error:
            raise Refused(f"{self._source}: {error}; refused") from None
        parts = name.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts))]
        for one in above + ([name] if folder else []):
            spelled = self._folders.setdefault(one.lower(), one)
            if one.lower() in self._files or spelled != one:
                raise self._collision(one)
        if not folder:
            if name.lower() in self._files or name.lower() in self._folders:
                raise self._collision(name)
            self._files[name.lower()] = name

    def _collision(self, name: str) -> Refused:
        return Refused(f"{self._source}: '{name}' is there twice (case aside); refused")
