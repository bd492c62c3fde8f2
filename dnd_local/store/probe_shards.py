"""Tar files of images, WebDataset's shards among them, read in place.

The headers are read once; where each image lies is remembered beside the content hashes.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import msgspec

from dnd_local.core.errors import UserError
from dnd_local.core.records import Pixels
from dnd_local.store.files import write_atomic
from dnd_local.store.images import decode, is_image
from dnd_local.store.probe_folder import shown
from dnd_local.store.probe_packed import PackedProbe, read_span, unreadable
from dnd_local.store.stamps import Stamp, stamp_of

Member: TypeAlias = tuple[str, int, int]
"""An image's name in its tar, its offset and size in bytes."""


class ShardsProbe(PackedProbe):
    """The images of tar files, in the order in which they lie there.

    Taken are members with an image's ending; what lies beside them in a sample (`.cls`, `.json`)
    is counted in `ignored`. A name is the shard's and the member's.

    Raises:
        UserError: a file that is no plain tar, or no image in any.
    """

    kind = "tar"

    def __init__(self, root: Path, files: Sequence[str], cache_dir: Path) -> None:
        super().__init__(root, files, cache_dir)
        self._images: list[tuple[int, Member]] = []
        for file, (images, others) in enumerate(self._indexed()):
            self._images.extend((file, member) for member in images)
            self.ignored += others
        if not self._images:
            raise UserError(f"{', '.join(self.files[:3])} in {root}: no image in it")

    def __len__(self) -> int:
        return len(self._images)

    def name(self, index: int) -> str:
        """Return the shard's name and the image's in it."""
        file, (member, _, _) = self._images[index]
        return f"{shown(self.files[file])}/{shown(member)}"

    def pixels(self, index: int) -> Pixels:
        """Return an image as RGB.

        Raises:
            UnreadableImage: the image cannot be used; the message is the reason.
        """
        file, (_, offset, size) = self._images[index]
        return decode(read_span(self.path(file), offset, size))

    def _indexed(self) -> list[tuple[list[Member], int]]:
        """Return each file's images, and how many other members it has."""
        memory = self.memory.with_suffix(".index.json")
        known: dict[str, tuple[Stamp, list[Member], int]] = {}
        with suppress(OSError, msgspec.DecodeError):
            known = msgspec.json.decode(memory.read_bytes(), type=type_of_index)
        index: dict[str, tuple[Stamp, list[Member], int]] = {}
        for name in self.files:
            path = self.root / name
            stamp = stamp_of(path)
            old = known.get(name)
            index[name] = old if old is not None and old[0] == stamp else (stamp, *_members(path))
        if index != known:
            with suppress(OSError, UnicodeEncodeError):
                write_atomic(memory, msgspec.json.encode(index))
        return [(images, others) for _, images, others in index.values()]


type_of_index = dict[str, tuple[Stamp, list[Member], int]]


def _members(path: Path) -> tuple[list[Member], int]:
    """Return the images of a tar file and the number of its other files.

    Raises:
        UserError: it is compressed, or no tar.
    """
    images: list[Member] = []
    others = 0
    try:
        with tarfile.open(path, "r:") as opened:
            for info in opened:
                if info.isreg() and not info.issparse() and is_image(PurePosixPath(info.name)):
                    images.append((info.name, info.offset_data, info.size))
                elif not info.isdir():
                    others += 1
    except tarfile.TarError as error:
        with path.open("rb") as file:
            if file.read(2) in (b"\x1f\x8b", b"BZ", b"\xfd7", b"\x28\xb5"):
                raise UserError(
                    f"{path} is compressed, so its images cannot be read in place; decompress it "
                    "(gunzip, xz -d), or take the images out into a folder"
                ) from None
        raise unreadable(path, error) from None
    return images, others
